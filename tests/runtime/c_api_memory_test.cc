// Budgets and planes through tritstack.h: what changes, what is refused, what info tells.
#include <doctest/doctest.h>

#include "tests/runtime/opened.h"

using namespace trit;

namespace {

trit_model_info info_of(const trit_model* model) {
  trit_model_info info = {};
  info.struct_size = sizeof info;
  REQUIRE(trit_model_get_info(model, &info) == TRIT_OK);
  return info;
}

}  // namespace

TEST_CASE("planes change under a conversation, which keeps its tokens and its cache") {
  Opened o;
  o.open(64);
  const auto prompt = [&] {
    REQUIRE(trit_session_rewind(o.session, 0) == TRIT_OK);
    REQUIRE(trit_session_prefill(o.session, kPrompt.data(), kPrompt.size(), nullptr) == TRIT_OK);
    return logits_of(o.session);
  };
  const std::vector<float> all = prompt();
  REQUIRE(trit_model_set_planes(o.model, 2, 3) == TRIT_OK);
  CHECK(info_of(o.model).planes == 2);
  CHECK(info_of(o.model).head_planes == 3);
  CHECK(trit_session_position(o.session) == kPrompt.size());
  CHECK(logits_of(o.session) == all);  // until the next pass
  CHECK(prompt() != all);
  REQUIRE(trit_model_set_planes(o.model, 0, 0) == TRIT_OK);
  REQUIRE(trit_model_settle(o.model) == TRIT_OK);
  CHECK(info_of(o.model).planes == 3);
  CHECK(prompt() == all);
  CHECK(trit_model_set_planes(o.model, 1, 0) == TRIT_USAGE);
  CHECK(error_has("the base of this model"));
}

TEST_CASE("a budget changes planes, and one that is too small says which one works") {
  Opened o;
  o.open(64);
  const trit_model_info before = info_of(o.model);
  CHECK(before.memory_bytes == 0);
  CHECK(before.prefix_blocks == before.blocks_stored);
  CHECK(before.resident_bytes > before.smallest_bytes);
  CHECK(trit_model_set_memory(o.model, before.smallest_bytes - 1) == TRIT_MEMORY);
  CHECK(error_has(std::to_string(before.smallest_bytes).c_str()));
  CHECK(info_of(o.model).memory_bytes == 0);
  REQUIRE(trit_model_set_memory(o.model, before.smallest_bytes) == TRIT_OK);
  const trit_model_info least = info_of(o.model);
  CHECK(least.memory_bytes == before.smallest_bytes);
  CHECK(least.resident_bytes == before.smallest_bytes);
  CHECK(least.prefix_blocks < before.prefix_blocks);
  CHECK(least.planes == 2);
  CHECK(least.fewest_planes == 2);
  REQUIRE(trit_model_set_memory(o.model, before.resident_bytes - 1) == TRIT_OK);
  REQUIRE(trit_model_settle(o.model) == TRIT_OK);
  CHECK(info_of(o.model).planes == 3);
  CHECK(info_of(o.model).fewest_planes + info_of(o.model).fewest_head_planes < 3 + 4);
  REQUIRE(trit_model_set_memory(o.model, before.smallest_bytes) == TRIT_OK);
  // Another session has no room; by force it runs.
  trit_session* second = nullptr;
  CHECK(trit_session_open(o.model, nullptr, &second) == TRIT_MEMORY);
  CHECK(second == nullptr);
  trit_model_options options;
  trit_model_options_init(&options);
  options.memory_bytes = 1;
  options.force = 1;
  trit_model* forced = nullptr;
  REQUIRE(trit_model_open(o.dir.path("m.trit").c_str(), &options, &forced) == TRIT_OK);
  REQUIRE(trit_session_open(forced, nullptr, &second) == TRIT_OK);
  CHECK(trit_session_prefill(second, kPrompt.data(), kPrompt.size(), nullptr) == TRIT_OK);
  trit_session_close(second);
  trit_model_close(forced);
  REQUIRE(trit_model_set_memory(o.model, 0) == TRIT_OK);
  REQUIRE(trit_model_settle(o.model) == TRIT_OK);
  CHECK(info_of(o.model).prefix_blocks == before.prefix_blocks);
  CHECK(trit_model_set_memory(nullptr, 0) == TRIT_USAGE);
  CHECK(trit_model_set_planes(nullptr, 0, 0) == TRIT_USAGE);
  CHECK(trit_model_settle(nullptr) == TRIT_USAGE);
}

TEST_CASE("what a program sets aside is part of the budget") {
  Opened o;
  o.open(64);
  const trit_model_info before = info_of(o.model);
  constexpr uint64_t kAside = 5 << 20;
  REQUIRE(trit_model_set_aside(o.model, kAside) == TRIT_OK);
  CHECK(info_of(o.model).resident_bytes == before.resident_bytes + kAside);
  CHECK(info_of(o.model).smallest_bytes == before.smallest_bytes + kAside);
  REQUIRE(trit_model_set_memory(o.model, before.smallest_bytes + kAside) == TRIT_OK);
  CHECK(info_of(o.model).prefix_blocks < before.prefix_blocks);
  CHECK(trit_model_set_aside(o.model, kAside + 1) == TRIT_MEMORY);
  CHECK(error_has(std::to_string(before.smallest_bytes + kAside + 1).c_str()));
  CHECK(info_of(o.model).smallest_bytes == before.smallest_bytes + kAside);
  REQUIRE(trit_model_set_aside(o.model, 0) == TRIT_OK);
  REQUIRE(trit_model_settle(o.model) == TRIT_OK);
  CHECK(info_of(o.model).prefix_blocks == before.prefix_blocks);
  CHECK(trit_model_set_aside(nullptr, 0) == TRIT_USAGE);
}

TEST_CASE("with all_planes a budget holds the planes asked for, or is refused") {
  Opened o;
  o.open(64);
  const trit_model_info whole = info_of(o.model);
  trit_model_options options;
  trit_model_options_init(&options);
  options.all_planes = 1;
  options.memory_bytes = whole.smallest_bytes;
  trit_model* pinned = nullptr;
  trit_session* session = nullptr;
  REQUIRE(trit_model_open(o.dir.path("m.trit").c_str(), &options, &pinned) == TRIT_OK);
  CHECK(trit_session_open(pinned, nullptr, &session) == TRIT_MEMORY);
  const std::string error = trit_last_error(), before = "expected at least ";
  const uint64_t needed = std::stoull(error.substr(error.find(before) + before.size()));
  CHECK(trit_model_set_memory(pinned, needed) == TRIT_OK);
  REQUIRE(trit_session_open(pinned, nullptr, &session) == TRIT_OK);
  REQUIRE(trit_model_settle(pinned) == TRIT_OK);
  CHECK(info_of(pinned).prefix_blocks == whole.prefix_blocks);
  CHECK(info_of(pinned).smallest_bytes == info_of(pinned).resident_bytes);
  CHECK(trit_model_set_memory(pinned, needed - 1) == TRIT_MEMORY);
  // Fewer that are asked for may need less.
  REQUIRE(trit_model_set_planes(pinned, 2, 3) == TRIT_OK);
  CHECK(trit_model_set_memory(pinned, needed - 1) == TRIT_OK);
  CHECK(trit_model_set_planes(pinned, 0, 0) == TRIT_MEMORY);
  CHECK(info_of(pinned).planes == 2);
  trit_session_close(session);
  trit_model_close(pinned);
}
