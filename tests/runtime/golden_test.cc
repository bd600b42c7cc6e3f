// Real checkpoints, converted with --dense f32, against the float64 results of the oracle beside
// them. Skipped where the test data is not there.
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "model_format/convert/converter.h"
#include "model_format/json.h"
#include "runtime/session.h"
#include "tests/support/reference.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"

using namespace trit;

namespace {

std::string golden(const std::string& name) {
  return shared_data() + "/golden/" + name;
}

std::vector<int32_t> ids_at(const std::string& json_path, std::string_view key) {
  const std::string text = read_file(json_path);
  auto json = JsonDocument::parse(text, json_path);
  REQUIRE_MESSAGE(json.ok(), json.status().message());
  const JsonValue list = json.value()->root()[key];
  std::vector<int32_t> ids;
  for (size_t i = 0; i < list.size(); ++i) ids.push_back(static_cast<int32_t>(*list[i].integer()));
  REQUIRE(!ids.empty());
  return ids;
}

std::vector<double> golden_logits(const std::string& name) {
  const std::string bytes = read_file(golden(name + ".logits.f32"));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return {values.begin(), values.end()};
}

std::shared_ptr<const Model> dense_model(const TempDir& dir, const std::string& checkpoint) {
  QuantizeOptions options;
  options.source = shared_data() + "/models/" + checkpoint;
  options.output = dir.path("dense.trit");
  options.encoding = Encoding::kDenseF32;
  options.threads = 2;
  options.force = true;
  const std::atomic<bool> never{false};
  const auto converted = quantize(options, nullptr, never);
  REQUIRE_MESSAGE(converted.ok(), converted.status().message());
  auto model = Model::open(options.output, ModelOptions());
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return model.value();
}

std::unique_ptr<Session> open_session(std::shared_ptr<const Model> model,
                                      std::optional<CacheType> cache = {}) {
  SessionOptions options;
  options.threads = 2;
  options.chunk = 16;
  options.cache_k = options.cache_v = cache;
  auto session = Session::open(std::move(model), options);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  return std::move(session.value());
}

double error_of(std::shared_ptr<const Model> model, const std::string& name,
                std::optional<CacheType> cache = {}) {
  const std::vector<int32_t> ids = ids_at(golden(name + ".json"), "ids");
  const std::vector<double> expected = golden_logits(name);
  std::vector<float> logits(ids.size() * model->config().vocab);
  REQUIRE(logits.size() == expected.size());
  REQUIRE(open_session(std::move(model), cache)->prefill(ids, logits.data()).ok());
  return nmse(logits, expected);
}

}  // namespace

TEST_CASE("dense checkpoints give the oracle's logits") {
  if (shared_data().empty()) return skip("no shared test data");
  TempDir dir;
  const struct {
    const char* checkpoint;
    std::string name;
  } models[] = {{"stories260K-hf", "stories260K"},
                {"stories-qwen3-hf", "stories-qwen3"},
                {"random/llama3-tiny", "llama3-tiny"},
                {"random/qwen2-tiny", "qwen2-tiny"},
                {"random/qwen3-tiny", "qwen3-tiny"}};
  for (const auto& m : models) {
    CAPTURE(m.name);
    const auto model = dense_model(dir, m.checkpoint);
    CHECK(model->dense_f32());
    const double error = error_of(model, m.name);
    CHECK(error <= 1e-9);
    // An f16 cache is close, and not the same.
    const double f16 = error_of(model, m.name, CacheType::kF16);
    CHECK(f16 <= 1e-5);
    CHECK(f16 > error);
  }
}

TEST_CASE("BitNet checkpoints give the oracle's logits, int8 inputs included") {
  if (shared_data().empty()) return skip("no shared test data");
  TempDir dir;
  for (const std::string name : {"bitnet-tiny", "bitnet-divide-tiny"}) {
    CAPTURE(name);
    const auto model = dense_model(dir, "random/" + name);
    CHECK(model->planes().current()->weights.layers[0].q.encoding == Encoding::kNative);
    CHECK(error_of(model, name + ".exact") <= 1e-6);
    CHECK(error_of(model, name) <= 1e-2);
  }
}

TEST_CASE("the greedy story of stories260K is the oracle's, token for token") {
  if (shared_data().empty()) return skip("no shared test data");
  TempDir dir;
  const std::string path = golden("stories260K.greedy.json");
  const std::vector<int32_t> expected = ids_at(path, "ids");
  const auto session = open_session(dense_model(dir, "stories260K-hf"));
  SamplingOptions greedy;
  greedy.temperature = 0;
  REQUIRE(session->set_sampling(greedy).ok());
  REQUIRE(session->prompt(ids_at(path, "prompt_ids")).ok());
  std::vector<int32_t> story;
  while (story.size() < expected.size()) {
    const int32_t id = session->sample().value();
    story.push_back(id);
    REQUIRE(session->prefill({&id, 1}, nullptr).ok());
  }
  CHECK(story == expected);
}
