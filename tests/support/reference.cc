// See reference.h.
#include "tests/support/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/half.h"
#include "tests/support/blocks.h"

namespace trit {

namespace {

using Vector = std::vector<double>;
using Rows = std::vector<Vector>;  // one per token or per output

// A matrix as doubles, and how its inputs are rounded.
struct PlainMatrix {
  Rows weights;        // [rows][cols]
  uint32_t group = 0;  // inputs are rounded to int8 per so many; 0: not rounded
  double min_amax = 0;
};

double scale_at(const MatrixInfo& m, const uint8_t* block, uint32_t row, uint32_t group) {
  const size_t groups = m.encoding == Encoding::kNative ? 1 : (m.cols + m.group - 1) / m.group;
  const size_t index = (size_t{row} / 16 * groups + group) * 16 + row % 16;
  if (m.encoding == Encoding::kNative) return reinterpret_cast<const float*>(block)[index];
  return f16_to_f32(reinterpret_cast<const uint16_t*>(block)[index]);
}

const uint8_t* find_block(const Blocks& blocks, size_t matrix, uint32_t plane) {
  for (size_t i = 0; i < blocks.reader().whole_blocks(); ++i) {
    const BlockInfo& block = blocks.reader().blocks()[i];
    if (block.matrix == matrix && block.plane == plane) return blocks.data(i);
  }
  return nullptr;
}

void add_plane(const Blocks& blocks, size_t index, uint32_t plane, Rows* weights) {
  const MatrixInfo& m = blocks.reader().matrices()[index];
  const uint8_t* block = find_block(blocks, index, plane);
  const uint8_t* scales = m.encoding == Encoding::kTied ? find_block(blocks, index, 0) : block;
  const uint8_t* digits = block + block_scale_bytes(m, plane);
  const size_t tile_bytes = row_vectors(m.cols, m.group) * kVectorBytes;
  const double weight = m.encoding == Encoding::kTied ? std::pow(3.0, m.planes - 1.0 - plane) : 1.0;
  std::vector<int8_t> trits(m.cols);
  for (uint32_t r = 0; r < m.rows; ++r) {
    unpack_row(digits + r / 16 * tile_bytes, r % 16, m.cols, m.group, trits.data());
    for (uint32_t c = 0; c < m.cols; ++c)
      (*weights)[r][c] += weight * scale_at(m, scales, r, c / m.group) * trits[c];
  }
}

PlainMatrix load(const Blocks& blocks, MatrixRole role, uint32_t layer, uint32_t planes) {
  const size_t index = blocks.reader().matrix_index(role, layer);
  const MatrixInfo& m = blocks.reader().matrices()[index];
  PlainMatrix out;
  out.weights.assign(m.rows, Vector(m.cols));
  if (is_dense(m.encoding)) {
    const uint8_t* block = find_block(blocks, index, 0);
    for (size_t r = 0; r < m.rows; ++r) {
      for (size_t c = 0; c < m.cols; ++c) {
        out.weights[r][c] =
            m.encoding == Encoding::kDenseF32
                ? reinterpret_cast<const float*>(block)[r * m.cols + c]
                : bf16_to_f32(reinterpret_cast<const uint16_t*>(block)[r * m.cols + c]);
      }
    }
    return out;
  }
  out.group = m.group;
  out.min_amax = m.encoding == Encoding::kNative ? 1e-5 : 0;
  for (uint32_t p = 0; p < m.planes && (planes == 0 || p < planes); ++p)
    if (find_block(blocks, index, p)) add_plane(blocks, index, p, &out.weights);
  return out;
}

class Reference {
 public:
  Reference(const ModelReader& reader, uint32_t planes, uint32_t head_planes)
      : reader_(reader),
        blocks_(reader),
        c_(reader.config()),
        planes_(planes),
        head_planes_(head_planes) {}

  ReferenceResult run(const std::vector<int32_t>& ids) {
    const PlainMatrix embedding = load(blocks_, MatrixRole::kEmbedding, 0, head_planes_);
    Rows x;
    for (const int32_t id : ids) x.push_back(embedding.weights[id]);
    for (uint32_t layer = 0; layer < c_.n_layers; ++layer) {
      add(&x, attention(norm(x, VectorRole::kAttentionNorm, layer), layer));
      add(&x, ffn(norm(x, VectorRole::kFfnNorm, layer), layer));
    }
    x = norm(x, VectorRole::kFinalNorm, 0);
    const Rows logits = c_.tied_head
                            ? multiply(embedding, x)
                            : multiply(load(blocks_, MatrixRole::kHead, 0, head_planes_), x);
    for (const Vector& row : logits)
      result_.logits.insert(result_.logits.end(), row.begin(), row.end());
    return result_;
  }

 private:
  static void add(Rows* x, const Rows& y) {
    for (size_t t = 0; t < x->size(); ++t)
      for (size_t i = 0; i < (*x)[t].size(); ++i) (*x)[t][i] += y[t][i];
  }

  Vector norm_one(const Vector& x, Span<const float> weight) const {
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double scale = 1 / std::sqrt(squares / x.size() + c_.norm_eps);
    Vector out(x.size());
    for (size_t i = 0; i < x.size(); ++i) out[i] = x[i] * scale * weight[i];
    return out;
  }

  Rows norm(const Rows& x, VectorRole role, uint32_t layer) const {
    Rows out;
    for (const Vector& row : x) out.push_back(norm_one(row, reader_.vector(role, layer)));
    return out;
  }

  Vector rounded(const Vector& x, uint32_t group, double min_amax) {
    Vector out(x.size());
    for (size_t begin = 0; begin < x.size(); begin += group) {
      const size_t end = std::min<size_t>(begin + group, x.size());
      double amax = min_amax;
      for (size_t i = begin; i < end; ++i) amax = std::max(amax, std::abs(x[i]));
      if (amax == 0) continue;
      for (size_t i = begin; i < end; ++i) {
        const double steps = x[i] * 127 / amax;
        const double fraction = std::abs(steps - std::trunc(steps));
        result_.tie_distance = std::min(result_.tie_distance, std::abs(fraction - 0.5));
        out[i] = std::nearbyint(steps) * amax / 127;
      }
    }
    return out;
  }

  Rows multiply(const PlainMatrix& m, const Rows& x) {
    Rows out;
    for (const Vector& row : x) {
      const Vector input = m.group ? rounded(row, m.group, m.min_amax) : row;
      Vector y(m.weights.size());
      for (size_t r = 0; r < y.size(); ++r)
        for (size_t i = 0; i < input.size(); ++i) y[r] += m.weights[r][i] * input[i];
      out.push_back(std::move(y));
    }
    return out;
  }

  Rows linear(const Rows& x, MatrixRole role, VectorRole bias_role, uint32_t layer) {
    Rows out = multiply(load(blocks_, role, layer, planes_), x);
    const Span<const float> bias = reader_.vector(bias_role, layer);
    for (Vector& row : out)
      for (size_t i = 0; i < bias.size(); ++i) row[i] += bias[i];
    return out;
  }

  // One head of one token: norm (if the model has one) and rotation.
  Vector prepare_head(const Vector& row, uint32_t head, Span<const float> weight,
                      size_t position) const {
    const auto begin = row.begin() + static_cast<ptrdiff_t>(head) * c_.head_dim;
    Vector x(begin, begin + c_.head_dim);
    if (!weight.empty()) x = norm_one(x, weight);
    Vector out(c_.head_dim);
    const size_t half = c_.head_dim / 2;
    for (size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * c_.rope_frequencies[i];
      const double cos = std::cos(angle) * c_.rope_factor, sin = std::sin(angle) * c_.rope_factor;
      out[i] = x[i] * cos - x[i + half] * sin;
      out[i + half] = x[i + half] * cos + x[i] * sin;
    }
    return out;
  }

  Rows attention(const Rows& x, uint32_t layer) {
    const Rows q = linear(x, MatrixRole::kQ, VectorRole::kQBias, layer);
    const Rows k = linear(x, MatrixRole::kK, VectorRole::kKBias, layer);
    const Rows v = linear(x, MatrixRole::kV, VectorRole::kVBias, layer);
    const Span<const float> q_norm = reader_.vector(VectorRole::kQNorm, layer);
    const Span<const float> k_norm = reader_.vector(VectorRole::kKNorm, layer);
    Rows mixed(x.size(), Vector(c_.q_width()));
    for (size_t t = 0; t < x.size(); ++t) {
      for (uint32_t head = 0; head < c_.n_heads; ++head) {
        const uint32_t kv_head = head / (c_.n_heads / c_.n_kv_heads);
        const Vector query = prepare_head(q[t], head, q_norm, t);
        Vector weights;
        for (size_t s = 0; s <= t; ++s) {
          const Vector key = prepare_head(k[s], kv_head, k_norm, s);
          double dot = 0;
          for (size_t i = 0; i < key.size(); ++i) dot += query[i] * key[i];
          weights.push_back(dot / std::sqrt(1.0 * c_.head_dim));
        }
        const double top = *std::max_element(weights.begin(), weights.end());
        double sum = 0;
        for (double& w : weights) sum += w = std::exp(w - top);
        for (size_t s = 0; s <= t; ++s)
          for (uint32_t i = 0; i < c_.head_dim; ++i)
            mixed[t][head * c_.head_dim + i] += weights[s] / sum * v[s][kv_head * c_.head_dim + i];
      }
    }
    if (c_.sub_norm) mixed = norm(mixed, VectorRole::kAttentionSubNorm, layer);
    return linear(mixed, MatrixRole::kO, VectorRole::kOBias, layer);
  }

  Rows ffn(const Rows& x, uint32_t layer) {
    Rows inner = linear(x, MatrixRole::kGate, VectorRole::kGateBias, layer);
    const Rows up = linear(x, MatrixRole::kUp, VectorRole::kUpBias, layer);
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t i = 0; i < inner[t].size(); ++i) {
        double& gate = inner[t][i];
        gate = c_.activation == Activation::kSilu ? gate / (1 + std::exp(-gate))
                                                  : std::pow(std::max(gate, 0.0), 2);
        gate *= up[t][i];
      }
    }
    if (c_.sub_norm) inner = norm(inner, VectorRole::kFfnSubNorm, layer);
    return linear(inner, MatrixRole::kDown, VectorRole::kDownBias, layer);
  }

  const ModelReader& reader_;
  const Blocks blocks_;
  const ModelConfig& c_;
  const uint32_t planes_, head_planes_;
  ReferenceResult result_;
};

}  // namespace

ReferenceResult reference_logits(const ModelReader& reader, const std::vector<int32_t>& ids,
                                 uint32_t planes, uint32_t head_planes) {
  return Reference(reader, planes, head_planes).run(ids);
}

double nmse(const std::vector<float>& a, const std::vector<double>& b) {
  double error = 0, power = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    power += b[i] * b[i];
  }
  return std::isfinite(error) ? error / power : std::numeric_limits<double>::infinity();
}

}  // namespace trit
