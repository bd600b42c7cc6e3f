// Opening a model: which planes become resident, what a cut file gives, what is refused.
#include "runtime/model.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "runtime/session.h"
#include "tests/runtime/byte_model.h"
#include "tests/support/reference.h"
#include "tests/support/temp_dir.h"

using namespace trit;

namespace {

const std::vector<int32_t> kIds = {1, 99, 0, 57, 3};

TinyModel tied_model() {
  TinyModel model;
  model.config = tiny_config();
  return model;
}

Result<std::shared_ptr<const Model>> open_with(const std::string& path, uint32_t planes,
                                               uint32_t head_planes) {
  ModelOptions options;
  options.planes.caps = {planes, head_planes};
  return Model::open(path, options);
}

std::vector<float> logits_of(std::shared_ptr<const Model> model) {
  auto session = Session::open(model, SessionOptions());
  REQUIRE(session.ok());
  std::vector<float> logits(kIds.size() * model->config().vocab);
  REQUIRE(session.value()->prefill(kIds, logits.data()).ok());
  return logits;
}

}  // namespace

TEST_CASE("planes asked for are resident: all by default, never more than stored") {
  TempDir dir;
  const std::string path = dir.path("m.trit");
  REQUIRE(write_tiny_model(path, tied_model()).ok());
  const auto all = open_with(path, 0, 0).value();
  CHECK(all->resident().layers == 3);
  CHECK(all->resident().head == 4);
  CHECK(all->resident().blocks == 14 * 3 + 4);
  CHECK(all->resident().parameters == 100 * 40 + 2 * (40 * 48 * 2 + 2 * 40 * 24 + 3 * 40 * 72));
  const auto base = open_with(path, 2, 3).value();
  CHECK(base->resident().layers == 2);
  CHECK(base->resident().head == 3);
  CHECK(base->resident().blocks == 14 * 2 + 3);
  CHECK(base->resident().weight_bytes < all->resident().weight_bytes);
  CHECK(base->planes().current()->weights.layers[1].down.planes.prefix_factor == 3);
  CHECK(base->planes().current()->weights.head.planes.prefix_factor == 3);
  CHECK(open_with(path, 100, 100).value()->resident().blocks == all->resident().blocks);
}

TEST_CASE("fewer planes than the base are refused, naming the least") {
  TempDir dir;
  const std::string path = dir.path("m.trit");
  REQUIRE(write_tiny_model(path, tied_model()).ok());
  const auto layers = open_with(path, 1, 0);
  REQUIRE(!layers.ok());
  CHECK(layers.status().code() == Code::kUsage);
  CHECK(layers.status().message().find("at least 2") != std::string::npos);
  const auto head = open_with(path, 0, 2);
  REQUIRE(!head.ok());
  CHECK(head.status().message().find("head planes: expected at least 3") != std::string::npos);
  // Free planes are a base together; native and dense ones take any number.
  TinyModel model = tied_model();
  model.encoding = Encoding::kFree;
  REQUIRE(write_tiny_model(path, model).ok());
  CHECK(!open_with(path, 2, 0).ok());
  model.encoding = Encoding::kNative;
  model.head_encoding = Encoding::kDenseBf16;
  REQUIRE(write_tiny_model(path, model).ok());
  const auto native = open_with(path, 1, 1);
  REQUIRE(native.ok());
  CHECK(native.value()->resident().layers == 1);
  CHECK(native.value()->resident().head == 0);
  CHECK(native.value()->dense());
  CHECK(!native.value()->dense_f32());
}

TEST_CASE("a file cut after the base runs with the planes that are whole") {
  TempDir dir;
  const std::string path = dir.path("m.trit"), cut = dir.path("cut.trit");
  REQUIRE(write_tiny_model(path, tied_model()).ok());
  const std::string bytes = read_file(path);
  const auto whole = ModelReader::open(path);
  REQUIRE(whole.ok());
  const Span<const BlockInfo> blocks = whole->blocks();
  const size_t base = whole->base_blocks();
  const auto cut_at = [&](uint64_t size) {
    write_file(cut, std::string_view(bytes).substr(0, size));
    auto model = open_with(cut, 0, 0);
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    return model.value();
  };
  // Exactly the base: what --planes 2 --head-planes 3 gives, bit for bit.
  auto model = cut_at(whole->base_end());
  CHECK(model->resident().blocks == base);
  CHECK(logits_of(model) == logits_of(open_with(path, 2, 3).value()));
  // One byte short of the last block, the fourth plane of the embedding.
  model = cut_at(blocks[blocks.size() - 1].offset + blocks[blocks.size() - 1].bytes - 1);
  CHECK(model->resident().blocks == blocks.size() - 1);
  CHECK(logits_of(model) == logits_of(open_with(path, 3, 3).value()));
  // In the middle: some matrices have three planes, some two; the reference sees the same.
  model = cut_at(blocks[base + 6].offset);
  CHECK(model->resident().blocks == base + 6);
  CHECK(model->resident().layers == 3);
  const ReferenceResult expected = reference_logits(model->reader(), kIds);
  // An int8 input near a tie may round the other way; the full model differs far more.
  CHECK(nmse(logits_of(model), expected.logits) < 1e-3);
  CHECK(nmse(logits_of(open_with(path, 0, 0).value()), expected.logits) > 1e-2);
  // Inside the base nothing runs.
  write_file(cut, std::string_view(bytes).substr(0, blocks[base - 1].offset));
  const auto refused = open_with(cut, 0, 0);
  REQUIRE(!refused.ok());
  CHECK(refused.status().code() == Code::kMalformed);
}

TEST_CASE("verify finds a flipped bit in a block, a plain open does not look") {
  TempDir dir;
  const std::string path = dir.path("m.trit");
  REQUIRE(write_tiny_model(path, tied_model()).ok());
  std::string bytes = read_file(path);
  const uint64_t in_last_block = ModelReader::open(path)->blocks()[3].offset + 5;
  bytes[in_last_block] = static_cast<char>(bytes[in_last_block] ^ 4);
  write_file(path, bytes);
  ModelOptions options;
  auto model = Model::open(path, options);
  REQUIRE(model.ok());
  logits_of(model.value());  // runs, whatever the numbers are
  options.verify = true;
  const auto verified = Model::open(path, options);
  REQUIRE(!verified.ok());
  CHECK(verified.status().code() == Code::kMalformed);
}

TEST_CASE("reading a file into memory gives the same bits as mapping it") {
  TempDir dir;
  const std::string path = dir.path("m.trit");
  REQUIRE(write_tiny_model(path, tied_model()).ok());
  ModelOptions options;
  options.io = IoMode::kRead;
  CHECK(logits_of(Model::open(path, options).value()) == logits_of(open_with(path, 0, 0).value()));
}

TEST_CASE("only ids with a piece may be sampled") {
  TempDir dir;
  const std::string path = dir.path("m.trit");
  write_byte_model(path);
  const auto model = open_with(path, 0, 0).value();
  CHECK(model->sampled_ids() == kBytePieces);
  CHECK(model->is_end_token(kByteEnd));
  CHECK(!model->is_end_token(0));
  CHECK(!model->is_end_token(-1));
  REQUIRE(write_tiny_model(path, tied_model()).ok());
  const auto without = open_with(path, 0, 0).value();
  CHECK(without->tokenizer() == nullptr);
  CHECK(without->sampled_ids() == 100);
}
