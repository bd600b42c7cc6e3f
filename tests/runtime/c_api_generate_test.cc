// Sampling, generation and cancels through the public API.
#include <algorithm>
#include <atomic>
#include <limits>
#include <thread>

#include "tests/runtime/opened.h"

using namespace trit;

namespace {

// A generation with a fixed seed from kPrompt.
std::string generated(trit_session* session, const trit_generate_options& options,
                      trit_generate_result* result) {
  trit_sampling sampling;
  trit_sampling_init(nullptr, &sampling);
  sampling.temperature = 2;
  sampling.top_k = 0;
  sampling.seed = 11;
  REQUIRE(trit_session_set_sampling(session, &sampling) == TRIT_OK);
  REQUIRE(trit_session_prompt(session, kPrompt.data(), kPrompt.size()) == TRIT_OK);
  result->struct_size = sizeof *result;
  std::string text;
  REQUIRE(trit_session_generate(session, &options, append_text, &text, result) == TRIT_OK);
  return text;
}

}  // namespace

TEST_CASE("sampling needs logits, and options in range") {
  Opened o;
  trit_session* s = o.open();
  int32_t id = -7;
  CHECK(trit_session_sample(s, &id) == TRIT_USAGE);
  CHECK(trit_session_generate(s, nullptr, nullptr, nullptr, nullptr) == TRIT_USAGE);
  CHECK(id == -7);
  trit_sampling sampling;
  trit_sampling_init(o.model, &sampling);
  CHECK(sampling.top_k == 40);
  CHECK(sampling.temperature == doctest::Approx(0.8));
  CHECK(trit_session_set_sampling(s, &sampling) == TRIT_OK);
  CHECK(trit_session_set_sampling(s, nullptr) == TRIT_OK);
  sampling.temperature = std::numeric_limits<float>::quiet_NaN();
  CHECK(trit_session_set_sampling(s, &sampling) == TRIT_USAGE);
  CHECK(error_has("temperature"));
}

TEST_CASE("ids without a piece are never sampled, whatever their logits") {
  Opened o;
  trit_session* s = o.open();
  trit_sampling sampling;
  trit_sampling_init(nullptr, &sampling);
  sampling.temperature = 100;  // nearly uniform
  sampling.top_k = 0;
  sampling.top_p = 1;
  sampling.min_p = 0;
  REQUIRE(trit_session_set_sampling(s, &sampling) == TRIT_OK);
  REQUIRE(trit_session_prefill(s, kPrompt.data(), kPrompt.size(), nullptr) == TRIT_OK);
  int32_t highest = 0;
  for (int i = 0; i < 3000; ++i) {
    int32_t id = -1;
    REQUIRE(trit_session_sample(s, &id) == TRIT_OK);
    highest = std::max(highest, id);
  }
  CHECK(highest == static_cast<int32_t>(kBytePieces) - 1);
}

TEST_CASE("generation stops at its count, and the answer is in the cache") {
  Opened o;
  trit_session* s = o.open();
  trit_generate_result result = {};
  trit_generate_options options = generate_options(20);
  options.ignore_end = 1;
  const std::string text = generated(s, options, &result);
  CHECK(result.stop == TRIT_STOP_COUNT);
  CHECK(result.tokens == 20);
  CHECK(trit_session_position(s) == kPrompt.size() + 20);
  CHECK(generated(s, options, &result) == text);  // the seed says it all
  s = o.open(0, 3, 1);
  CHECK(generated(s, options, &result) == text);
  options.max_tokens = 0;
  CHECK(generated(s, options, &result) == "");
  CHECK(result.stop == TRIT_STOP_COUNT);
  options.max_tokens = -2;
  CHECK(trit_session_generate(s, &options, nullptr, nullptr, nullptr) == TRIT_USAGE);
}

TEST_CASE("generation stops when the context is full") {
  Opened o;
  trit_session* s = o.open(16);
  trit_generate_result result = {};
  trit_generate_options options = generate_options(-1);
  options.ignore_end = 1;
  generated(s, options, &result);
  CHECK(result.stop == TRIT_STOP_CONTEXT);
  CHECK(trit_session_position(s) == 16);
}

TEST_CASE("generation stops at an end token, which is not counted nor cached") {
  Opened o;
  trit_session* s = o.open(64);
  trit_generate_options options = generate_options(1);
  options.ignore_end = 1;
  // Look for a token after which the end token is the greedy choice.
  trit_sampling greedy;
  trit_sampling_init(nullptr, &greedy);
  greedy.temperature = 0;
  REQUIRE(trit_session_set_sampling(s, &greedy) == TRIT_OK);
  int found = 0;
  for (int32_t first = 0; first < 256; ++first) {
    for (int32_t second = 0; second < 8; ++second) {
      const int32_t ids[] = {first, second};
      REQUIRE(trit_session_prompt(s, ids, 2) == TRIT_OK);
      int32_t next = 0;
      REQUIRE(trit_session_sample(s, &next) == TRIT_OK);
      if (next != kByteEnd) continue;
      ++found;
      trit_generate_result result = {};
      result.struct_size = sizeof result;
      REQUIRE(trit_session_generate(s, nullptr, nullptr, nullptr, &result) == TRIT_OK);
      CHECK(result.stop == TRIT_STOP_END);
      CHECK(result.tokens == 0);
      CHECK(trit_session_position(s) == 2);
      REQUIRE(trit_session_generate(s, &options, nullptr, nullptr, &result) == TRIT_OK);
      CHECK(result.stop == TRIT_STOP_COUNT);
      CHECK(trit_session_position(s) == 3);
    }
    if (found) break;
  }
  CHECK(found > 0);
}

TEST_CASE("stop texts end an answer wherever tokens cut them, and never show") {
  Opened o;
  trit_session* s = o.open();
  trit_generate_result result = {};
  trit_generate_options options = generate_options(40);
  options.ignore_end = 1;
  const std::string text = generated(s, options, &result);
  REQUIRE(text.size() > 30);
  // Every stop of two to five characters that the text holds.
  std::vector<size_t> borders;
  for (size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) borders.push_back(i);
  for (size_t from = 3; from + 6 < borders.size(); from += 4) {
    const size_t length = borders[from + 2 + from % 4] - borders[from];
    const std::string stop = text.substr(borders[from], length);
    const char* stops[] = {"never in there", stop.c_str()};
    options.stops = stops;
    options.stop_count = 2;
    CHECK(generated(s, options, &result) == text.substr(0, text.find(stop)));
    CHECK(result.stop == TRIT_STOP_TEXT);
  }
  const char* empty[] = {""};
  options.stops = empty;
  options.stop_count = 1;
  CHECK(trit_session_generate(s, &options, nullptr, nullptr, nullptr) == TRIT_USAGE);
  const char* half[] = {"\x80zz"};
  options.stops = half;
  CHECK(trit_session_generate(s, &options, nullptr, nullptr, nullptr) == TRIT_USAGE);
  const char* none[] = {"a", nullptr};
  options.stops = none;
  options.stop_count = 2;
  CHECK(trit_session_generate(s, &options, nullptr, nullptr, nullptr) == TRIT_USAGE);
  CHECK(std::string(trit_last_error()) == "stop 2: expected a pointer, found NULL");
  options.stops = nullptr;
  CHECK(trit_session_generate(s, &options, nullptr, nullptr, nullptr) == TRIT_USAGE);
}

TEST_CASE("the callback stops an answer, its last token still reaches the cache") {
  Opened o;
  trit_session* s = o.open();
  REQUIRE(trit_session_prompt(s, kPrompt.data(), kPrompt.size()) == TRIT_OK);
  int calls = 0;
  const auto third = [](const char*, size_t, int32_t, void* user) {
    return ++*static_cast<int*>(user) == 3 ? 1 : 0;
  };
  trit_generate_options options = generate_options(-1);
  options.ignore_end = 1;
  trit_generate_result result = {};
  result.struct_size = sizeof result;
  REQUIRE(trit_session_generate(s, &options, third, &calls, &result) == TRIT_OK);
  CHECK(result.stop == TRIT_STOP_CALLBACK);
  CHECK(result.tokens == 3);
  CHECK(trit_session_position(s) == kPrompt.size() + 3);
}

TEST_CASE("a callback that fills its own session ends the answer, nothing more") {
  Opened o;
  trit_session* s = o.open();
  REQUIRE(trit_session_prompt(s, kPrompt.data(), kPrompt.size()) == TRIT_OK);
  const auto fill = [](const char*, size_t, int32_t, void* user) {
    auto* session = static_cast<trit_session*>(user);
    while (trit_session_decode(session, kPrompt[0]) == TRIT_OK) {
    }
    return 0;
  };
  trit_generate_options options = generate_options(-1);
  options.ignore_end = 1;
  CHECK(trit_session_generate(s, &options, fill, s, nullptr) == TRIT_LIMIT);
  CHECK(trit_session_position(s) == trit_session_context(s));
}

TEST_CASE("a cancel from another thread ends a long prefill, and the session goes on") {
  Opened o;
  const std::vector<int32_t> ids(4000, 65);
  for (uint32_t threads : {1u, 3u}) {
    trit_session* s = o.open(4096, 16, threads);
    std::atomic<bool> done{false};
    std::thread canceller([&] {
      while (!done) trit_session_cancel(s);
    });
    const trit_status status = trit_session_prefill(s, ids.data(), ids.size(), nullptr);
    done = true;
    canceller.join();
    CHECK(status == TRIT_CANCELLED);
    const uint32_t position = trit_session_position(s);
    CHECK(position < 4000);
    CHECK(position % 16 == 0);  // whole chunks only
    if (position == 0) CHECK(trit_session_logits(s) == nullptr);
    // The rest gives what a session that was never cancelled gives.
    REQUIRE(trit_session_rewind(s, std::min(position, 16u)) == TRIT_OK);
    REQUIRE(trit_session_prompt(s, ids.data(), 40) == TRIT_OK);
    const std::vector<float> resumed = logits_of(s);
    s = o.open(4096, 16, threads);
    REQUIRE(trit_session_prompt(s, ids.data(), 40) == TRIT_OK);
    CHECK(resumed == logits_of(s));
  }
}

TEST_CASE("a cancel ends a generation, one without a running call is forgotten") {
  Opened o;
  trit_session* s = o.open();
  trit_session_cancel(s);  // nothing runs
  REQUIRE(trit_session_prompt(s, kPrompt.data(), kPrompt.size()) == TRIT_OK);
  int answer = 0;
  struct User {
    trit_session* session;
    int* answer;
  } user = {s, &answer};
  const auto cancel_now = [](const char*, size_t, int32_t, void* given) {
    trit_session_cancel(static_cast<User*>(given)->session);
    return *static_cast<User*>(given)->answer;
  };
  trit_generate_options options = generate_options(-1);
  options.ignore_end = 1;
  trit_generate_result result = {};
  result.struct_size = sizeof result;
  for (answer = 0; answer < 2; ++answer) {  // also where the callback stops the answer too
    REQUIRE(trit_session_prompt(s, kPrompt.data(), kPrompt.size()) == TRIT_OK);
    CHECK(trit_session_generate(s, &options, cancel_now, &user, &result) == TRIT_CANCELLED);
    CHECK(result.stop == TRIT_STOP_CANCELLED);
    CHECK(result.tokens == 1);
    CHECK(trit_session_position(s) == kPrompt.size());
    CHECK(trit_session_logits(s) == nullptr);
  }
  REQUIRE(trit_session_prompt(s, kPrompt.data(), kPrompt.size()) == TRIT_OK);
  CHECK(trit_session_logits(s) != nullptr);
}
