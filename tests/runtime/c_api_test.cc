// The public API as a user sees it: bad arguments leave everything as it was, sessions survive
// full contexts and cancels, models may be closed first, errors belong to their thread.
#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "runtime/include/tritstack.h"
#include "tests/runtime/byte_model.h"
#include "tests/support/temp_dir.h"

namespace {

struct Opened {
  Opened() {
    trit::write_byte_model(dir.path("m.trit"));
    REQUIRE(trit_model_open(dir.path("m.trit").c_str(), nullptr, &model) == TRIT_OK);
  }
  ~Opened() {
    trit_session_close(session);
    trit_model_close(model);
  }
  trit_session* open(uint32_t context = 0, uint32_t chunk = 0, uint32_t threads = 2) {
    trit_session_close(session);
    trit_session_options options;
    trit_session_options_init(&options);
    options.context = context;
    options.chunk = chunk;
    options.threads = threads;
    REQUIRE(trit_session_open(model, &options, &session) == TRIT_OK);
    return session;
  }
  trit::TempDir dir;
  trit_model* model = nullptr;
  trit_session* session = nullptr;
};

std::vector<float> logits_of(const trit_session* session) {
  const float* logits = trit_session_logits(session);
  REQUIRE(logits != nullptr);
  return {logits, logits + trit::kByteVocab};
}

bool error_has(const char* text) {
  return std::strstr(trit_last_error(), text) != nullptr;
}

int append_text(const char* text, size_t bytes, int32_t, void* user) {
  static_cast<std::string*>(user)->append(text, bytes);
  return 0;
}

// What a C caller may write into an enum.
template <typename Enum>
void set_number(Enum* to, int number) {
  std::memcpy(to, &number, sizeof number);
}

const std::vector<int32_t> kPrompt = {256, 'O', 'n', 'c', 'e'};

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

trit_generate_options generate_options(int32_t max_tokens) {
  trit_generate_options options;
  trit_generate_options_init(&options);
  options.max_tokens = max_tokens;
  return options;
}

}  // namespace

TEST_CASE("version and kernel level are there before any model") {
  CHECK(std::string(trit_version()) == "0.1.0");
  REQUIRE(trit_kernel_level() != nullptr);
  CHECK(std::string(trit_kernel_level()) != "");
}

TEST_CASE("a model that cannot be opened gives a code, a sentence and NULL") {
  trit::TempDir dir;
  trit_model* model = reinterpret_cast<trit_model*>(&dir);
  CHECK(trit_model_open(dir.path("absent.trit").c_str(), nullptr, &model) == TRIT_IO);
  CHECK(model == nullptr);
  CHECK(error_has("absent.trit"));
  trit::write_file(dir.path("text.trit"), "once upon a time there was no model in this file");
  CHECK(trit_model_open(dir.path("text.trit").c_str(), nullptr, &model) == TRIT_UNSUPPORTED);
  CHECK(model == nullptr);
}

TEST_CASE("info tells what the file and the options say") {
  Opened o;
  trit_model_info info = {};
  info.struct_size = sizeof info;
  REQUIRE(trit_model_get_info(o.model, &info) == TRIT_OK);
  CHECK(std::string(info.name) == "tiny");
  CHECK(info.n_layers == 2);
  CHECK(info.vocab == trit::kByteVocab);
  CHECK(info.planes == 3);
  CHECK(info.head_planes == 4);
  CHECK(info.dense == 0);
  CHECK(info.has_tokenizer == 1);
  CHECK(info.blocks_stored == 46);
  CHECK(info.blocks_present == 46);
  CHECK(info.blocks_in_use == 46);
  CHECK(info.file_bytes == trit::read_file(o.dir.path("m.trit")).size());
  CHECK(std::string(info.chat_family) == "plain");
  CHECK(info.struct_size == sizeof info);
  // An older caller's shorter struct is not written past its end.
  info = {};
  info.struct_size = offsetof(trit_model_info, hidden);
  REQUIRE(trit_model_get_info(o.model, &info) == TRIT_OK);
  CHECK(info.n_layers == 2);
  CHECK(info.hidden == 0);
}

TEST_CASE("NULL where something is needed is a usage error of every function") {
  Opened o;
  trit_session* s = o.open();
  trit_model* model = nullptr;
  trit_session* session = nullptr;
  size_t needed = 0;
  int32_t id = 0;
  char text[4];
  const trit_message no_role = {nullptr, "x"}, no_content = {"user", nullptr};
  CHECK(trit_model_open(nullptr, nullptr, &model) == TRIT_USAGE);
  CHECK(trit_model_open("x", nullptr, nullptr) == TRIT_USAGE);
  CHECK(trit_model_get_info(nullptr, nullptr) == TRIT_USAGE);
  CHECK(trit_model_get_info(o.model, nullptr) == TRIT_USAGE);
  CHECK(trit_tokenize(nullptr, "x", 1, 0, &id, 1, &needed) == TRIT_USAGE);
  CHECK(trit_tokenize(o.model, nullptr, 1, 0, &id, 1, &needed) == TRIT_USAGE);
  CHECK(trit_tokenize(o.model, "x", 1, 0, nullptr, 1, &needed) == TRIT_USAGE);
  CHECK(trit_tokenize(o.model, "x", 1, 0, &id, 1, nullptr) == TRIT_USAGE);
  CHECK(trit_detokenize(nullptr, &id, 1, 0, text, 4, &needed) == TRIT_USAGE);
  CHECK(trit_detokenize(o.model, nullptr, 1, 0, text, 4, &needed) == TRIT_USAGE);
  CHECK(trit_detokenize(o.model, &id, 1, 0, nullptr, 4, &needed) == TRIT_USAGE);
  CHECK(trit_detokenize(o.model, &id, 1, 0, text, 4, nullptr) == TRIT_USAGE);
  CHECK(trit_format_chat(nullptr, nullptr, 0, nullptr, text, 4, &needed) == TRIT_USAGE);
  CHECK(trit_format_chat(o.model, nullptr, 1, nullptr, text, 4, &needed) == TRIT_USAGE);
  CHECK(trit_format_chat(o.model, &no_role, 1, nullptr, text, 4, &needed) == TRIT_USAGE);
  CHECK(trit_tokenize_chat(o.model, &no_content, 1, nullptr, &id, 1, &needed) == TRIT_USAGE);
  CHECK(trit_tokenize_chat(nullptr, nullptr, 0, nullptr, &id, 1, &needed) == TRIT_USAGE);
  CHECK(trit_session_open(nullptr, nullptr, &session) == TRIT_USAGE);
  CHECK(trit_session_open(o.model, nullptr, nullptr) == TRIT_USAGE);
  CHECK(trit_session_prefill(nullptr, &id, 1, nullptr) == TRIT_USAGE);
  CHECK(trit_session_prefill(s, nullptr, 1, nullptr) == TRIT_USAGE);
  CHECK(trit_session_decode(nullptr, 0) == TRIT_USAGE);
  CHECK(trit_session_prompt(nullptr, &id, 1) == TRIT_USAGE);
  CHECK(trit_session_prompt(s, nullptr, 1) == TRIT_USAGE);
  CHECK(trit_session_rewind(nullptr, 0) == TRIT_USAGE);
  CHECK(trit_session_sample(nullptr, &id) == TRIT_USAGE);
  CHECK(trit_session_sample(s, nullptr) == TRIT_USAGE);
  CHECK(trit_session_set_sampling(nullptr, nullptr) == TRIT_USAGE);
  CHECK(trit_session_generate(nullptr, nullptr, nullptr, nullptr, nullptr) == TRIT_USAGE);
  CHECK(trit_session_logits(nullptr) == nullptr);
  CHECK(trit_session_context(nullptr) == 0);
  CHECK(trit_session_position(nullptr) == 0);
  CHECK(trit_session_threads(nullptr) == 0);
  CHECK(trit_is_end_token(nullptr, 0) == 0);
  // These do nothing.
  trit_model_close(nullptr);
  trit_session_close(nullptr);
  trit_session_cancel(nullptr);
  trit_model_options_init(nullptr);
  trit_session_options_init(nullptr);
  trit_chat_options_init(nullptr);
  trit_generate_options_init(nullptr);
  trit_sampling_init(o.model, nullptr);
  CHECK(trit_session_position(s) == 0);
}

TEST_CASE("option structs without their size, or of a newer library, are refused") {
  Opened o;
  trit_session* session = nullptr;
  trit_session_options options = {};
  CHECK(trit_session_open(o.model, &options, &session) == TRIT_USAGE);
  CHECK(error_has("struct_size"));
  trit_session_options_init(&options);
  options.struct_size += 8;
  CHECK(trit_session_open(o.model, &options, &session) == TRIT_USAGE);
  CHECK(session == nullptr);
}

TEST_CASE("session options out of range are refused, memory that is not there is not promised") {
  Opened o;
  const auto opened = [&](auto change) {
    trit_session_options options;
    trit_session_options_init(&options);
    change(&options);
    trit_session* session = nullptr;
    const trit_status status = trit_session_open(o.model, &options, &session);
    trit_session_close(session);
    CHECK((status == TRIT_OK) == (session != nullptr));
    return status;
  };
  CHECK(opened([](auto* s) { s->context = 0x80000000u; }) == TRIT_USAGE);
  CHECK(opened([](auto* s) { s->threads = 1000000; }) == TRIT_USAGE);
  CHECK(opened([](auto* s) { set_number(&s->cache_k, 77); }) == TRIT_USAGE);
  CHECK(opened([](auto* s) {
          s->context = 1u << 24;
          s->chunk = 1u << 24;
          s->threads = 512;
        }) == TRIT_MEMORY);
  CHECK(error_has("context"));
  CHECK(opened([](auto* s) {
          s->context = 16;
          s->chunk = 1000000;  // more than the context: cut to it
        }) == TRIT_OK);
}

TEST_CASE("text becomes ids and back, and a first call may ask for the size") {
  Opened o;
  const std::string text = "ab<end>\xC3\xA9";
  size_t needed = 0;
  CHECK(trit_tokenize(o.model, text.data(), text.size(), 0, nullptr, 0, &needed) == TRIT_USAGE);
  CHECK(needed == 9);
  std::vector<int32_t> ids(needed);
  REQUIRE(trit_tokenize(o.model, text.data(), text.size(), 0, ids.data(), 9, &needed) == TRIT_OK);
  CHECK(ids == std::vector<int32_t>{'a', 'b', '<', 'e', 'n', 'd', '>', 0xC3, 0xA9});
  REQUIRE(trit_tokenize(o.model, text.data(), text.size(), TRIT_ADD_BOS | TRIT_PARSE_SPECIAL,
                        ids.data(), 9, &needed) == TRIT_OK);
  ids.resize(needed);
  CHECK(ids == std::vector<int32_t>{256, 'a', 'b', 257, 0xC3, 0xA9});
  char back[32];
  REQUIRE(trit_detokenize(o.model, ids.data(), ids.size(), 0, back, 32, &needed) == TRIT_OK);
  CHECK(std::string(back, needed) == "ab\xC3\xA9");
  REQUIRE(trit_detokenize(o.model, ids.data(), ids.size(), TRIT_PARSE_SPECIAL, back, 32, &needed) ==
          TRIT_OK);
  CHECK(std::string(back, needed) == "<s>ab<end>\xC3\xA9");
  CHECK(trit_detokenize(o.model, ids.data(), ids.size(), 0, back, 3, &needed) == TRIT_USAGE);
  CHECK(needed == 4);
  ids[1] = static_cast<int32_t>(trit::kByteVocab);
  CHECK(trit_detokenize(o.model, ids.data(), ids.size(), 0, back, 32, &needed) == TRIT_USAGE);
  CHECK(trit_tokenize(o.model, "a", 1, 64, ids.data(), 9, &needed) == TRIT_USAGE);
  REQUIRE(trit_tokenize(o.model, nullptr, 0, 0, nullptr, 0, &needed) == TRIT_OK);
  CHECK(needed == 0);
  CHECK(trit_is_end_token(o.model, 257) == 1);
  CHECK(trit_is_end_token(o.model, 256) == 0);
  CHECK(trit_is_end_token(o.model, INT32_MIN) == 0);
}

TEST_CASE("in a chat only the template's own text becomes special tokens") {
  Opened o;
  const trit_message messages[] = {{"user", "say <end> now"}};
  size_t needed = 0;
  std::vector<int32_t> ids(200);
  REQUIRE(trit_tokenize_chat(o.model, messages, 1, nullptr, ids.data(), ids.size(), &needed) ==
          TRIT_OK);
  for (size_t i = 0; i < needed; ++i) CHECK(ids[i] != trit::kByteEnd);
  char text[200];
  REQUIRE(trit_format_chat(o.model, messages, 1, nullptr, text, sizeof text, &needed) == TRIT_OK);
  CHECK(std::string(text, needed).find("say <end> now") != std::string::npos);
  trit_chat_options options;
  trit_chat_options_init(&options);
  set_number(&options.reasoning, 9);
  CHECK(trit_format_chat(o.model, messages, 1, &options, text, sizeof text, &needed) == TRIT_USAGE);
}

TEST_CASE("a model without a tokenizer takes and gives ids only") {
  trit::TempDir dir;
  trit::TinyModel tiny;
  tiny.config = trit::tiny_config();
  REQUIRE(trit::write_tiny_model(dir.path("m.trit"), tiny).ok());
  trit_model* model = nullptr;
  REQUIRE(trit_model_open(dir.path("m.trit").c_str(), nullptr, &model) == TRIT_OK);
  size_t needed = 0;
  int32_t id = 0;
  CHECK(trit_tokenize(model, "x", 1, 0, &id, 1, &needed) == TRIT_UNSUPPORTED);
  CHECK(trit_detokenize(model, &id, 1, 0, nullptr, 0, &needed) == TRIT_UNSUPPORTED);
  trit_session* session = nullptr;
  REQUIRE(trit_session_open(model, nullptr, &session) == TRIT_OK);
  CHECK(trit_session_context(session) == 64);  // what the model was made for
  const int32_t ids[] = {1, 2, 3};
  REQUIRE(trit_session_prompt(session, ids, 3) == TRIT_OK);
  trit_generate_options options = generate_options(5);
  options.ignore_end = 1;
  std::string text;
  REQUIRE(trit_session_generate(session, &options, append_text, &text, nullptr) == TRIT_OK);
  CHECK(text == "");
  CHECK(trit_session_position(session) == 8);
  trit_session_close(session);
  trit_model_close(model);
}

TEST_CASE("ids out of range and full contexts leave the session as it was") {
  Opened o;
  trit_session* s = o.open(12, 4);
  REQUIRE(trit_session_prefill(s, kPrompt.data(), kPrompt.size(), nullptr) == TRIT_OK);
  const std::vector<float> before = logits_of(s);
  for (int32_t bad : {-1, 270, INT32_MAX, INT32_MIN}) {
    std::vector<int32_t> ids = {1, 2, bad, 3};
    CHECK(trit_session_prefill(s, ids.data(), ids.size(), nullptr) == TRIT_USAGE);
    CHECK(trit_session_prompt(s, ids.data(), ids.size()) == TRIT_USAGE);
    CHECK(trit_session_decode(s, bad) == TRIT_USAGE);
  }
  const std::vector<int32_t> many(8, 1);
  CHECK(trit_session_prefill(s, many.data(), 8, nullptr) == TRIT_LIMIT);
  CHECK(error_has("context of 12"));
  const std::vector<int32_t> more(13, 1);
  CHECK(trit_session_prompt(s, more.data(), 13) == TRIT_LIMIT);
  CHECK(trit_session_prompt(s, more.data(), 0) == TRIT_USAGE);
  CHECK(trit_session_rewind(s, 6) == TRIT_USAGE);
  CHECK(trit_session_position(s) == 5);
  CHECK(logits_of(s) == before);
  // It goes on as if nothing had happened, up to the last position.
  CHECK(trit_session_prefill(s, nullptr, 0, nullptr) == TRIT_OK);
  CHECK(logits_of(s) == before);
  CHECK(trit_session_prefill(s, many.data(), 7, nullptr) == TRIT_OK);
  CHECK(trit_session_position(s) == 12);
  CHECK(trit_session_decode(s, 1) == TRIT_LIMIT);
}

TEST_CASE("a session outlives its model's handle") {
  Opened o;
  trit_session* s = o.open();
  trit_model_close(o.model);
  o.model = nullptr;
  CHECK(trit_session_prefill(s, kPrompt.data(), kPrompt.size(), nullptr) == TRIT_OK);
  int32_t id = -1;
  CHECK(trit_session_sample(s, &id) == TRIT_OK);
  CHECK(id >= 0);
}

TEST_CASE("the last error belongs to its thread") {
  CHECK(trit_model_open(nullptr, nullptr, nullptr) == TRIT_USAGE);
  const std::string mine = trit_last_error();
  std::string other_before, other_after;
  std::thread([&] {
    other_before = trit_last_error();
    trit_session_decode(nullptr, 0);
    other_after = trit_last_error();
  }).join();
  CHECK(other_before == "");
  CHECK(other_after.find("session") != std::string::npos);
  CHECK(trit_last_error() == mine);
  CHECK(mine.find("path") != std::string::npos);
}

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
  CHECK(highest == static_cast<int32_t>(trit::kBytePieces) - 1);
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
      if (next != trit::kByteEnd) continue;
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
  const auto cancel_now = [](const char*, size_t, int32_t, void* user) {
    trit_session_cancel(static_cast<trit_session*>(user));
    return 0;
  };
  trit_generate_options options = generate_options(-1);
  options.ignore_end = 1;
  trit_generate_result result = {};
  result.struct_size = sizeof result;
  CHECK(trit_session_generate(s, &options, cancel_now, s, &result) == TRIT_CANCELLED);
  CHECK(result.stop == TRIT_STOP_CANCELLED);
  CHECK(result.tokens == 1);
  CHECK(trit_session_position(s) == kPrompt.size());
  CHECK(trit_session_logits(s) == nullptr);
  REQUIRE(trit_session_prompt(s, kPrompt.data(), kPrompt.size()) == TRIT_OK);
  CHECK(trit_session_logits(s) != nullptr);
}
