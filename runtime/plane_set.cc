// See plane_set.h.
#include "runtime/plane_set.h"

#include <algorithm>
#include <vector>

namespace trit {

namespace {

// Turns blocks of the file into Matrix views, with as many planes as the selection holds.
class PlaneViews {
 public:
  PlaneViews(const ModelReader& reader, const MappedFile& file, const PlaneSelection& selection,
             ResidentPlanes* resident)
      : reader_(reader), file_(file), resident_(*resident) {
    first_block_.resize(reader.matrices().size() * kMaxPlanes, kMissing);
    for (size_t block = 0; block < selection.blocks; ++block) {
      if (!selection.holds(reader, block)) continue;
      const BlockInfo& info = reader.blocks()[block];
      first_block_[info.matrix * kMaxPlanes + info.plane] = block;
    }
  }

  Matrix matrix(MatrixRole role, uint32_t layer) {
    const size_t index = reader_.matrix_index(role, layer);
    const MatrixInfo& info = reader_.matrices()[index];
    Matrix m;
    m.encoding = info.encoding;
    m.rows = info.rows;
    m.cols = info.cols;
    if (is_dense(info.encoding)) {
      m.dense = data(index, 0);
      count(info, 1, 0);
    } else {
      const uint8_t* blocks[kMaxPlanes] = {};
      const uint32_t planes = planes_in_use(index);
      for (uint32_t p = 0; p < planes; ++p) blocks[p] = data(index, p);
      m.planes = trit_view(info, planes, blocks);
      count(info, m.planes.planes, m.planes.planes);
    }
    return m;
  }

 private:
  static constexpr size_t kMissing = SIZE_MAX;

  const uint8_t* data(size_t matrix, uint32_t plane) const {
    return file_.at(reader_.blocks()[first_block_[matrix * kMaxPlanes + plane]].offset);
  }

  uint32_t planes_in_use(size_t index) const {
    uint32_t planes = 0;
    while (planes < kMaxPlanes && first_block_[index * kMaxPlanes + planes] != kMissing) ++planes;
    return planes;
  }

  void count(const MatrixInfo& info, uint32_t blocks, uint32_t planes) {
    const bool layer = is_layer_role(info.role);
    uint32_t& most = layer ? resident_.layers : resident_.head;
    uint32_t& fewest = layer ? resident_.fewest_layers : resident_.fewest_head;
    if (planes > 0) fewest = fewest == 0 ? planes : std::min(fewest, planes);
    most = std::max(most, planes);
    resident_.blocks += blocks;
    resident_.parameters += static_cast<uint64_t>(info.rows) * info.cols;
    // Of a separate embedding a token reads one row.
    if (info.role == MatrixRole::kEmbedding && !reader_.config().tied_head) return;
    for (uint32_t p = 0; p < blocks; ++p) resident_.weight_bytes += block_bytes(info, p);
  }

  const ModelReader& reader_;
  const MappedFile& file_;
  ResidentPlanes& resident_;
  std::vector<size_t> first_block_;  // [matrix * kMaxPlanes + plane] index of the block
};

}  // namespace

TritView trit_view(const MatrixInfo& info, uint32_t planes, const uint8_t* const* blocks) {
  TritView v = {};
  v.rows = info.rows;
  v.cols = info.cols;
  v.group = info.group;
  v.encoding = info.encoding;
  for (uint32_t p = 0; p < planes; ++p) {
    v.digits[p] = blocks[p] + block_scale_bytes(info, p);
    if (info.encoding == Encoding::kFree || (info.encoding == Encoding::kTied && p == 0))
      v.scales[p] = reinterpret_cast<const uint16_t*>(blocks[p]);
    if (info.encoding == Encoding::kNative)
      v.row_scales = reinterpret_cast<const float*>(blocks[p]);
  }
  return first_planes(v, info, planes);
}

TritView first_planes(TritView view, const MatrixInfo& info, uint32_t planes) {
  view.planes = planes;
  view.prefix_factor = 1;
  if (info.encoding == Encoding::kTied)
    for (uint32_t p = planes; p < info.planes; ++p) view.prefix_factor *= 3;
  return view;
}

PlaneSet make_plane_set(const ModelReader& reader, const MappedFile& blocks,
                        const PlaneSelection& selection) {
  PlaneSet set;
  set.selection = selection;
  size_t last = selection.blocks - 1;
  while (!selection.holds(reader, last)) --last;
  set.file_end = reader.blocks()[last].offset + reader.blocks()[last].bytes;
  const ModelConfig& config = reader.config();
  PlaneViews views(reader, blocks, selection, &set.resident);
  const auto vector = [&](VectorRole role, uint32_t layer) {
    const Span<const float> v = reader.vector(role, layer);
    return v.empty() ? nullptr : v.data();
  };
  const auto linear = [&](MatrixRole role, uint32_t layer, VectorRole bias) {
    Matrix m = views.matrix(role, layer);
    m.bias = vector(bias, layer);
    return m;
  };
  Weights& weights = set.weights;
  weights.embedding = views.matrix(MatrixRole::kEmbedding, 0);
  weights.head = config.tied_head ? weights.embedding : views.matrix(MatrixRole::kHead, 0);
  weights.final_norm = vector(VectorRole::kFinalNorm, 0);
  weights.layers.reserve(config.n_layers);
  for (uint32_t i = 0; i < config.n_layers; ++i) {
    LayerWeights layer;
    layer.attention_norm = vector(VectorRole::kAttentionNorm, i);
    layer.q = linear(MatrixRole::kQ, i, VectorRole::kQBias);
    layer.k = linear(MatrixRole::kK, i, VectorRole::kKBias);
    layer.v = linear(MatrixRole::kV, i, VectorRole::kVBias);
    layer.q_norm = vector(VectorRole::kQNorm, i);
    layer.k_norm = vector(VectorRole::kKNorm, i);
    layer.attention_sub_norm = vector(VectorRole::kAttentionSubNorm, i);
    layer.o = linear(MatrixRole::kO, i, VectorRole::kOBias);
    layer.ffn_norm = vector(VectorRole::kFfnNorm, i);
    layer.gate = linear(MatrixRole::kGate, i, VectorRole::kGateBias);
    layer.up = linear(MatrixRole::kUp, i, VectorRole::kUpBias);
    layer.ffn_sub_norm = vector(VectorRole::kFfnSubNorm, i);
    layer.down = linear(MatrixRole::kDown, i, VectorRole::kDownBias);
    weights.layers.push_back(layer);
  }
  return set;
}

}  // namespace trit
