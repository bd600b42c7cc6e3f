// The promise of --memory, kept by the command as a user runs it: what the system counts as its
// peak against the budget, and against what plan said.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "model_format/json.h"
#include "tests/cmd/models.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

constexpr uint64_t kMiB = 1 << 20;

struct Row {
  uint64_t blocks, bytes;
};

// The prefixes of plan.
std::vector<Row> planned(const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = {"plan", kDemo, "--json"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const std::string json = tritstack(arguments).out;
  const auto document = JsonDocument::parse(json, "stdout");
  REQUIRE(document.ok());
  const JsonValue prefixes = document.value()->root()["prefixes"];
  std::vector<Row> rows;
  for (size_t i = 0; i < prefixes.size(); ++i)
    rows.push_back({*prefixes[i]["blocks"].unsigned_integer(),
                    *prefixes[i]["memory_bytes"].unsigned_integer()});
  return rows;
}

// Of a conversation with one question in it, which still goes on; 0: not told.
uint64_t peak_of_chat(uint64_t budget, std::vector<std::string> flags, const char* tokens = "8") {
  const TempDir folder;
  REQUIRE(mkfifo(folder.path("input").c_str(), 0600) == 0);
  ProcessOptions options;
  options.input_path = folder.path("input");
  flags.insert(flags.begin(), {tritstack_path(), "chat", "-m", kDemo, "-n", tokens, "--memory",
                               std::to_string(budget)});
  Process chat(flags, options);
  std::ofstream input(folder.path("input"));
  input << "Once\n" << std::flush;
  REQUIRE(chat.wait_for_output("\n"));
  const uint64_t peak = chat.peak_bytes();
  input << "/exit\n" << std::flush;
  CHECK(chat.wait().exit_code == 0);
  return peak;
}

}  // namespace

TEST_CASE("a text that is one word is tokenized within the budget") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return skip("a sanitizer has memory of its own");
#endif
  const TempDir folder;
  std::string text;
  while (text.size() < (1 << 20)) text += "the";
  write_file(folder.path("text"), text);
  std::vector<std::string> score = {"perplexity",        "-m",       kDemo, "-f",
                                    folder.path("text"), "--memory", "40M"};
  score.back() = budget_named_in(tritstack(score).err);
  const uint64_t budget = std::stoull(score.back());
  score.insert(score.begin(), tritstack_path());
  Process process(score);
  REQUIRE(process.wait_for_error("memory "));  // it has been tokenized
  const uint64_t peak = process.peak_bytes();
  process.send(SIGTERM);
  process.wait();
  if (peak == 0) return skip("this system does not tell peaks");
  CHECK(peak <= budget);
  CHECK(peak > 20 * text.size());
}

TEST_CASE("the peak of a chat is within its budget, and what plan said but for two megabytes") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return skip("a sanitizer has memory of its own");
#endif
  const std::vector<std::string> flags = {"-c", "200", "-t", "2"};
  const std::vector<Row> rows = planned(flags);
  REQUIRE(rows.size() > 20);
  for (size_t i = 0; i < rows.size(); i += 7) {
    for (const uint64_t budget : {rows[i].bytes - 1, rows[i].bytes, rows[i].bytes + 1}) {
      const Row* fits = nullptr;
      for (const Row& row : rows)
        if (row.bytes <= budget) fits = &row;
      if (!fits) continue;
      CAPTURE(budget);
      const uint64_t peak = peak_of_chat(budget, flags);
      if (peak == 0) return skip("this system does not tell peaks");
      CHECK(peak <= fits->bytes);
      CHECK(peak + 2 * kMiB + fits->bytes / 100 >= fits->bytes);
    }
  }
}

TEST_CASE("by force a cache takes only what is filled of it") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return skip("a sanitizer has memory of its own");
#endif
  const uint64_t peak = peak_of_chat(9 * kMiB, {"-c", "65536", "--force"}, "500");
  if (peak == 0) return skip("this system does not tell peaks");
  CHECK(planned({"-c", "65536"})[0].bytes > 128 * kMiB);
  CHECK(peak < 16 * kMiB);
}

}  // namespace trit
