// See expected_loss.h.
#include "model_format/expected_loss.h"

#include <algorithm>

namespace trit {

// What writes into the residual stream (down, o) and v is felt most, the scores of attention (q, k)
// least. The head sees every token's whole distribution.
double loss_sensitivity(MatrixRole role) {
  switch (role) {
    case MatrixRole::kEmbedding:
    case MatrixRole::kHead:
      return 2.0;
    case MatrixRole::kDown:
    case MatrixRole::kV:
      return 1.5;
    case MatrixRole::kO:
      return 1.2;
    case MatrixRole::kUp:
    case MatrixRole::kGate:
      return 1.0;
    case MatrixRole::kQ:
    case MatrixRole::kK:
      return 0.7;
  }
  return 1.0;
}

std::vector<double> expected_losses(const ModelReader& reader) {
  double loss = 0;
  for (const MatrixInfo& m : reader.matrices())
    loss += loss_sensitivity(m.role) * static_cast<double>(m.errors[m.base_planes - 1]);
  std::vector<double> losses = {loss};
  for (size_t i = reader.base_blocks(); i < reader.blocks().size(); ++i) {
    const BlockInfo& block = reader.blocks()[i];
    const MatrixInfo& m = reader.matrices()[block.matrix];
    const double saved = static_cast<double>(m.errors[block.plane - 1]) - m.errors[block.plane];
    loss = std::max(0.0, loss - loss_sensitivity(m.role) * saved);  // rounding may pass 0
    losses.push_back(loss);
  }
  return losses;
}

}  // namespace trit
