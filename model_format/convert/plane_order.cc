// See plane_order.h.
#include "model_format/convert/plane_order.h"

#include <algorithm>
#include <queue>

#include "model_format/expected_loss.h"

namespace trit {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

ModelWriter::Residual candidate(Span<const MatrixInfo> matrices, const PlaneValues& values,
                                uint32_t index, uint32_t plane) {
  const double bytes = static_cast<double>(block_bytes(matrices[index], plane));
  return {index, plane, static_cast<float>(std::max(0.0, values[index][plane]) / bytes)};
}

FileDescription describe(const ModelReader& reader) {
  FileDescription d;
  d.config = reader.config();
  d.generation = reader.generation();
  d.matrices.assign(reader.matrices().begin(), reader.matrices().end());
  for (uint32_t role = 0; role < kVectorRoles; ++role) {
    for (uint32_t layer = 0; layer < d.config.n_layers; ++layer) {
      const Span<const float> v = reader.vector(static_cast<VectorRole>(role), layer);
      if (v.empty() || (layer > 0 && !is_layer_role(static_cast<VectorRole>(role)))) continue;
      d.vectors.push_back({static_cast<VectorRole>(role), layer, {v.begin(), v.end()}});
    }
  }
  d.tokenizer.assign(reader.tokenizer().begin(), reader.tokenizer().end());
  d.chat_template = reader.chat_template();
  d.quantizer_options = reader.quantizer_options();
  return d;
}

}  // namespace

PlaneValues estimated_values(Span<const MatrixInfo> matrices) {
  PlaneValues values(matrices.size());
  for (size_t i = 0; i < matrices.size(); ++i) {
    const MatrixInfo& m = matrices[i];
    for (uint32_t p = m.base_planes; p < m.planes; ++p)
      values[i][p] = loss_sensitivity(m) * (static_cast<double>(m.errors[p - 1]) - m.errors[p]);
  }
  return values;
}

std::vector<ModelWriter::Residual> order_planes(Span<const MatrixInfo> matrices,
                                                const PlaneValues& values) {
  const auto later = [](const ModelWriter::Residual& a, const ModelWriter::Residual& b) {
    return a.gain != b.gain ? a.gain < b.gain : a.matrix > b.matrix;
  };
  // The next plane of each matrix waits here, so no plane can pass the one before it.
  std::priority_queue<ModelWriter::Residual, std::vector<ModelWriter::Residual>, decltype(later)>
      waiting(later);
  for (uint32_t m = 0; m < matrices.size(); ++m)
    if (matrices[m].base_planes < matrices[m].planes)
      waiting.push(candidate(matrices, values, m, matrices[m].base_planes));
  std::vector<ModelWriter::Residual> order;
  while (!waiting.empty()) {
    const ModelWriter::Residual next = waiting.top();
    waiting.pop();
    order.push_back(next);
    if (next.plane + 1 < matrices[next.matrix].planes)
      waiting.push(candidate(matrices, values, next.matrix, next.plane + 1));
  }
  return order;
}

Result<uint64_t> reorder_file(const ModelReader& reader, const std::string& output,
                              const std::vector<ModelWriter::Residual>& order, float base_quality,
                              const std::atomic<bool>& cancel) {
  auto writer = ModelWriter::create(output, describe(reader), true);
  if (!writer.ok()) return writer.status();
  std::vector<uint8_t> piece;
  for (const BlockInfo& block : reader.blocks()) {
    for (uint64_t done = 0; done < block.bytes; done += piece.size()) {
      if (cancel) return Status(Code::kCancelled, "interrupted");
      piece.resize(std::min(block.bytes - done, kPieceBytes));
      TRIT_RETURN_IF_ERROR(reader.file()->read(block.offset + done, piece.data(), piece.size()));
      TRIT_RETURN_IF_ERROR((*writer.value()).write(block.matrix, block.plane, done, piece));
    }
  }
  TRIT_RETURN_IF_ERROR((*writer.value()).finish(order, base_quality));
  return (*writer.value()).file_bytes();
}

}  // namespace trit
