// Folders to files, end to end: the bytes do not depend on threads, dense keeps every bit, ternary
// stays exact, and what cannot be converted leaves nothing behind.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/half.h"
#include "model_format/convert/converter.h"
#include "model_format/convert/safetensors.h"
#include "model_format/json.h"
#include "model_format/reader.h"
#include "model_format/verify.h"
#include "tests/support/blocks.h"
#include "tests/support/random.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_checkpoint.h"

namespace trit {
namespace {

const char* const kArchitectureNames[] = {"LlamaForCausalLM", "MistralForCausalLM",
                                          "Qwen2ForCausalLM", "Qwen3ForCausalLM",
                                          "BitNetForCausalLM"};

Result<QuantizeReport> run(QuantizeOptions options) {
  const std::atomic<bool> cancel{false};
  return quantize(options, {}, cancel);
}

QuantizeOptions options_for(const TempDir& dir, Encoding encoding = Encoding::kTied) {
  QuantizeOptions options;
  options.source = dir.path("hf");
  options.output = dir.path("out.trit");
  options.encoding = encoding;
  options.group = 20;
  return options;
}

Status convert_status(const TinyCheckpoint& checkpoint, Encoding encoding = Encoding::kTied) {
  const TempDir dir;
  checkpoint.write(dir.path("hf"));
  const Status status = run(options_for(dir, encoding)).status();
  if (!status.ok()) {
    CHECK_FALSE(std::filesystem::exists(dir.path("out.trit")));
    CHECK(std::distance(std::filesystem::directory_iterator(dir.folder()),
                        std::filesystem::directory_iterator()) == 1);
  }
  return status;
}

// The bytes that quantize makes of a folder; "" when it fails or the file does not verify.
std::string converted(const std::string& source, Encoding encoding, uint32_t threads) {
  const TempDir dir;
  QuantizeOptions options = options_for(dir, encoding);
  options.source = source;
  options.threads = threads;
  const auto report = run(options);
  REQUIRE_MESSAGE(report.ok(), report.status().message());
  const auto verified = verify_file(options.output, {});
  REQUIRE_MESSAGE(verified.ok(), verified.status().message());
  return read_file(options.output);
}

// Plane 0 of a native or one block of a dense matrix.
const uint8_t* only_block(const Blocks& blocks, size_t matrix) {
  for (size_t b = 0; b < blocks.reader().blocks().size(); ++b)
    if (blocks.reader().blocks()[b].matrix == matrix) return blocks.data(b);
  return nullptr;
}

std::vector<int8_t> native_row(const ModelReader& reader, size_t matrix, uint32_t row) {
  const MatrixInfo& m = reader.matrices()[matrix];
  std::vector<int8_t> trits(m.cols);
  const Blocks blocks(reader);
  const uint8_t* tile = only_block(blocks, matrix) + block_scale_bytes(m, 0) +
                        row / kTileRows * row_vectors(m.cols, m.group) * kVectorBytes;
  unpack_row(tile, row % kTileRows, m.cols, m.group, trits.data());
  return trits;
}

float native_scale(const ModelReader& reader, size_t matrix, uint32_t row) {
  float scale;
  std::memcpy(&scale, only_block(Blocks(reader), matrix) + 4 * row, 4);
  return scale;
}

}  // namespace

TEST_CASE("every architecture and encoding gives the same verified bytes on 1, 2 and 3 threads") {
  for (const char* name : kArchitectureNames) {
    CAPTURE(name);
    const TempDir dir;
    tiny_checkpoint(name, 11).write(dir.path("hf"));
    for (const Encoding e :
         {Encoding::kTied, Encoding::kFree, Encoding::kDenseF32, Encoding::kDenseBf16}) {
      const std::string one = converted(dir.path("hf"), e, 1);
      CHECK(one == converted(dir.path("hf"), e, 2));
      CHECK(one == converted(dir.path("hf"), e, 3));
    }
  }
}

TEST_CASE("the test checkpoints convert to the same verified bytes on 1 and 2 threads") {
  if (shared_data().empty()) return skip("no shared data");
  for (const char* name :
       {"stories260K-hf", "random/llama3-tiny", "random/qwen2-tiny", "random/qwen3-tiny",
        "random/bitnet-tiny", "random/bitnet-divide-tiny"}) {
    CAPTURE(name);
    const std::string folder = shared_data() + "/models/" + name;
    CHECK(converted(folder, Encoding::kTied, 1) == converted(folder, Encoding::kTied, 2));
  }
}

TEST_CASE("a dense f32 file holds exactly the tensors, whatever their type and shape") {
  const TempDir dir;
  TinyCheckpoint checkpoint = tiny_checkpoint("Qwen2ForCausalLM", 3);
  Random random(1);
  std::vector<float> values(72 * 40);
  for (float& x : values) x = bf16_to_f32(f32_to_bf16(static_cast<float>(random.normal())));
  checkpoint.tensor("model.layers.1.mlp.up_proj.weight") =
      float_tensor("model.layers.1.mlp.up_proj.weight", "BF16", {72, 40}, values);
  checkpoint.write(dir.path("hf"));
  REQUIRE(run(options_for(dir, Encoding::kDenseF32)).ok());
  const auto reader = ModelReader::open(dir.path("out.trit"));
  REQUIRE(reader.ok());
  const size_t up = reader->matrix_index(MatrixRole::kUp, 1);
  CHECK(std::memcmp(only_block(Blocks(reader.value()), up), values.data(), values.size() * 4) == 0);
  const std::string& q = checkpoint.tensor("model.layers.0.self_attn.q_proj.weight").bytes;
  CHECK(std::memcmp(only_block(Blocks(reader.value()), reader->matrix_index(MatrixRole::kQ, 0)),
                    q.data(), q.size()) == 0);
  const std::string& bias = checkpoint.tensor("model.layers.1.self_attn.k_proj.bias").bytes;
  const auto k_bias = reader->vector(VectorRole::kKBias, 1);
  REQUIRE(k_bias.size() * 4 == bias.size());
  CHECK(std::memcmp(k_bias.data(), bias.data(), bias.size()) == 0);
}

TEST_CASE("a large matrix is cut into row blocks and none is lost") {
  const TempDir dir;
  TinyCheckpoint checkpoint = tiny_checkpoint("LlamaForCausalLM", 3);
  const uint32_t vocab = 3301;  // about one block of 128 Ki weights, and a bit
  Random random(2);
  std::vector<float> values(vocab * 40);
  for (float& x : values) x = static_cast<float>(random.normal());
  checkpoint.config["vocab_size"] = std::to_string(vocab);
  checkpoint.tensor("model.embed_tokens.weight") =
      float_tensor("model.embed_tokens.weight", "F32", {vocab, 40}, values);
  checkpoint.write(dir.path("hf"));
  const std::string tied = converted(dir.path("hf"), Encoding::kTied, 2);
  CHECK(tied == converted(dir.path("hf"), Encoding::kTied, 1));
  REQUIRE(run(options_for(dir, Encoding::kDenseF32)).ok());
  const auto reader = ModelReader::open(dir.path("out.trit"));
  REQUIRE(reader.ok());
  CHECK(std::memcmp(only_block(Blocks(reader.value()), 0), values.data(), values.size() * 4) == 0);
}

TEST_CASE("packed ternary weights and their scale arrive exactly, odd rows too") {
  Random random(4);
  for (const bool multiply : {true, false}) {
    const TempDir dir;
    TinyCheckpoint checkpoint = tiny_checkpoint("BitNetForCausalLM", 5);
    checkpoint.config["intermediate_size"] = "73";
    for (const char* layer : {"0", "1"}) {
      const std::string mlp = std::string("model.layers.") + layer + ".mlp.";
      std::vector<int8_t> trits(73 * 40);
      for (const char* name : {"gate_proj.weight", "up_proj.weight"})
        checkpoint.tensor(mlp + name) = packed_tensor(mlp + name, 73, 40, trits);
      checkpoint.tensor(mlp + "down_proj.weight") =
          packed_tensor(mlp + "down_proj.weight", 40, 73, trits);
      checkpoint.tensor(mlp + "ffn_sub_norm.weight") =
          float_tensor(mlp + "ffn_sub_norm.weight", "F32", {73}, std::vector<float>(73, 1.0f));
    }
    std::vector<int8_t> trits(73 * 40);
    for (int8_t& t : trits) t = random.trit();
    const std::string up = "model.layers.1.mlp.up_proj.weight";
    checkpoint.tensor(up) = packed_tensor(up, 73, 40, trits);
    checkpoint.tensor(up + "_scale") = float_tensor(up + "_scale", "F32", {1}, {0.3f});
    if (!multiply) checkpoint.config["quantization_config"] = R"({"quant_method": "bitnet"})";
    checkpoint.write(dir.path("hf"));
    REQUIRE(run(options_for(dir)).ok());
    const auto reader = ModelReader::open(dir.path("out.trit"));
    REQUIRE(reader.ok());
    const size_t matrix = reader->matrix_index(MatrixRole::kUp, 1);
    CHECK(reader->matrices()[matrix].encoding == Encoding::kNative);
    CHECK(reader->matrices()[matrix].errors[0] == 0);
    for (uint32_t r = 0; r < 73; ++r) {
      CHECK(native_row(reader.value(), matrix, r) ==
            std::vector<int8_t>(trits.begin() + r * 40, trits.begin() + r * 40 + 40));
      CHECK(native_scale(reader.value(), matrix, r) == (multiply ? 0.3f : 1.0f / 0.3f));
    }
  }
}

TEST_CASE("the rows of a BitNet test checkpoint sum to what the reference says") {
  if (shared_data().empty()) return skip("no shared data");
  const TempDir dir;
  QuantizeOptions options = options_for(dir);
  options.source = shared_data() + "/models/random/bitnet-divide-tiny";
  REQUIRE(run(options).ok());
  const auto reader = ModelReader::open(options.output);
  REQUIRE(reader.ok());
  const std::string golden = read_file(shared_data() + "/golden/bitnet-divide-tiny.linear.json");
  const auto json = JsonDocument::parse(golden, "golden");
  REQUIRE(json.ok());
  const JsonValue sums = json.value()->root()["weight_sum_per_row"];
  const size_t k = reader->matrix_index(MatrixRole::kK, 0);
  REQUIRE(sums.size() == reader->matrices()[k].rows);
  for (uint32_t r = 0; r < sums.size(); ++r) {
    int64_t sum = 0;
    for (const int8_t t : native_row(reader.value(), k, r)) sum += t;
    CHECK(sum == sums[r].integer());
  }
  CHECK(native_scale(reader.value(), k, 0) == static_cast<float>(1 / 8.25));
}

TEST_CASE("online ternary masters are rounded by the mean of their magnitudes") {
  const TempDir dir;
  TinyCheckpoint checkpoint = tiny_checkpoint("LlamaForCausalLM", 6);
  checkpoint.config["quantization_config"] =
      R"({"quant_method": "bitnet", "quantization_mode": "online"})";
  std::vector<float> w(40 * 40, 0.5f);  // mean magnitude 0.5 once the pairs below cancel
  w[0] = 0.2499f, w[1] = 0.7501f, w[2] = -0.25f, w[3] = -0.75f, w[4] = 0.26f, w[5] = 0.74f;
  const std::string name = "model.layers.0.self_attn.o_proj.weight";
  checkpoint.tensor(name) = float_tensor(name, "F32", {40, 40}, w);
  checkpoint.write(dir.path("hf"));
  REQUIRE(run(options_for(dir)).ok());
  const auto reader = ModelReader::open(dir.path("out.trit"));
  REQUIRE(reader.ok());
  const size_t o = reader->matrix_index(MatrixRole::kO, 0);
  CHECK(native_scale(reader.value(), o, 7) == doctest::Approx(0.5).epsilon(1e-7));
  const std::vector<int8_t> row = native_row(reader.value(), o, 0);
  CHECK(row[0] == 0);
  CHECK(row[1] == 1);
  CHECK(row[3] == -1);
  CHECK(row[4] == 1);
  CHECK(row[6] == 1);
}

TEST_CASE("planes, base planes and groups are those asked for") {
  const TempDir dir;
  tiny_checkpoint("LlamaForCausalLM", 1).write(dir.path("hf"));
  for (uint32_t planes = 1; planes <= 4; ++planes) {
    QuantizeOptions options = options_for(dir);
    options.planes = planes;
    options.head_planes = 5 - planes;
    options.group = 33;
    options.force = true;
    const auto report = run(options);
    REQUIRE(report.ok());
    CHECK(report->rows.size() == (planes < 2 ? 1 : planes - 1));
    CHECK(report->rows.back().planes == planes);
    CHECK(report->file_bytes == std::filesystem::file_size(options.output));
    const auto reader = ModelReader::open(options.output);
    REQUIRE(reader.ok());
    for (const MatrixInfo& m : reader->matrices()) {
      const bool layer = is_layer_role(m.role);
      CHECK(m.planes == (layer ? planes : 5 - planes));
      CHECK(m.base_planes == std::min(m.planes, layer ? 2u : 3u));
      CHECK(m.group == 33);
      for (uint32_t p = 1; p < m.planes; ++p) CHECK(m.errors[p] < m.errors[p - 1]);
    }
    REQUIRE(verify_file(options.output, {}).ok());
  }
}

TEST_CASE("options that make no sense are usage errors") {
  const TempDir dir;
  tiny_checkpoint("LlamaForCausalLM", 1).write(dir.path("hf"));
  const auto code = [&](auto change) {
    QuantizeOptions options = options_for(dir);
    change(&options);
    return run(options).status().code();
  };
  CHECK(code([](QuantizeOptions* o) { o->planes = 0; }) == Code::kUsage);
  CHECK(code([](QuantizeOptions* o) { o->planes = 5; }) == Code::kUsage);
  CHECK(code([](QuantizeOptions* o) { o->head_planes = 5; }) == Code::kUsage);
  CHECK(code([](QuantizeOptions* o) { o->group = 0; }) == Code::kUsage);
  CHECK(code([](QuantizeOptions* o) { o->group = (1u << 20) + 1; }) == Code::kUsage);
  CHECK(code([](QuantizeOptions* o) { o->output = ""; }) == Code::kUsage);
  CHECK(code([](QuantizeOptions* o) { o->source += "/config.json"; }) == Code::kUsage);
  CHECK(code([](QuantizeOptions* o) { o->source += "/absent"; }) == Code::kIo);
  CHECK(code([&](QuantizeOptions* o) {
          o->output = dir.path("hf/model.safetensors");
          o->force = true;
        }) == Code::kUsage);
  CHECK(code([](QuantizeOptions* o) { o->encoding = Encoding::kNative; }) == Code::kUnsupported);
  write_file(dir.path("out.trit"), "mine");
  CHECK(code([](QuantizeOptions*) {}) == Code::kUsage);
  CHECK(read_file(dir.path("out.trit")) == "mine");
  CHECK(code([](QuantizeOptions* o) { o->force = true; }) == Code::kOk);
}

TEST_CASE("a cancelled run says so and leaves no output") {
  const TempDir dir;
  tiny_checkpoint("LlamaForCausalLM", 1).write(dir.path("hf"));
  std::atomic<bool> cancel{false};
  const auto progress = [&](const std::string& stage, uint64_t, uint64_t) {
    if (stage == "layers.1.q") cancel = true;
  };
  CHECK(quantize(options_for(dir), progress, cancel).status().code() == Code::kCancelled);
  CHECK_FALSE(std::filesystem::exists(dir.path("out.trit")));
}

TEST_CASE("tensors that do not fit the config are named") {
  const std::string q = "model.layers.1.self_attn.q_proj.weight";
  const auto base = [] { return tiny_checkpoint("LlamaForCausalLM", 1); };
  TinyCheckpoint missing = base(), shape = base(), type = base(), bias = base(), head = base();
  missing.erase(q);
  shape.tensor(q).shape = {20, 80};
  type.tensor(q) = {q, "I32", {40, 40}, std::string(6400, '\0')};
  bias.tensors.push_back(
      float_tensor("model.layers.0.mlp.up_proj.bias", "F32", {72}, std::vector<float>(72)));
  head.config["tie_word_embeddings"] = "false";
  for (const auto& [checkpoint, code, message] :
       {std::tuple{missing, Code::kMalformed, "q_proj.weight\" at header: expected a tensor"},
        std::tuple{shape, Code::kMalformed, "expected [40, 40], found [20, 80]"},
        std::tuple{type, Code::kUnsupported, "found \"I32\""},
        std::tuple{bias, Code::kMalformed, "no up_bias"},
        std::tuple{head, Code::kMalformed, "tie_word_embeddings"}}) {
    const Status status = convert_status(checkpoint);
    CAPTURE(status.message());
    CHECK(status.code() == code);
    CHECK(status.message().find(message) != std::string::npos);
  }
}

TEST_CASE("weights that no file could hold are malformed and named") {
  const std::string down = "model.layers.0.mlp.down_proj.weight";
  for (const auto& [value, encoding] :
       {std::pair{NAN, Encoding::kTied}, std::pair{INFINITY, Encoding::kDenseF32},
        std::pair{1e30f, Encoding::kTied}, std::pair{1e30f, Encoding::kFree},
        std::pair{3.4e38f, Encoding::kDenseBf16}}) {
    TinyCheckpoint checkpoint = tiny_checkpoint("LlamaForCausalLM", 1);
    std::vector<float> w(40 * 72, 0.01f);
    w[2 * 72 + 5] = value;
    checkpoint.tensor(down) = float_tensor(down, "F32", {40, 72}, w);
    const Status status = convert_status(checkpoint, encoding);
    CHECK(status.code() == Code::kMalformed);
    CHECK(status.message().find("down_proj.weight\" at [2, 5]") != std::string::npos);
  }
  TinyCheckpoint large = tiny_checkpoint("LlamaForCausalLM", 1);
  large.tensor(down) = float_tensor(down, "F32", {40, 72}, std::vector<float>(40 * 72, 1e30f));
  CHECK(convert_status(large, Encoding::kDenseF32).ok());
}

TEST_CASE("damaged ternary weights are malformed") {
  const std::string k = "model.layers.0.self_attn.k_proj.weight";
  TinyCheckpoint code = tiny_checkpoint("BitNetForCausalLM", 1), scale = code, plain = code;
  code.tensor(k).bytes[7] = '\x03';
  CHECK(convert_status(code).code() == Code::kMalformed);
  for (const float bad : {0.0f, -1.0f, INFINITY, NAN, 1e-45f}) {
    scale.config["quantization_config"] = R"({"quant_method": "bitnet"})";
    scale.tensor(k + "_scale") = float_tensor(k + "_scale", "F32", {1}, {bad});
    CHECK(convert_status(scale).code() == Code::kMalformed);
  }
  plain.tensor(k) = float_tensor(k, "F32", {20, 40}, std::vector<float>(800, 1.0f));
  CHECK(convert_status(plain).code() == Code::kMalformed);
}

TEST_CASE("tensors that are not needed are left out with a warning") {
  const TempDir dir;
  TinyCheckpoint checkpoint = tiny_checkpoint("LlamaForCausalLM", 1);
  checkpoint.tensors.push_back(
      float_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {5}, {1, 2, 3, 4, 5}));
  CheckpointTensor head = checkpoint.tensor("model.embed_tokens.weight");
  head.name = "lm_head.weight";
  checkpoint.tensors.push_back(head);
  checkpoint.write(dir.path("hf"));
  QuantizeOptions options = options_for(dir);
  options.force = true;
  CHECK(run(options)->warnings.size() == 1);  // no tokenizer.json
  checkpoint.tensor("lm_head.weight").bytes[0] ^= 1;
  checkpoint.tensors.push_back(float_tensor("surprise", "F32", {1}, {1}));
  checkpoint.write(dir.path("hf"));
  const auto report = run(options);
  REQUIRE(report.ok());
  REQUIRE(report->warnings.size() == 3);
  CHECK(report->warnings[1].find("lm_head.weight") != std::string::npos);
  CHECK(report->warnings[2] == "unused tensors: 1, the first is \"surprise\"");
}

}  // namespace trit
