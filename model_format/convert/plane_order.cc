// See plane_order.h.
#include "model_format/convert/plane_order.h"

#include <algorithm>
#include <queue>

#include "model_format/expected_loss.h"

namespace trit {
namespace {

ModelWriter::Residual candidate(const std::vector<MatrixInfo>& matrices, uint32_t index,
                                uint32_t plane) {
  const MatrixInfo& m = matrices[index];
  const double saved = std::max(0.0, static_cast<double>(m.errors[plane - 1]) - m.errors[plane]);
  const double bytes = static_cast<double>(block_bytes(m, plane));
  return {index, plane, static_cast<float>(loss_sensitivity(m) * saved / bytes)};
}

}  // namespace

std::vector<ModelWriter::Residual> order_planes(const std::vector<MatrixInfo>& matrices) {
  const auto later = [](const ModelWriter::Residual& a, const ModelWriter::Residual& b) {
    return a.gain != b.gain ? a.gain < b.gain : a.matrix > b.matrix;
  };
  // The next plane of each matrix waits here, so no plane can pass the one before it.
  std::priority_queue<ModelWriter::Residual, std::vector<ModelWriter::Residual>, decltype(later)>
      waiting(later);
  for (uint32_t m = 0; m < matrices.size(); ++m)
    if (matrices[m].base_planes < matrices[m].planes)
      waiting.push(candidate(matrices, m, matrices[m].base_planes));
  std::vector<ModelWriter::Residual> order;
  while (!waiting.empty()) {
    const ModelWriter::Residual next = waiting.top();
    waiting.pop();
    order.push_back(next);
    if (next.plane + 1 < matrices[next.matrix].planes)
      waiting.push(candidate(matrices, next.matrix, next.plane + 1));
  }
  return order;
}

}  // namespace trit
