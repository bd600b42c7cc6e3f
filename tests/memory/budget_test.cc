// --memory at the boundaries of planes, by the command as a user runs it: what the system counts as
// the peak of the process against the budget and against what plan said; then once more with a
// limit of the system that ends who takes more.
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/memory/random_models.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

// What is left of every budget, and how near the plan came.
struct Margins {
  int runs = 0;
  uint64_t most_unused = 0;  // planned, but not measured
  uint64_t least_unused = UINT64_MAX;

  void print(const std::string& what) const {
    std::printf("%s: %d budgets, planned but not resident %llu to %llu KiB\n", what.c_str(), runs,
                static_cast<unsigned long long>(least_unused >> 10),
                static_cast<unsigned long long>(most_unused >> 10));
    std::fflush(stdout);
  }
};

void check_budget(const std::string& model, const std::vector<PlannedPrefix>& plan, uint64_t budget,
                  const std::vector<std::string>& flags, size_t tokens, const MemoryGroup* group,
                  Margins* margins) {
  const BudgetRun run = run_in_budget(model, plan, budget, flags, tokens, group);
  CAPTURE(budget);
  CAPTURE(run.err);
  CHECK((run.exit_code == 130 || run.exit_code == 7));  // stopped, or quicker at its end
  CHECK(run.blocks == run.expected.blocks);
  CHECK(run.peak_bytes <= run.expected.bytes);
  CHECK(run.peak_bytes + 2 * kMiB + run.expected.bytes / 100 >= run.expected.bytes);
  const uint64_t unused = run.expected.bytes - std::min(run.expected.bytes, run.peak_bytes);
  ++margins->runs;
  margins->most_unused = std::max(margins->most_unused, unused);
  margins->least_unused = std::min(margins->least_unused, unused);
}

// Around about `count` boundaries, the first and the last among them.
void check_boundaries(const std::string& what, const std::string& model, size_t count,
                      std::vector<std::string> flags, size_t tokens, const char* io = "mmap") {
  const std::vector<PlannedPrefix> plan = planned_prefixes(model, flags);
  flags.insert(flags.end(), {"--io", io});
  REQUIRE(plan.size() > 20);
  Margins margins, in_group;
  const size_t last = plan.size() - 1;
  count = std::min(count, plan.size());
  for (size_t i = 0; i < count; ++i) {
    const PlannedPrefix& prefix = plan[i * last / (count - 1)];
    for (const uint64_t budget : {prefix.bytes - 1, prefix.bytes, prefix.bytes + 1})
      if (budget >= plan[0].bytes)
        check_budget(model, plan, budget, flags, tokens, nullptr, &margins);
    const MemoryGroup group(prefix.bytes + 8 * kMiB);
    if (!group.made()) continue;
    forget_file(model);
    check_budget(model, plan, prefix.bytes, flags, tokens, &group, &in_group);
  }
  margins.print(what);
  in_group.print(what + ", in a group of 8 MiB more");
  if (in_group.runs == 0) skip("no memory group can be made here");
}

// The least slack of a chat that is asked once with `bytes` of a story.
int64_t slack_of_long_question(size_t bytes) {
  const std::vector<std::string> flags = {"-c", "40000", "-t", "2"};
  const uint64_t budget = planned_prefixes(kDemo, flags)[20].bytes;
  std::string question;
  while (question.size() < bytes) question += "Once upon a time a dog saw a big red ball. ";
  ProcessOptions options;
  options.input = question + "\n";
  Process chat({tritstack_path(), "chat", "-m", kDemo, "-n", "8", "-c", "40000", "-t", "2",
                "--memory", std::to_string(budget)},
               options);
  uint64_t peak = 0;
  for (; chat.running(); usleep(500)) peak = std::max(peak, chat.peak_bytes());
  CHECK(chat.wait().exit_code == 0);
  return static_cast<int64_t>(budget) - static_cast<int64_t>(peak);
}

}  // namespace

TEST_CASE("the demo keeps every budget around every prefix") {
  // More than it was made for: long enough that it does not end by itself.
  check_boundaries("demo", kDemo, SIZE_MAX, {"-c", "4096", "-t", "2"}, 8);
}

TEST_CASE("a model of 40 MB keeps every budget around every prefix") {
  const TempDir folder;
  check_boundaries("40 MB", random_model(folder, k40MB), SIZE_MAX, {"-c", "2048", "-t", "2"}, 4);
}

TEST_CASE("it also does when the cache fills and becomes huge pages, and with --io read") {
  const TempDir folder;
  const std::string model = random_model(folder, k40MB);
  check_boundaries("40 MB, most of the context", model, 6, {"-c", "1024", "-t", "2"}, 900);
  check_boundaries("40 MB, --io read", model, 20, {"-c", "1024", "-t", "2"}, 4, "read");
}

TEST_CASE("the text of a long conversation is within the budget too") {
  const int64_t little = slack_of_long_question(1000), much = slack_of_long_question(100000);
  std::printf("chat asked with 1 KB: %lld KiB left, with 100 KB: %lld KiB\n",
              static_cast<long long>(little >> 10), static_cast<long long>(much >> 10));
  CHECK(little >= 0);
  CHECK(much >= 0);
}

TEST_CASE("a group's limit does end who takes more: the tests above mean something") {
  const std::vector<PlannedPrefix> plan = planned_prefixes(kDemo, {"-c", "65536"});
  const MemoryGroup group(plan[0].bytes / 2);
  if (!group.made()) return skip("no memory group can be made here");
  const BudgetRun run = run_in_budget(kDemo, plan, plan.back().bytes, {"-c", "65536"}, 4, &group);
  CHECK(run.exit_code == -SIGKILL);
}

TEST_CASE("a model of 700 MB keeps the budgets around 20 prefixes") {
  const TempDir folder;
  check_boundaries("700 MB", random_model(folder, k700MB), 20, {"-c", "2048", "-t", "2"}, 4);
}

}  // namespace trit
