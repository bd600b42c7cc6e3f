// See tiny_model.h. The sines and powers of real models are not needed: any frequencies will do.
#include "tests/support/tiny_model.h"

#include <algorithm>
#include <cmath>

#include "kernels/half.h"
#include "model_format/tokenizer_section.h"
#include "model_format/writer.h"
#include "tests/support/random.h"

namespace trit {
namespace {

template <typename T>
void append(std::vector<uint8_t>* out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

std::vector<uint8_t> dense_block(const MatrixInfo& m, Random* random) {
  std::vector<uint8_t> out;
  const float scale = std::sqrt(3.0f / static_cast<float>(m.cols));
  for (uint64_t i = 0; i < uint64_t{m.rows} * m.cols; ++i) {
    const float value = scale * random->signed_unit();
    if (m.encoding == Encoding::kDenseF32) {
      append(&out, f32_to_bits(value));
    } else {
      append(&out, f32_to_bf16(value));
    }
  }
  return out;
}

// Scale of a group such that the sum of a row's squares is near 1: a digit's mean square is 2/3,
// and each further digit of a tied code multiplies those before it by 3.
float mean_scale(const MatrixInfo& m) {
  float codes = 2.0f / 3.0f;
  for (uint32_t p = 1; m.encoding == Encoding::kTied && p < m.planes; ++p)
    codes = 9 * codes + 2.0f / 3.0f;
  return 1.0f / std::sqrt(codes * static_cast<float>(m.cols));
}

std::vector<uint8_t> scale_bytes(const MatrixInfo& m, uint32_t plane, Random* random) {
  std::vector<uint8_t> out;
  if (block_scale_bytes(m, plane) == 0) return out;
  const bool native = m.encoding == Encoding::kNative;
  const uint64_t groups = native ? 1 : group_count(m.cols, m.group);
  float scale = mean_scale(m);
  for (uint32_t p = 0; p < plane; ++p) scale /= 3;
  for (uint64_t tile = 0; tile < tile_count(m.rows); ++tile) {
    for (uint64_t g = 0; g < groups; ++g) {
      for (uint64_t row = tile * kTileRows; row < (tile + 1) * kTileRows; ++row) {
        const float value = row < m.rows ? scale * (1 + random->signed_unit() / 4) : 0;
        if (native) {
          append(&out, f32_to_bits(value));
        } else {
          append(&out, f32_to_f16(value));
        }
      }
    }
  }
  out.resize(block_scale_bytes(m, plane));
  return out;
}

std::vector<uint8_t> trit_block(const MatrixInfo& m, uint32_t plane, Random* random) {
  std::vector<uint8_t> out = scale_bytes(m, plane, random);
  const size_t tile_bytes = row_vectors(m.cols, m.group) * kVectorBytes;
  std::vector<int8_t> trits(size_t{kTileRows} * m.cols);
  for (uint32_t row = 0; row < m.rows; row += kTileRows) {
    const uint32_t rows = std::min(kTileRows, m.rows - row);
    for (uint64_t i = 0; i < uint64_t{rows} * m.cols; ++i) trits[i] = random->trit();
    out.resize(out.size() + tile_bytes);
    pack_tile(trits.data(), m.cols, rows, m.cols, m.group, out.data() + out.size() - tile_bytes);
  }
  return out;
}

MatrixInfo make_matrix(const TinyModel& model, MatrixRole role, uint32_t layer) {
  MatrixInfo m;
  m.role = role;
  m.layer = layer;
  const bool in_layer = is_layer_role(role);
  m.encoding = in_layer ? model.encoding : model.head_encoding;
  const Shape shape = matrix_shape(model.config, role);
  m.rows = shape.rows;
  m.cols = shape.cols;
  m.planes = m.base_planes = 1;
  if (m.encoding == Encoding::kNative) m.group = m.cols;
  if (m.encoding == Encoding::kTied || m.encoding == Encoding::kFree) {
    m.group = model.group;
    m.planes = in_layer ? model.planes : model.head_planes;
    const uint32_t base = in_layer ? 2 : 3;
    m.base_planes = m.encoding == Encoding::kFree ? m.planes : std::min(m.planes, base);
  }
  for (uint32_t p = 0; p < m.planes; ++p) m.errors[p] = (p ? m.errors[p - 1] : 1.0f) / 8;
  return m;
}

std::vector<MatrixInfo> make_matrices(const TinyModel& model) {
  std::vector<MatrixInfo> matrices = {make_matrix(model, MatrixRole::kEmbedding, 0)};
  if (!model.config.tied_head) matrices.push_back(make_matrix(model, MatrixRole::kHead, 0));
  for (uint32_t layer = 0; layer < model.config.n_layers; ++layer) {
    for (const MatrixRole role : {MatrixRole::kQ, MatrixRole::kK, MatrixRole::kV, MatrixRole::kO,
                                  MatrixRole::kGate, MatrixRole::kUp, MatrixRole::kDown})
      matrices.push_back(make_matrix(model, role, layer));
  }
  return matrices;
}

// Norm weights near 1, biases near 0.
std::vector<VectorData> make_vectors(const ModelConfig& c, Random* random) {
  std::vector<VectorData> vectors;
  for (uint32_t i = 0; i < kVectorRoles; ++i) {
    const VectorRole role = static_cast<VectorRole>(i);
    if (!has_vector(c, role)) continue;
    const float mean = role < VectorRole::kQBias ? 1 : 0;
    for (uint32_t layer = 0; layer < (is_layer_role(role) ? c.n_layers : 1); ++layer) {
      VectorData v{role, layer, std::vector<float>(vector_size(c, role))};
      for (float& x : v.values) x = mean + random->signed_unit() / 4;
      vectors.push_back(std::move(v));
    }
  }
  return vectors;
}

}  // namespace

ModelConfig tiny_config() {
  ModelConfig c;
  c.name = "tiny";
  c.architecture = "TinyForCausalLM";
  c.n_layers = 2;
  c.hidden = 40;
  c.n_heads = 4;
  c.n_kv_heads = 2;
  c.head_dim = 12;
  c.ffn = 72;
  c.vocab = 100;
  c.max_positions = 64;
  c.norm_eps = 1e-5f;
  c.tied_head = true;
  c.eos = 2;
  c.end_tokens = {2};
  return c;
}

std::vector<uint8_t> tiny_tokenizer() {
  TokenizerContents contents;
  contents.header.unknown = 0;
  contents.pieces = {"?"};
  contents.flags = {0};
  contents.byte_ids.fill(kNoId);
  return build_tokenizer_section(std::move(contents));
}

Status write_tiny_model(const std::string& path, const TinyModel& model) {
  Random random(model.seed);
  FileDescription d;
  d.config = model.config;
  if (d.config.rope_frequencies.empty()) {
    for (uint32_t i = 0; i < d.config.head_dim / 2; ++i)
      d.config.rope_frequencies.push_back(1.0 / (1 + 7.0 * i * i));
  }
  d.matrices = make_matrices(model);
  d.vectors = make_vectors(d.config, &random);
  d.tokenizer = model.tokenizer;
  d.quantizer_options = "tiny seed " + std::to_string(model.seed);
  const std::vector<MatrixInfo> matrices = d.matrices;
  auto writer = ModelWriter::create(path, std::move(d), true);
  if (!writer.ok()) return writer.status();
  std::vector<ModelWriter::Residual> residuals;
  for (uint32_t plane = 0; plane < kMaxPlanes; ++plane) {
    for (uint32_t i = 0; i < matrices.size(); ++i) {
      const MatrixInfo& m = matrices[i];
      if (plane >= m.planes) continue;
      const std::vector<uint8_t> block =
          is_dense(m.encoding) ? dense_block(m, &random) : trit_block(m, plane, &random);
      TRIT_RETURN_IF_ERROR(writer.value()->write(i, plane, 0, block));
      if (plane >= m.base_planes)
        residuals.push_back({i, plane, 1.0f / static_cast<float>(1 + residuals.size())});
    }
  }
  return writer.value()->finish(residuals);
}

}  // namespace trit
