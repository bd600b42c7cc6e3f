// Memory: nothing is allocated per token, and an allocation that fails anywhere becomes TRIT_MEMORY
// and leaves nothing behind. This file replaces operator new of the test program to count and to
// refuse.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "runtime/arena.h"
#include "runtime/include/tritstack.h"
#include "tests/runtime/byte_model.h"
#include "tests/support/temp_dir.h"

namespace {

std::atomic<uint64_t> allocations{0};
std::atomic<int64_t> until_refusal{-1};  // negative: never; 0: the next one is refused

void* counted_allocation(size_t bytes) noexcept {
  ++allocations;
  if (until_refusal >= 0 && until_refusal-- == 0) return nullptr;
  return std::malloc(bytes ? bytes : 1);
}

}  // namespace

void* operator new(size_t bytes) {
  if (void* memory = counted_allocation(bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new[](size_t bytes) {
  return operator new(bytes);
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return counted_allocation(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  std::free(memory);
}

TEST_CASE("an arena measures what it later hands out, aligned, and notices sizes beyond any") {
  using trit::Arena;
  const auto carve = [](Arena* arena) {
    arena->take<uint8_t>(3);
    float* floats = arena->take<float>(5);
    arena->take<int32_t>(0);
    return floats;
  };
  Arena measure(nullptr);
  CHECK(carve(&measure) == nullptr);
  CHECK(measure.used() == 128);
  CHECK(!measure.overflowed());
  alignas(64) uint8_t memory[128];
  Arena arena(memory);
  CHECK(carve(&arena) == reinterpret_cast<float*>(memory + 64));
  CHECK(arena.used() == 128);
  for (uint64_t count : {UINT64_MAX, UINT64_MAX / 4, UINT64_MAX / 8}) {
    Arena large(nullptr);
    large.take<float>(count);
    CHECK(large.overflowed());
  }
  Arena sum(nullptr);
  sum.take<uint8_t>(UINT64_MAX / 5);
  sum.take<uint8_t>(UINT64_MAX / 5);
  CHECK(!sum.overflowed());
  sum.take<uint8_t>(UINT64_MAX / 5);
  CHECK(sum.overflowed());
  CHECK(trit::saturating_product(1u << 31, 1u << 31) == uint64_t{1} << 62);
  CHECK(trit::saturating_product(UINT64_MAX / 2, 3) == UINT64_MAX);
  CHECK(trit::saturating_product(UINT64_MAX, 0) == 0);
}

TEST_CASE("no token allocates: prefill, decode, sampling and a generation") {
  trit::TempDir dir;
  trit::write_byte_model(dir.path("m.trit"));
  trit_model* model = nullptr;
  REQUIRE(trit_model_open(dir.path("m.trit").c_str(), nullptr, &model) == TRIT_OK);
  trit_session_options options;
  trit_session_options_init(&options);
  options.context = 512;
  options.threads = 3;
  trit_session* session = nullptr;
  REQUIRE(trit_session_open(model, &options, &session) == TRIT_OK);
  trit_sampling sampling;
  trit_sampling_init(model, &sampling);
  sampling.repeat_penalty = 1.1f;
  REQUIRE(trit_session_set_sampling(session, &sampling) == TRIT_OK);

  const std::vector<int32_t> ids(100, 65);
  uint64_t before = allocations;
  bool ok = trit_session_prefill(session, ids.data(), ids.size(), nullptr) == TRIT_OK;
  for (int i = 0; ok && i < 50; ++i) {
    int32_t id = 0;
    ok =
        trit_session_sample(session, &id) == TRIT_OK && trit_session_decode(session, id) == TRIT_OK;
  }
  CHECK(allocations == before);
  REQUIRE(ok);

  // generate() prepares its texts once; the number of tokens makes no difference.
  trit_generate_options generation;
  trit_generate_options_init(&generation);
  generation.ignore_end = 1;
  const char* stops[] = {"a text that does not come"};
  generation.stops = stops;
  generation.stop_count = 1;
  const auto allocations_for = [&](int32_t tokens) {
    generation.max_tokens = tokens;
    before = allocations;
    const bool fine =
        trit_session_generate(
            session, &generation, [](const char*, size_t, int32_t, void*) { return 0; }, nullptr,
            nullptr) == TRIT_OK;
    const uint64_t count = allocations - before;
    REQUIRE(fine);
    return count;
  };
  const uint64_t for_one = allocations_for(1);
  CHECK(for_one > 0);  // the counter counts
  CHECK(allocations_for(100) == for_one);
  trit_session_close(session);
  trit_model_close(model);
}

TEST_CASE("each allocation of opening and asking may fail: TRIT_MEMORY, then it works") {
  trit::TempDir dir;
  trit::write_byte_model(dir.path("m.trit"));
  const std::string path = dir.path("m.trit");
  const trit_message message = {"user", "a question that is longer than a short string"};
  trit_session_options options;
  trit_session_options_init(&options);
  options.threads = 1;  // a thread that cannot be started is no failure
  int refused = 0;
  for (int64_t nth = 0;; ++nth) {
    trit_model* model = nullptr;
    trit_session* session = nullptr;
    int32_t ids[200];
    size_t count = 0;
    until_refusal = nth;
    trit_status status = trit_model_open(path.c_str(), nullptr, &model);
    if (!status) status = trit_session_open(model, &options, &session);
    if (!status) status = trit_tokenize_chat(model, &message, 1, nullptr, ids, 200, &count);
    if (!status) status = trit_session_prompt(session, ids, count > 60 ? 60 : count);
    if (!status) status = trit_session_generate(session, nullptr, nullptr, nullptr, nullptr);
    const bool finished = until_refusal >= 0;
    until_refusal = -1;
    trit_session_close(session);
    trit_model_close(model);
    if (finished) {
      CHECK(status == TRIT_OK);
      break;
    }
    ++refused;
    CHECK(status == TRIT_MEMORY);
  }
  CHECK(refused > 20);
}
