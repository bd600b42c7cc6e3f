// forward() against the naive transformer in double of tests/support/reference.h, over every
// feature a model can have and every way its matrices can be stored.
#include "runtime/forward.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "runtime/session.h"
#include "tests/support/reference.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

using namespace trit;

namespace {

const std::vector<int32_t> kIds = {1, 99, 0, 57, 57, 3, 42};

// With f32 weights, inputs and cache both sides differ by float rounding alone: a few hundred
// roundings of 6e-8 each, so about 1e-6 relative, 1e-12 squared. Where inputs are rounded to int8
// the same holds as long as no input lies near a tie; see near_tie.
constexpr double kTolerance = 1e-10;
// An input whose error in steps (127 times about 1e-6) could carry it over a tie.
constexpr double kNearTie = 3e-4;

std::vector<float> runtime_logits(const std::string& path, const ModelOptions& options,
                                  CacheType cache) {
  auto model = Model::open(path, options);
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  SessionOptions session_options;
  session_options.threads = 2;
  session_options.chunk = 3;
  session_options.cache_k = session_options.cache_v = cache;
  auto session = Session::open(model.value(), session_options);
  REQUIRE(session.ok());
  std::vector<float> logits(kIds.size() * model.value()->config().vocab);
  REQUIRE(session.value()->prefill(kIds, logits.data()).ok());
  return logits;
}

// Writes the first model, over seeds, none of whose inputs comes near a tie, and compares. Most
// seeds qualify or one of the next does: with n inputs about exp(-2 n kNearTie) of them.
void check_against_reference(TinyModel model, uint32_t planes = 0, uint32_t head_planes = 0) {
  TempDir dir;
  const std::string path = dir.path("tiny.trit");
  for (model.seed = 1; model.seed <= 60; ++model.seed) {
    const Status written = write_tiny_model(path, model);
    REQUIRE_MESSAGE(written.ok(), written.message());
    auto reader = ModelReader::open(path);
    REQUIRE_MESSAGE(reader.ok(), reader.status().message());
    const ReferenceResult expected = reference_logits(reader.value(), kIds, planes, head_planes);
    if (expected.tie_distance < kNearTie) continue;
    ModelOptions options;
    options.planes.caps = {planes, head_planes};
    const double error = nmse(runtime_logits(path, options, CacheType::kF32), expected.logits);
    CHECK(error < kTolerance);
    // An f16 cache rounds keys and values to 11 bits: 2^-12 relative, 6e-8 squared, grown a little
    // on its way through the layers (int8 inputs may cross a tie then).
    const double f16 = nmse(runtime_logits(path, options, CacheType::kF16), expected.logits);
    CHECK(f16 < (expected.tie_distance == 0.5 ? 1e-5 : 1e-3));
    CHECK(f16 > error);
    // q8_0 rounds to half a step of 1/127 of the largest of a head: 2e-3 relative, 4e-6 squared.
    const double q8 = nmse(runtime_logits(path, options, CacheType::kQ8), expected.logits);
    CHECK(q8 < 1e-3);
    CHECK(q8 > f16);
    return;
  }
  FAIL("no seed stays away from rounding ties");
}

TinyModel tiny(Encoding encoding, Encoding head) {
  TinyModel model;
  model.config = tiny_config();
  model.encoding = encoding;
  model.head_encoding = head;
  return model;
}

TinyModel dense() {
  return tiny(Encoding::kDenseF32, Encoding::kDenseF32);
}

}  // namespace

TEST_CASE("the plain model agrees with the reference") {
  check_against_reference(dense());
}

TEST_CASE("each feature of a model agrees with the reference") {
  TinyModel model = dense();
  SUBCASE("separate head") {
    model.config.tied_head = false;
  }
  SUBCASE("qkv bias") {
    model.config.qkv_bias = true;
  }
  SUBCASE("o bias") {
    model.config.o_bias = true;
  }
  SUBCASE("ffn bias") {
    model.config.ffn_bias = true;
  }
  SUBCASE("q and k norms") {
    model.config.qk_norm = true;
  }
  SUBCASE("sub-norms") {
    model.config.sub_norm = true;
  }
  SUBCASE("squared relu") {
    model.config.activation = Activation::kRelu2;
  }
  SUBCASE("rope factor") {
    model.config.rope_factor = 1.25f;
  }
  SUBCASE("one kv head") {
    model.config.n_kv_heads = 1;
  }
  SUBCASE("as many kv heads as heads") {
    model.config.n_kv_heads = 4;
  }
  SUBCASE("heads wider than the model") {
    model.config.head_dim = 34;
  }
  SUBCASE("one head of two") {
    model.config.n_heads = model.config.n_kv_heads = 1;
    model.config.head_dim = 2;
  }
  SUBCASE("everything at once") {
    model.config.tied_head = false;
    model.config.qkv_bias = model.config.o_bias = model.config.ffn_bias = true;
    model.config.qk_norm = model.config.sub_norm = true;
    model.config.activation = Activation::kRelu2;
  }
  check_against_reference(model);
}

TEST_CASE("each way to store matrices agrees with the reference") {
  SUBCASE("bf16") {
    check_against_reference(tiny(Encoding::kDenseBf16, Encoding::kDenseBf16));
  }
  SUBCASE("tied") {
    check_against_reference(tiny(Encoding::kTied, Encoding::kTied));
  }
  SUBCASE("free") {
    check_against_reference(tiny(Encoding::kFree, Encoding::kFree));
  }
  SUBCASE("tied layers, dense head") {
    check_against_reference(tiny(Encoding::kTied, Encoding::kDenseBf16));
  }
  SUBCASE("native layers as in BitNet") {
    TinyModel model = tiny(Encoding::kNative, Encoding::kTied);
    model.config.sub_norm = true;
    model.config.activation = Activation::kRelu2;
    check_against_reference(model);
  }
  SUBCASE("native everywhere") {
    check_against_reference(tiny(Encoding::kNative, Encoding::kNative));
  }
  SUBCASE("tied with biases and norms") {
    TinyModel model = tiny(Encoding::kTied, Encoding::kTied);
    model.config.tied_head = false;
    model.config.qkv_bias = model.config.qk_norm = true;
    check_against_reference(model);
  }
  SUBCASE("groups that leave one column over") {
    TinyModel model = tiny(Encoding::kTied, Encoding::kTied);
    model.group = 13;
    check_against_reference(model);
  }
  SUBCASE("one group wider than a row") {
    TinyModel model = tiny(Encoding::kTied, Encoding::kFree);
    model.group = 160;
    check_against_reference(model);
  }
}

TEST_CASE("each number of planes agrees with the reference") {
  SUBCASE("two of three planes") {
    check_against_reference(tiny(Encoding::kTied, Encoding::kTied), 2, 0);
  }
  SUBCASE("two of four planes, three of four for the head") {
    TinyModel model = tiny(Encoding::kTied, Encoding::kTied);
    model.planes = 4;
    check_against_reference(model, 2, 3);
  }
  SUBCASE("more planes asked for than stored") {
    check_against_reference(tiny(Encoding::kTied, Encoding::kTied), 4, 4);
  }
  SUBCASE("one plane stored") {
    TinyModel model = tiny(Encoding::kTied, Encoding::kTied);
    model.planes = model.head_planes = 1;
    check_against_reference(model);
  }
}
