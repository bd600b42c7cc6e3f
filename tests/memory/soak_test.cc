// A long conversation under a budget that changes all the time: nothing is left behind by a change.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/generate.h"
#include "runtime/session.h"
#include "tests/memory/random_models.h"
#include "tests/support/process.h"
#include "tests/support/random.h"

namespace trit {
namespace {

constexpr int kTokens = 100000, kBetweenChanges = 50, kBetweenLooks = 2000;
constexpr uint64_t kFlat = 96 << 10;  // 1 KiB in 1,000 tokens

size_t entries(const char* folder) {
  const std::filesystem::directory_iterator begin(folder), end;
  return static_cast<size_t>(std::distance(begin, end));
}

// What the process holds, with all planes in use.
struct Held {
  uint64_t bytes;
  size_t files, threads;
};

Held look(PlaneStack* planes) {
  REQUIRE(planes->set_budget(0).ok());
  REQUIRE(planes->settle().ok());
  return {memory_in("self/smaps_rollup", "Rss"), entries("/proc/self/fd"),
          entries("/proc/self/task")};
}

void soak(const char* what, IoMode io) {
  ModelOptions options;
  options.io = io;
  auto opened = Model::open(kDemo, options);
  REQUIRE(opened.ok());
  const std::shared_ptr<const Model> model = opened.value();
  auto session = Session::open(model, {});
  REQUIRE(session.ok());
  PlaneStack& planes = model->planes();
  std::vector<int32_t> start;
  model->tokenizer()->encode("Once upon a time", true, false, &start);
  GenerateOptions some;
  some.max_tokens = kBetweenChanges;
  some.ignore_end = true;
  const PlaneStack::Figures all = planes.figures();
  const auto spread = static_cast<uint32_t>(all.resident_bytes - all.smallest_bytes + 1);

  Random random(11);
  Held first = {}, last = {};
  uint64_t least = UINT64_MAX, most = 0;
  for (int tokens = 0; tokens < kTokens; tokens += kBetweenChanges) {
    REQUIRE(planes.set_budget(all.smallest_bytes + random.below(spread)).ok());
    if (session.value()->position() + kBetweenChanges > session.value()->context() || tokens == 0)
      REQUIRE(session.value()->prompt(start).ok());
    const auto answer = generate(session.value().get(), some);
    REQUIRE(answer.ok());
    REQUIRE(answer.value().tokens == kBetweenChanges);
    if ((tokens + kBetweenChanges) % kBetweenLooks != 0) continue;
    last = look(&planes);
    if (tokens < 2 * kBetweenLooks) first = last;  // warm from here on
    if (tokens < kBetweenLooks) continue;
    least = std::min(least, last.bytes);
    most = std::max(most, last.bytes);
    CHECK(last.files == first.files);
    CHECK(last.threads == first.threads);
  }
  std::printf(
      "%s: %d tokens, resident with all planes %llu KiB at first, %llu to %llu, %llu last\n", what,
      kTokens, static_cast<unsigned long long>(first.bytes >> 10),
      static_cast<unsigned long long>(least >> 10), static_cast<unsigned long long>(most >> 10),
      static_cast<unsigned long long>(last.bytes >> 10));
  std::fflush(stdout);
  CHECK(most <= first.bytes + kFlat);
}

}  // namespace

TEST_CASE("a budget that changes every 50 tokens leaves memory flat over a hundred thousand") {
  soak("mapped", IoMode::kMap);
  soak("read", IoMode::kRead);
}

}  // namespace trit
