// A file of 4 GB: opens and answers where there is memory for it, is refused where there is not,
// and by force answers there too, from pages that the system takes back.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/memory/random_models.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

// `run` of a few tokens, in a group or not; prints how long it took.
ProcessResult run_few(const std::string& what, const std::string& model,
                      const std::vector<std::string>& flags, const MemoryGroup* group) {
  std::vector<std::string> arguments = {tritstack_path(), "run",    "-m", model, "--tokens", "1,2",
                                        "--ignore-eos",   "--temp", "0",  "-n",  "4"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const auto start = std::chrono::steady_clock::now();
  const ProcessResult result = run_process(group ? group->inside(arguments) : arguments);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%s: exit %d after %.1f s\n%s%s", what.c_str(), result.exit_code, seconds.count(),
              result.err.c_str(), result.out.c_str());
  std::fflush(stdout);
  return result;
}

// The number behind "expected at least ".
std::string smallest_in(const std::string& err) {
  const std::string before = "expected at least ";
  const size_t at = err.find(before);
  if (at == std::string::npos) return "";
  const size_t begin = at + before.size();
  return err.substr(begin, err.find(' ', begin) - begin);
}

}  // namespace

TEST_CASE("a file of 4 GB answers, is refused in 512 MB with what it needs, and by force answers") {
  const TempDir folder;
  const std::string model = random_model(folder, k4GB);
  CHECK(std::filesystem::file_size(model) > 4000000000u);

  const ProcessResult whole = run_few("4 GB", model, {}, nullptr);
  CHECK(whole.exit_code == 0);
  CHECK(!whole.out.empty());

  const MemoryGroup group(512 * kMiB);
  if (!group.made()) return skip("no memory group can be made here");
  forget_file(model);
  const ProcessResult refused = run_few("in 512 MiB", model, {}, &group);
  CHECK(refused.exit_code == 6);
  const std::string smallest = smallest_in(refused.err);
  CHECK(smallest == std::to_string(planned_prefixes(model, {}).front().bytes));

  const ProcessResult base = run_few("base alone", model, {"--memory", smallest}, nullptr);
  CHECK(base.exit_code == 0);
  forget_file(model);
  const ProcessResult forced = run_few("in 512 MiB by force", model, {"--force"}, &group);
  CHECK(forced.exit_code == 0);
  CHECK(forced.err.find("slow") != std::string::npos);
  CHECK(forced.out == base.out);
}

}  // namespace trit
