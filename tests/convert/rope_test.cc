// Rotary frequencies against those of the Python reference (transformers' formulas in NumPy).
#include "model_format/convert/rope.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace trit {
namespace {

struct Rope {
  Status status;
  ModelConfig config;

  Rope(const std::string& json, uint32_t head_dim, uint32_t max_positions) {
    const auto document = JsonDocument::parse(json, "config.json");
    REQUIRE(document.ok());
    JsonFields fields(document.value()->root(), "config.json", "$");
    config.head_dim = head_dim;
    config.max_positions = max_positions;
    read_rope(&fields, &config);
    status = fields.status();
  }
};

void check_frequencies(const Rope& rope, const std::vector<double>& expected, double factor) {
  REQUIRE(rope.status.ok());
  REQUIRE(rope.config.rope_frequencies.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(rope.config.rope_frequencies[i] == doctest::Approx(expected[i]).epsilon(1e-13));
  CHECK(rope.config.rope_factor == static_cast<float>(factor));
}

}  // namespace

TEST_CASE("default rope is theta to the power of -2i / head_dim") {
  const std::vector<double> expected = {1.0,  0.31622776601683794,   0.1,   0.031622776601683791,
                                        0.01, 0.0031622776601683794, 0.001, 0.00031622776601683794};
  check_frequencies(Rope("{}", 16, 2048), expected, 1);
  check_frequencies(Rope(R"({"rope_theta": 10000, "rope_scaling": null})", 16, 2048), expected, 1);
  check_frequencies(
      Rope(R"({"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}})", 16, 2048),
      expected, 1);
}

TEST_CASE("linear scaling divides every frequency") {
  check_frequencies(Rope(R"({"rope_scaling": {"type": "linear", "factor": 4.0}})", 16, 2048),
                    {0.25, 0.079056941504209485, 0.025, 0.0079056941504209478, 0.0025,
                     0.00079056941504209485, 0.00025, 7.9056941504209485e-05},
                    1);
}

TEST_CASE("llama3 scaling keeps, blends and stretches its three bands") {
  const std::string scaling =
      R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64)";
  const std::vector<double> expected = {1.0,
                                        0.0794030091792082,
                                        0.0047007538663579916,
                                        0.00091158309215213867,
                                        0.00017677669529663688,
                                        3.4281021959525912e-05,
                                        6.6478698711812354e-06,
                                        1.2891731721515574e-06};
  check_frequencies(
      Rope(R"({"rope_theta": 500000.0, "rope_scaling": )" + scaling + "}}", 16, 131072), expected,
      1);
  check_frequencies(
      Rope(R"({"rope_parameters": )" + scaling + R"(, "rope_theta": 500000.0}})", 16, 131072),
      expected, 1);
}

TEST_CASE("yarn scaling ramps over pairs and scales attention") {
  check_frequencies(Rope(R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                             "original_max_position_embeddings": 512}})",
                         16, 2048),
                    {1.0, 0.25693505988868082, 0.0625, 0.01383496476323666, 0.0025,
                     0.00079056941504209485, 0.00025, 7.9056941504209485e-05},
                    1.138629436111989);
  check_frequencies(
      Rope(R"({"rope_theta": 1000000, "rope_scaling": {"type": "yarn", "factor": 8.0,
                             "truncate": false, "attention_factor": 1.5, "beta_fast": 16,
                             "beta_slow": 2}})",
           16, 32768),
      {1.0, 0.17782794100389229, 0.031622776601683791, 0.005623413251903491, 0.00052829321254413203,
       2.2228492625486534e-05, 3.9528470752104744e-06, 7.029266564879364e-07},
      1.5);
}

TEST_CASE("ropes that are not built are unsupported by name, impossible ones malformed") {
  const struct {
    const char* json;
    Code code;
    const char* message;
  } cases[] = {
      {R"({"rope_scaling": {"type": "dynamic", "factor": 2}})", Code::kUnsupported, "\"dynamic\""},
      {R"({"rope_scaling": {"rope_type": "longrope"}})", Code::kUnsupported, "$.rope_scaling"},
      {R"({"rope_parameters": {"full_attention": {}}})", Code::kUnsupported, "full_attention"},
      {R"({"partial_rotary_factor": 0.5})", Code::kUnsupported, "partial_rotary_factor"},
      {R"({"rope_scaling": {"type": "linear"}})", Code::kMalformed, "$.rope_scaling.factor"},
      {R"({"rope_scaling": {"type": "linear", "factor": 0}})", Code::kMalformed, "factor"},
      {R"({"rope_scaling": {"type": "linear", "factor": "4"}})", Code::kMalformed, "factor"},
      {R"({"rope_scaling": {"type": "llama3", "factor": 8}})", Code::kMalformed, "low_freq"},
      {R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4,
           "high_freq_factor": 4}})",
       Code::kMalformed, "high_freq_factor"},
      {R"({"rope_scaling": []})", Code::kMalformed, "an object"},
      {R"({"rope_scaling": {"type": 1}})", Code::kMalformed, "$.rope_scaling.type"},
      {R"({"rope_theta": 0})", Code::kMalformed, "rope_theta"},
      {R"({"rope_theta": -10000})", Code::kMalformed, "rope_theta"},
      {R"({"rope_theta": "10000"})", Code::kMalformed, "rope_theta"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.json);
    const Status status = Rope(c.json, 16, 2048).status;
    CAPTURE(status.message());
    CHECK(status.code() == c.code);
    CHECK(status.message().find(c.message) != std::string::npos);
  }
}

}  // namespace trit
