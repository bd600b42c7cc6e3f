// The pool alone: every item once, whoever runs it, however often.
#include "runtime/thread_pool.h"

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

using namespace trit;

TEST_CASE("every item runs exactly once on any number of threads") {
  for (uint32_t threads : {1u, 2u, 3u, 8u}) {
    ThreadPool pool(threads);
    CHECK(pool.size() == threads);
    for (uint32_t count : {0u, 1u, 2u, 7u, 1000u, 65535u, 65536u, 200001u}) {
      std::vector<std::atomic<int>> runs(count);
      std::atomic<bool> valid_thread{true};
      pool.parallel_for(count, [&](uint32_t item, uint32_t thread) {
        ++runs[item];
        if (thread >= threads) valid_thread = false;
      });
      CHECK(valid_thread);
      int wrong = 0;
      for (const auto& n : runs) wrong += n != 1;
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("thousands of small loops in a row lose no item, asleep or awake") {
  ThreadPool pool(4);
  uint64_t expected = 0;
  std::atomic<uint64_t> sum{0};
  for (uint32_t round = 0; round < 3000; ++round) {
    const uint32_t count = 1 + round % 5;
    pool.parallel_for(count, [&](uint32_t item, uint32_t) { sum += item + round; });
    for (uint32_t item = 0; item < count; ++item) expected += item + round;
    // Now and then the others have time to fall asleep.
    if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(sum == expected);
}

TEST_CASE("what the items wrote is visible to the caller afterwards") {
  ThreadPool pool(3);
  std::vector<uint32_t> out(257);
  for (uint32_t round = 0; round < 200; ++round) {
    pool.parallel_for(257, [&](uint32_t item, uint32_t) { out[item] = item * round; });
    uint32_t wrong = 0;
    for (uint32_t item = 0; item < 257; ++item) wrong += out[item] != item * round;
    CHECK(wrong == 0);
  }
}

TEST_CASE("a thread that holds an item for long delays the loop, and loses nothing") {
  ThreadPool pool(3);
  for (uint32_t slow = 0; slow < 3; ++slow) {  // on whichever thread takes it, the caller too
    std::atomic<uint32_t> runs{0};
    std::atomic<bool> slept{false};
    pool.parallel_for(40, [&](uint32_t, uint32_t thread) {
      if (thread == slow && !slept.exchange(true))
        std::this_thread::sleep_for(std::chrono::milliseconds(3));  // longer than any spinning
      ++runs;
    });
    CHECK(runs == 40);
  }
}
