// The order of residual planes.
#include "model_format/convert/plane_order.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <vector>

#include "model_format/verify.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace trit {
namespace {

MatrixInfo matrix(MatrixRole role, uint32_t base, std::vector<float> errors) {
  MatrixInfo m;
  m.role = role;
  m.rows = m.cols = m.group = 160;
  m.base_planes = base;
  m.planes = static_cast<uint32_t>(errors.size());
  std::copy(errors.begin(), errors.end(), m.errors);
  return m;
}

std::vector<ModelWriter::Residual> by_estimate(const std::vector<MatrixInfo>& matrices) {
  return order_planes(matrices, estimated_values(matrices));
}

}  // namespace

TEST_CASE("the plane that takes most error away comes first") {
  const auto order = by_estimate({matrix(MatrixRole::kUp, 2, {0.3f, 0.04f, 0.03f}),
                                  matrix(MatrixRole::kUp, 2, {0.3f, 0.04f, 0.01f}),
                                  matrix(MatrixRole::kUp, 1, {0.3f})});
  REQUIRE(order.size() == 2);
  CHECK(order[0].matrix == 1);
  CHECK(order[1].matrix == 0);
  CHECK(order[0].plane == 2);
  CHECK(order[0].gain > order[1].gain);
}

TEST_CASE("of equal errors the first layer's down comes first, then up, down and gate, last q") {
  std::vector<MatrixInfo> matrices;
  for (const uint32_t layer : {0, 1})
    for (const MatrixRole role : {MatrixRole::kQ, MatrixRole::kK, MatrixRole::kV, MatrixRole::kO,
                                  MatrixRole::kGate, MatrixRole::kUp, MatrixRole::kDown}) {
      matrices.push_back(matrix(role, 2, {0.3f, 0.04f, 0.01f}));
      matrices.back().layer = layer;
    }
  const auto order = by_estimate(matrices);
  std::vector<uint32_t> indices;
  for (const auto& r : order) indices.push_back(r.matrix);
  CHECK(indices == std::vector<uint32_t>{6, 5, 12, 13, 4, 11, 2, 9, 1, 8, 3, 10, 0, 7});
}

TEST_CASE("a plane never passes the one before it, and gains are never negative") {
  const auto order = by_estimate({matrix(MatrixRole::kDown, 1, {0.3f, 0.3f, 0.2f, 0.25f}),
                                  matrix(MatrixRole::kDown, 2, {0.3f, 0.04f, 0.03f})});
  REQUIRE(order.size() == 4);
  uint32_t next = 1;
  for (const auto& r : order) {
    CHECK(r.gain >= 0);
    if (r.matrix == 0) CHECK(r.plane == next++);
  }
}

TEST_CASE("a model of zeros has an order too") {
  const auto order = by_estimate({matrix(MatrixRole::kQ, 2, {0, 0, 0, 0})});
  REQUIRE(order.size() == 2);
  CHECK(order[0].plane == 2);
  CHECK(order[1].plane == 3);
}

TEST_CASE("values that were measured decide, per byte, whatever the errors say") {
  std::vector<MatrixInfo> matrices(2, matrix(MatrixRole::kUp, 2, {0.3f, 0.04f, 0.01f}));
  matrices[1].rows = 320;
  const auto order = order_planes(matrices, {{0, 0, 2, 0}, {0, 0, 5, 0}});
  REQUIRE(order.size() == 2);
  CHECK(order[0].matrix == 1);
  CHECK(order[0].gain == doctest::Approx(5.0 / static_cast<double>(block_bytes(matrices[1], 2))));
}

TEST_CASE("a file in another order is the same model with other qualities") {
  const TempDir folder;
  TinyModel model;
  model.config = tiny_config();
  model.config.qkv_bias = model.config.qk_norm = true;
  const std::string path = folder.path("tiny.trit"), other = folder.path("other.trit");
  REQUIRE(write_tiny_model(path, model).ok());
  const Result<ModelReader> before = ModelReader::open(path);
  REQUIRE(before.ok());
  std::vector<ModelWriter::Residual> order;
  for (size_t i = before->blocks().size(); i-- > before->base_blocks();) {
    const BlockInfo& block = before->blocks()[i];
    order.push_back({block.matrix, block.plane, 1, 5});
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.plane < b.plane; });
  const std::atomic<bool> cancel{false};
  const Result<uint64_t> bytes = reorder_file(before.value(), other, order, 7.5f, cancel);
  REQUIRE(bytes.ok());
  CHECK(bytes.value() == std::filesystem::file_size(other));
  CHECK(verify_file(other, nullptr).ok());
  const Result<ModelReader> after = ModelReader::open(other);
  REQUIRE(after.ok());
  CHECK(after->file_id() == before->file_id());
  CHECK(after->blocks()[after->base_blocks() - 1].quality == 7.5f);
  CHECK(std::isnan(after->blocks()[0].quality));
  for (size_t i = 0; i < order.size(); ++i) {
    const BlockInfo& block = after->blocks()[after->base_blocks() + i];
    CHECK(block.matrix == order[i].matrix);
    CHECK(block.quality == 5);
    CHECK(block.gain == 1);
    // The hash is seeded with matrix and plane, so equal hashes are equal blocks.
    const auto same = std::find_if(
        before->blocks().begin(), before->blocks().end(),
        [&](const BlockInfo& b) { return b.matrix == block.matrix && b.plane == block.plane; });
    CHECK(same->hash == block.hash);
  }
}

}  // namespace trit
