// Random models are real .trit files: they verify, with padding and odd sizes, and their bytes
// depend on the model and the seed alone.
#include "model_format/convert/random_model.h"

#include <doctest/doctest.h>

#include "kernels/trit_plane.h"
#include "model_format/convert/hf_config.h"
#include "model_format/reader.h"
#include "model_format/verify.h"
#include "tests/support/blocks.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_checkpoint.h"
#include "tests/support/tiny_model.h"

namespace trit {
namespace {

RandomModel tiny_random() {
  RandomModel model;
  model.config = tiny_config();
  for (uint32_t i = 0; i < model.config.head_dim / 2; ++i)
    model.config.rope_frequencies.push_back(1.0 / (1 + i));
  return model;
}

Status write(const std::string& path, const RandomModel& model) {
  const std::atomic<bool> cancel{false};
  return write_random_model(
      path, model, [](uint64_t, uint64_t) {}, cancel);
}

TEST_CASE("a random model verifies, in every encoding and with every kind of padding") {
  const TempDir folder;
  const std::string path = folder.path("random.trit");
  RandomModel model = tiny_random();
  model.force = true;
  model.config.qkv_bias = model.config.qk_norm = model.config.sub_norm = true;
  for (const Encoding encoding : {Encoding::kTied, Encoding::kFree, Encoding::kNative}) {
    for (const uint32_t group : {1u, 7u, 20u, 160u}) {
      CAPTURE(encoding_name(encoding));
      CAPTURE(group);
      model.encoding = encoding;
      model.group = group;
      model.config.tied_head = group == 7;
      REQUIRE(write(path, model).ok());
      const auto report = verify_file(path, nullptr);
      CAPTURE(report.status().message());
      CHECK(report.ok());
    }
  }
}

TEST_CASE("the bytes of a random model depend on its seed and not on threads") {
  const TempDir folder;
  RandomModel model = tiny_random();
  model.config.vocab = 200000;  // more than one piece a plane
  REQUIRE(write(folder.path("one"), model).ok());
  model.threads = 3;
  REQUIRE(write(folder.path("three"), model).ok());
  CHECK(read_file(folder.path("one")) == read_file(folder.path("three")));
  model.seed = 2;
  REQUIRE(write(folder.path("other"), model).ok());
  CHECK(read_file(folder.path("one")) != read_file(folder.path("other")));
}

TEST_CASE(
    "every tied plane of a random model but the first is residual, and all trits occur alike") {
  const TempDir folder;
  RandomModel model = tiny_random();
  model.config.vocab = 4096;
  REQUIRE(write(folder.path("random"), model).ok());
  const auto reader = ModelReader::open(folder.path("random"));
  REQUIRE(reader.ok());
  const MatrixInfo& m = reader.value().matrices()[0];
  CHECK(m.base_planes == 1);
  CHECK(m.planes == 4);
  CHECK(m.errors[3] == 0);
  CHECK(m.errors[0] > m.errors[1]);
  uint64_t counts[3] = {};
  const Blocks blocks(reader.value());
  const uint8_t* tile = blocks.data(0) + block_scale_bytes(m, 0);
  std::vector<int8_t> trits(m.cols);
  for (uint32_t row = 0; row < m.rows; ++row) {
    unpack_row(tile + row / kTileRows * row_vectors(m.cols, m.group) * kVectorBytes,
               row % kTileRows, m.cols, m.group, trits.data());
    for (const int8_t t : trits) ++counts[t + 1];
  }
  for (const uint64_t count : counts) {
    CHECK(count * 3 > uint64_t{m.rows} * m.cols * 97 / 100);
    CHECK(count * 3 < uint64_t{m.rows} * m.cols * 103 / 100);
  }
}

TEST_CASE("a cancelled random model leaves no file, and an existing one needs force") {
  const TempDir folder;
  RandomModel model = tiny_random();
  const std::atomic<bool> cancel{true};
  const std::string path = folder.path("random.trit");
  CHECK(write_random_model(
            path, model, [](uint64_t, uint64_t) {}, cancel)
            .code() == Code::kCancelled);
  CHECK(read_file(path).empty());
  REQUIRE(write(path, model).ok());
  CHECK(write(path, model).code() == Code::kUsage);
}

TEST_CASE("a config may have any file name") {
  const TempDir folder;
  tiny_checkpoint("Qwen3ForCausalLM", 1).write(folder.folder());
  write_file(folder.path("mine.json"), read_file(folder.path("config.json")));
  const auto config = read_hf_config_file(folder.path("mine.json"), "mine");
  REQUIRE(config.ok());
  CHECK(config.value().model.name == "mine");
  CHECK(config.value().model.qk_norm);
}

}  // namespace
}  // namespace trit
