// When memory is given back and taken again: the rule over sequences of looks, and the thread on a
// machine of files and in a real control group.
#include "runtime/memory_watch.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <vector>

#include "runtime/available_memory.h"
#include "tests/support/machine.h"
#include "tests/support/memory_group.h"
#include "tests/support/random.h"
#include "tests/support/skip.h"

using namespace trit;

namespace {

constexpr uint64_t kMiB = 1 << 20;

// The budgets of a watch that has 700 MiB of 800 and then sees a sequence of looks.
class Story {
 public:
  Story() { state_.budget_bytes = automatic_budget(800 * kMiB); }
  uint64_t look(uint64_t available_mib, bool stalled = false) {
    const uint64_t before = state_.budget_bytes;
    state_ = next_budget(state_, {available_mib * kMiB, stalled});
    changes_ += state_.budget_bytes != before;
    return budget();
  }
  uint64_t looks(int count, uint64_t available_mib) {
    for (int i = 0; i < count; ++i) look(available_mib);
    return budget();
  }
  uint64_t budget() const { return state_.budget_bytes / kMiB; }
  Pressure reason() const { return state_.reason; }
  int changes() const { return changes_; }

 private:
  BudgetState state_;
  int changes_ = 0;
};

// Polls at most a minute.
template <typename Condition>
bool comes_true(const Condition& condition) {
  for (int i = 0; i < 6000 && !condition(); ++i) usleep(10000);
  return condition();
}

}  // namespace

TEST_CASE("a little less or more changes nothing, however often") {
  Story story;
  Random random(1);
  for (int i = 0; i < 1000; ++i) story.look(760 + random.below(120));
  CHECK(story.changes() == 0);
}

TEST_CASE("when half of the margin is gone the budget falls at the first look, with its margin") {
  Story story;
  CHECK(story.look(747) == 700);
  CHECK(story.look(746) == 746 - 746 / 8 - 1);
  CHECK(story.reason() == Pressure::kScarce);
  CHECK(story.look(80) == 70);
  CHECK(story.look(0) == 0);
  CHECK(story.changes() == 3);
}

TEST_CASE("more is taken after thirty looks that allowed it, a quarter at a time") {
  Story story;
  story.look(400);
  REQUIRE(story.budget() == 350);
  CHECK(story.looks(29, 800) == 350);
  CHECK(story.look(800) == 437);
  CHECK(story.reason() == Pressure::kEased);
  CHECK(story.looks(29, 800) == 437);
  CHECK(story.looks(1, 800) == 546);
  CHECK(story.looks(60, 800) == 683);
  CHECK(story.looks(100, 800) == 683);  // the rest is not worth a change
  CHECK(story.changes() == 4);
}

TEST_CASE("one look that does not allow more starts the wait again") {
  Story story;
  story.look(400);
  for (int i = 0; i < 20; ++i) {
    story.looks(29, 800);
    CHECK(story.look(400) == 350);
    story.looks(29, 800);
    CHECK(story.look(800, true) == 350);
  }
  CHECK(story.changes() == 1);
}

TEST_CASE("memory that comes and goes all the time is left alone") {
  for (const int period : {1, 2, 10, 29}) {
    CAPTURE(period);
    Story story;
    for (int i = 0; i < 3000; ++i) story.look(i / period % 2 ? 800 : 400);
    CHECK(story.budget() == 350);
    CHECK(story.changes() == 1);
  }
}

TEST_CASE("what was taken too early is waited for longer each time") {
  Story story;
  story.look(400);
  std::vector<int> waits;
  for (int round = 0; round < 8; ++round) {
    int wait = 0;
    for (; story.budget() == 350; ++wait) story.look(800);
    waits.push_back(wait);
    REQUIRE(story.look(400) == 350);
  }
  CHECK(waits == std::vector<int>{30, 60, 120, 240, 480, 960, 960, 960});
  // It held for long enough: the next wait is a short one.
  story.looks(4000, 800);
  CHECK(story.look(400) == 350);
  int wait = 0;
  for (; story.budget() == 350; ++wait) story.look(800);
  CHECK(wait == 30);
}

TEST_CASE("stalls take an eighth at a time, but never below half of what is available") {
  Story story;
  CHECK(story.look(1000, true) == 612);
  CHECK(story.reason() == Pressure::kStalled);
  CHECK(story.look(1000, true) == 535);
  for (int i = 0; i < 100; ++i) story.look(1000, true);
  CHECK(story.budget() == 500);
  Story little;  // of much: not our stalls
  little.look(10000, true);
  CHECK(little.changes() == 0);
}

TEST_CASE("whatever happens, the budget keeps half of the margin and never flickers") {
  Random random(2);
  for (int run = 0; run < 20; ++run) {
    Story story;
    uint64_t available = 800;
    int since_less = 0;
    for (int i = 0; i < 2000; ++i) {
      if (random.below(20) == 0) available = 50 + random.below(1500);
      const uint64_t before = story.budget();
      const uint64_t after = story.look(available, random.below(50) == 0);
      REQUIRE(after <= available - available / 16);
      if (after > before) REQUIRE(since_less >= 29);
      since_less = after < before ? 0 : since_less + 1;
    }
  }
}

TEST_CASE("the watch sees a system that runs low, and stops when it is told") {
  Machine machine;
  machine.file("proc/meminfo", "MemAvailable: 819200 kB");
  machine.file("proc/pressure/memory", "some avg10=0.00");
  machine.file("proc/self/cgroup", "0::/a/b");
  machine.file("sys/fs/cgroup/a/memory.pressure", "some avg10=0.00");
  std::atomic<uint64_t> budget{0};
  std::atomic<int> looks{0};
  std::atomic<Pressure> reason{Pressure::kEased};
  const auto watch = MemoryWatch::start(
      automatic_budget(800 * kMiB),
      [&](uint64_t bytes, Pressure why) {
        reason = why;
        budget = bytes;
      },
      [&] { ++looks; }, machine.root());
  REQUIRE(watch.ok());
  REQUIRE(comes_true([&] { return looks >= 1; }));
  CHECK(budget == 0);
  machine.file("proc/meminfo", "MemAvailable: 409600 kB");
  REQUIRE(comes_true([&] { return budget != 0; }));
  CHECK(budget == 350 * kMiB);
  CHECK(reason == Pressure::kScarce);
  // It has asked the kernel to be woken, by the system's file and by that of the nearest group.
  CHECK(read_file(machine.root() + "/proc/pressure/memory").compare(0, 8, "some 200") == 0);
  CHECK(read_file(machine.root() + "/sys/fs/cgroup/a/memory.pressure").compare(0, 8, "some 200") ==
        0);
}

TEST_CASE("a watch without callbacks for looks starts and stops at once") {
  for (int i = 0; i < 20; ++i) CHECK(MemoryWatch::start(kMiB, [](uint64_t, Pressure) {}, {}).ok());
}

TEST_CASE("a watch stops while a child of the process lives") {
  auto watch = MemoryWatch::start(kMiB, [](uint64_t, Pressure) {}, {});
  REQUIRE(watch.ok());
  const pid_t child = fork();
  if (child == 0) {
    sleep(10);
    _exit(0);
  }
  watch.value().reset();
  CHECK(waitpid(child, nullptr, WNOHANG) == 0);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

// In a program of its own: what a fork has from its parent counts as its own, but not in the group.
TEST_CASE("child: a watch beside a process that grows" * doctest::skip()) {
  std::atomic<uint64_t> budget{0};
  const auto watch = MemoryWatch::start(automatic_budget(available_memory().shared_bytes()),
                                        [&](uint64_t bytes, Pressure) { budget = bytes; }, {});
  REQUIRE(watch.ok());
  const pid_t other = fork();
  if (other == 0) {
    std::vector<char> memory(180 * kMiB);
    std::memset(memory.data(), 1, memory.size());
    pause();
    _exit(memory[0]);
  }
  CHECK(comes_true([&] { return budget != 0 && budget < 150 * kMiB; }));
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
}

TEST_CASE("in a real group the watch asks for less while another process grows") {
  const MemoryGroup group(256 * kMiB);
  if (!group.made()) return skip("no control group with a memory limit can be made here");
  const int result = group.run([] {
    // Its closing line is not one of this program's.
    if (!std::freopen("/dev/null", "w", stdout)) return 1;
    execl("/proc/self/exe", "test_runtime", "--no-skip",
          "--test-case=child: a watch beside a process that grows", nullptr);
    return 2;
  });
  CHECK(result == 0);
}
