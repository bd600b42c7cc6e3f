// The public API as a user sees it: bad arguments leave everything as it was, models may be closed
// first, errors belong to their thread. Answers and cancels: c_api_generate_test.cc.
#include <algorithm>
#include <thread>

#include "tests/runtime/opened.h"

using namespace trit;

namespace {

// What a C caller may write into an enum.
template <typename Enum>
void set_number(Enum* to, int number) {
  std::memcpy(to, &number, sizeof number);
}

}  // namespace

TEST_CASE("version and kernel level are there before any model") {
  CHECK(std::string(trit_version()) == "0.1.0");
  REQUIRE(trit_kernel_level() != nullptr);
  CHECK(std::string(trit_kernel_level()) != "");
}

TEST_CASE("a model that cannot be opened gives a code, a sentence and NULL") {
  TempDir dir;
  trit_model* model = reinterpret_cast<trit_model*>(&dir);
  CHECK(trit_model_open(dir.path("absent.trit").c_str(), nullptr, &model) == TRIT_IO);
  CHECK(model == nullptr);
  CHECK(error_has("absent.trit"));
  write_file(dir.path("text.trit"), "once upon a time there was no model in this file");
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
  CHECK(info.vocab == kByteVocab);
  CHECK(info.planes == 3);
  CHECK(info.head_planes == 4);
  CHECK(info.dense == 0);
  CHECK(info.has_tokenizer == 1);
  CHECK(info.blocks_stored == 46);
  CHECK(info.blocks_present == 46);
  CHECK(info.blocks_in_use == 46);
  CHECK(info.file_bytes == read_file(o.dir.path("m.trit")).size());
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
  CHECK(std::string(trit_last_error()) == "message 1: content: expected a pointer, found NULL");
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
  ids[1] = static_cast<int32_t>(kByteVocab);
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
  for (size_t i = 0; i < needed; ++i) CHECK(ids[i] != kByteEnd);
  char text[200];
  REQUIRE(trit_format_chat(o.model, messages, 1, nullptr, text, sizeof text, &needed) == TRIT_OK);
  CHECK(std::string(text, needed).find("say <end> now") != std::string::npos);
  trit_chat_options options;
  trit_chat_options_init(&options);
  set_number(&options.reasoning, 9);
  CHECK(trit_format_chat(o.model, messages, 1, &options, text, sizeof text, &needed) == TRIT_USAGE);
}

TEST_CASE("a model without a tokenizer takes and gives ids only") {
  TempDir dir;
  TinyModel tiny;
  tiny.config = tiny_config();
  REQUIRE(write_tiny_model(dir.path("m.trit"), tiny).ok());
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
