// See random_model.h. A file is cut into pieces of whole tiles; each piece has its own generator,
// seeded with its place, so pieces may be made by any thread in any order. Digits are drawn five at
// a time: any byte below 243 is valid, only padding must be put right.
#include "model_format/convert/random_model.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "kernels/half.h"
#include "model_format/convert/parallel_blocks.h"
#include "model_format/convert/plane_order.h"
#include "model_format/file_layout.h"
#include "model_format/writer.h"

namespace trit {
namespace {

constexpr uint64_t kPieceBytes = 1u << 20;

// splitmix64
class Random {
 public:
  Random(uint64_t seed, uint64_t stream) : state_(seed ^ stream * 0xd1342543de82ef95u) { next(); }
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // In [-1, 1), a multiple of 2^-23.
  float uniform() { return static_cast<float>(next() >> 40) / 8388608.0f - 1.0f; }

 private:
  uint64_t state_;
};

// Tiles [first, first + count) of block (matrix, plane).
struct Piece {
  uint32_t matrix, plane;
  uint64_t first, count;
};

uint64_t tile_bytes(const MatrixInfo& m) {
  return row_vectors(m.cols, m.group) * kVectorBytes;
}

std::vector<Piece> cut(const std::vector<MatrixInfo>& matrices) {
  std::vector<Piece> pieces;
  for (uint32_t i = 0; i < matrices.size(); ++i) {
    const MatrixInfo& m = matrices[i];
    const uint64_t tiles = tile_count(m.rows);
    const uint64_t most = std::max<uint64_t>(kPieceBytes / tile_bytes(m), 1);
    for (uint32_t plane = 0; plane < m.planes; ++plane)
      for (uint64_t first = 0; first < tiles; first += most)
        pieces.push_back({i, plane, first, std::min(most, tiles - first)});
  }
  return pieces;
}

// Digits 0 in the columns of one vector from `cols` on and in the rows from `rows` on. The columns
// of a byte ascend with its digits, so padding is always its upper digits.
void clear_padding(uint8_t* vector, uint64_t rows, uint64_t cols) {
  for (uint64_t i = 0; i < kVectorBytes; ++i) {
    uint32_t power = 1;
    for (uint64_t j = 0; j < kTritsPerByte && i / 4 < rows && 4 * j + i % 4 < cols; ++j) power *= 3;
    vector[i] = static_cast<uint8_t>(vector[i] % power + kPaddingByte / power * power);
  }
}

void fill_digits(const MatrixInfo& m, const Piece& piece, Random* random, uint8_t* out) {
  const uint64_t bytes = piece.count * tile_bytes(m);  // a multiple of 64
  for (uint64_t i = 0; i < bytes; i += 4) {
    const uint64_t bits = random->next();
    for (uint32_t k = 0; k < 4; ++k)
      out[i + k] = static_cast<uint8_t>((bits >> (16 * k) & 0xffff) * kByteCodes >> 16);
  }
  const uint64_t groups = group_count(m.cols, m.group);
  for (uint64_t tile = piece.first; tile < piece.first + piece.count; ++tile) {
    const uint64_t rows = std::min<uint64_t>(kTileRows, m.rows - tile * kTileRows);
    for (uint64_t g = 0; g < groups; ++g) {
      const uint64_t vectors = group_vectors(m.cols, m.group, g);
      const uint64_t cols = std::min<uint64_t>(m.group, m.cols - g * m.group);
      for (uint64_t v = rows < kTileRows ? 0 : cols / kVectorCols; v < vectors; ++v)
        clear_padding(out + v * kVectorBytes, rows, cols - v * kVectorCols);
      out += vectors * kVectorBytes;
    }
  }
}

// The scale of a plane such that the sum of a row's squares is near 1, so that activations keep
// their size: a digit's mean square is 2/3, and digits of a stack weigh a third of those before.
float mean_scale(const MatrixInfo& m, uint32_t plane) {
  float squares = 0, step = 1;
  for (uint32_t p = 0; p < m.planes; ++p, step *= 3) squares += step * step * (2.0f / 3.0f);
  for (step = 1; m.encoding == Encoding::kFree && plane + 1 < m.planes; ++plane) step *= 3;
  return step / std::sqrt(squares * static_cast<float>(m.cols));
}

void fill_scales(const MatrixInfo& m, const Piece& piece, Random* random,
                 std::vector<uint8_t>* out) {
  const bool native = m.encoding == Encoding::kNative;
  const uint64_t groups = native ? 1 : group_count(m.cols, m.group), width = native ? 4 : 2;
  const float mean = mean_scale(m, piece.plane);
  out->assign(piece.count * groups * kTileRows * width, 0);
  uint8_t* to = out->data();
  for (uint64_t tile = piece.first; tile < piece.first + piece.count; ++tile)
    for (uint64_t i = 0; i < groups * kTileRows; ++i, to += width) {
      if (tile * kTileRows + i % kTileRows >= m.rows) continue;
      const float scale = mean * (1 + random->uniform() / 4);
      if (native) {
        store(to, scale);
      } else {
        store(to, f32_to_f16(scale));
      }
    }
}

Status write_piece(const MatrixInfo& m, const Piece& piece, uint64_t seed,
                   std::vector<uint8_t>* buffer, ModelWriter* writer) {
  const uint64_t place = (uint64_t{piece.matrix} * kMaxPlanes + piece.plane) << 32 | piece.first;
  Random random(seed, place + 1);
  const uint64_t scale_bytes = block_scale_bytes(m, piece.plane);
  if (scale_bytes > 0) {
    fill_scales(m, piece, &random, buffer);
    // The bytes of a whole tile's scales follow from those of this piece.
    const uint64_t offset = buffer->size() / piece.count * piece.first;
    TRIT_RETURN_IF_ERROR(writer->write(piece.matrix, piece.plane, offset, *buffer));
  }
  buffer->resize(piece.count * tile_bytes(m));
  fill_digits(m, piece, &random, buffer->data());
  return writer->write(piece.matrix, piece.plane, scale_bytes + piece.first * tile_bytes(m),
                       *buffer);
}

MatrixInfo make_matrix(const RandomModel& model, MatrixRole role, uint32_t layer) {
  MatrixInfo m;
  m.role = role;
  m.layer = layer;
  m.encoding = is_layer_role(role) ? model.encoding : Encoding::kTied;
  const Shape shape = matrix_shape(model.config, role);
  m.rows = shape.rows;
  m.cols = shape.cols;
  const bool native = m.encoding == Encoding::kNative;
  m.group = native ? m.cols : std::min(model.group, m.cols);
  m.planes = native ? 1 : is_layer_role(role) ? model.planes : model.head_planes;
  m.base_planes = m.encoding == Encoding::kFree ? m.planes : 1;
  // The share of the planes left out: each is worth a ninth of the one before.
  float all = 0, left = 0;
  for (uint32_t p = 0; p < m.planes; ++p) all = 9 * all + 1;
  for (uint32_t p = m.planes; p-- > 0; left = 9 * left + 1) m.errors[p] = left / all;
  return m;
}

std::vector<MatrixInfo> make_matrices(const RandomModel& model) {
  std::vector<MatrixInfo> matrices = {make_matrix(model, MatrixRole::kEmbedding, 0)};
  if (!model.config.tied_head) matrices.push_back(make_matrix(model, MatrixRole::kHead, 0));
  for (uint32_t layer = 0; layer < model.config.n_layers; ++layer)
    for (const MatrixRole role : {MatrixRole::kQ, MatrixRole::kK, MatrixRole::kV, MatrixRole::kO,
                                  MatrixRole::kGate, MatrixRole::kUp, MatrixRole::kDown})
      matrices.push_back(make_matrix(model, role, layer));
  return matrices;
}

// Norm weights near 1, biases near 0.
std::vector<VectorData> make_vectors(const RandomModel& model) {
  Random random(model.seed, 0);
  std::vector<VectorData> vectors;
  for (uint32_t i = 0; i < kVectorRoles; ++i) {
    const VectorRole role = static_cast<VectorRole>(i);
    if (!has_vector(model.config, role)) continue;
    const float mean = role < VectorRole::kQBias ? 1 : 0;
    for (uint32_t layer = 0; layer < (is_layer_role(role) ? model.config.n_layers : 1); ++layer) {
      VectorData v{role, layer, std::vector<float>(vector_size(model.config, role))};
      for (float& x : v.values) x = mean + random.uniform() / 4;
      vectors.push_back(std::move(v));
    }
  }
  return vectors;
}

std::string options_text(const RandomModel& model) {
  return std::string("random seed=") + std::to_string(model.seed) +
         " encoding=" + encoding_name(model.encoding) + " planes=" + std::to_string(model.planes) +
         " head_planes=" + std::to_string(model.head_planes) +
         " group=" + std::to_string(model.group);
}

}  // namespace

Status write_random_model(const std::string& path, const RandomModel& model,
                          const std::function<void(uint64_t done, uint64_t total)>& progress,
                          const std::atomic<bool>& cancel) {
  FileDescription description;
  description.config = model.config;
  const std::vector<MatrixInfo> matrices = make_matrices(model);
  description.matrices = matrices;
  description.vectors = make_vectors(model);
  description.quantizer_options = options_text(model);
  auto writer = ModelWriter::create(path, std::move(description), model.force);
  if (!writer.ok()) return writer.status();
  const std::vector<Piece> pieces = cut(matrices);
  const auto make_worker = [&]() -> BlockFunction {
    return [&, buffer = std::make_shared<std::vector<uint8_t>>()](uint64_t i) {
      return write_piece(matrices[pieces[i].matrix], pieces[i], model.seed, buffer.get(),
                         writer.value().get());
    };
  };
  const auto report = [&](uint64_t done) { progress(done, pieces.size()); };
  TRIT_RETURN_IF_ERROR(parallel_blocks(pieces.size(), model.threads, cancel, make_worker, report));
  return writer.value()->finish(order_planes(matrices, estimated_values(matrices)));
}

}  // namespace trit
