// Blocks of work on several threads: which failure counts, and what becomes of an exception.
#include "model_format/convert/parallel_blocks.h"

#include <doctest/doctest.h>

#include <new>
#include <string>

namespace trit {

TEST_CASE("the failing block with the lowest number decides the status, on any number of threads") {
  const std::atomic<bool> never(false);
  for (const uint32_t threads : {1u, 2u, 5u, 100u}) {
    const auto worker = [] {
      return [](uint64_t block) {
        if (block < 7) return Status();
        return Status(Code::kMalformed, "block " + std::to_string(block));
      };
    };
    const Status status = parallel_blocks(50, threads, never, worker, nullptr);
    CHECK(status.code() == Code::kMalformed);
    CHECK(status.message() == "block 7");
    CHECK(parallel_blocks(7, threads, never, worker, nullptr).ok());
    CHECK(parallel_blocks(0, threads, never, worker, nullptr).ok());
  }
}

TEST_CASE("memory that runs out in a thread is a status and not the end of the process") {
  const std::atomic<bool> never(false);
  for (const uint32_t threads : {1u, 4u}) {
    const auto worker = [] { return [](uint64_t) -> Status { throw std::bad_alloc(); }; };
    CHECK(parallel_blocks(8, threads, never, worker, nullptr).code() == Code::kMemory);
  }
}

TEST_CASE("a progress that throws ends the threads before it leaves") {
  const std::atomic<bool> never(false);
  const auto worker = [] { return [](uint64_t) { return Status(); }; };
  const auto progress = [](uint64_t) { throw std::bad_alloc(); };
  constexpr uint64_t kMany = uint64_t{1} << 40;  // other threads may not end before the first
  for (const uint32_t threads : {1u, 4u})
    CHECK_THROWS_AS(static_cast<void>(parallel_blocks(kMany, threads, never, worker, progress)),
                    std::bad_alloc);
}

}  // namespace trit
