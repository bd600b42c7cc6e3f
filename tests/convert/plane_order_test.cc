// The order of residual planes.
#include "model_format/convert/plane_order.h"

#include <doctest/doctest.h>

#include <vector>

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

}  // namespace

TEST_CASE("the plane that takes most error away comes first") {
  const auto order = order_planes({matrix(MatrixRole::kUp, 2, {0.3f, 0.04f, 0.03f}),
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
  const auto order = order_planes(matrices);
  std::vector<uint32_t> indices;
  for (const auto& r : order) indices.push_back(r.matrix);
  CHECK(indices == std::vector<uint32_t>{6, 5, 12, 13, 4, 11, 2, 9, 1, 8, 3, 10, 0, 7});
}

TEST_CASE("a plane never passes the one before it, and gains are never negative") {
  const auto order = order_planes({matrix(MatrixRole::kDown, 1, {0.3f, 0.3f, 0.2f, 0.25f}),
                                   matrix(MatrixRole::kDown, 2, {0.3f, 0.04f, 0.03f})});
  REQUIRE(order.size() == 4);
  uint32_t next = 1;
  for (const auto& r : order) {
    CHECK(r.gain >= 0);
    if (r.matrix == 0) CHECK(r.plane == next++);
  }
}

TEST_CASE("a model of zeros has an order too") {
  const auto order = order_planes({matrix(MatrixRole::kQ, 2, {0, 0, 0, 0})});
  REQUIRE(order.size() == 2);
  CHECK(order[0].plane == 2);
  CHECK(order[1].plane == 3);
}

}  // namespace trit
