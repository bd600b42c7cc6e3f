// See convert_matrix.h. A worker turns 16 rows at a time into digits and scales, packs them into
// the pieces of its row block, and writes each piece once.
#include "model_format/convert/convert_matrix.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstring>
#include <optional>

#include "kernels/half.h"
#include "model_format/convert/decompose.h"
#include "model_format/convert/parallel_blocks.h"
#include "model_format/convert/ternary.h"
#include "model_format/head_sections.h"

namespace trit {
namespace {

constexpr uint64_t kBlockWeights = 1u << 17;

// Sums of one row block, in double; added over all blocks in order.
struct Sums {
  double norm = 0;
  std::array<double, kMaxPlanes> errors = {};
};

struct RowBlocks {
  uint64_t rows_per_block, count;

  explicit RowBlocks(const MatrixTask& task) {
    const MatrixInfo& m = task.info;
    rows_per_block =
        task.compensator
            ? Compensator::kMaxRows
            : std::max<uint64_t>(1, kBlockWeights / (uint64_t{kTileRows} * m.cols)) * kTileRows;
    count = ceil_div(m.rows, rows_per_block);
  }
};

template <typename T>
Span<const uint8_t> bytes_of(const std::vector<T>& values, size_t count) {
  return {reinterpret_cast<const uint8_t*>(values.data()), count * sizeof(T)};
}

// To the file, and to the copy where one is wanted.
Status put(const MatrixTask& task, uint32_t plane, uint64_t offset, Span<const uint8_t> bytes) {
  if (task.blocks)
    std::copy(bytes.begin(), bytes.end(),
              (*task.blocks)[plane].begin() + static_cast<ptrdiff_t>(offset));
  return task.writer->write(task.index, plane, offset, bytes);
}

// What the workers of all encodings share: the task and a row of floats.
class RowReader {
 public:
  explicit RowReader(const MatrixTask& task) : task_(task), row_(task.info.cols) {}

  Status read(uint64_t row) {
    const uint64_t cols = task_.info.cols;
    return task_.tensors.read(*task_.source.tensor, row * cols, cols, cols, row_.data());
  }

  Status bad_weight(uint64_t row, uint32_t col, const std::string& expected) const {
    return task_.tensors.bad_tensor(Code::kMalformed, *task_.source.tensor,
                                    "[" + std::to_string(row) + ", " + std::to_string(col) + "]",
                                    expected, number_text(row_[col]));
  }

 protected:
  const MatrixTask& task_;
  std::vector<float> row_;
};

class DenseWorker : public RowReader {
 public:
  DenseWorker(const MatrixTask& task, const RowBlocks& blocks)
      : RowReader(task), brain_(blocks.rows_per_block * task.info.cols) {}

  Status run(uint64_t begin, uint64_t end, Sums* sums) {
    const uint32_t cols = task_.info.cols;
    const bool brain = task_.info.encoding == Encoding::kDenseBf16;
    for (uint64_t row = begin; row < end; ++row) {
      TRIT_RETURN_IF_ERROR(read(row));
      for (uint32_t c = 0; c < cols; ++c) {
        const double w = row_[c];
        sums->norm += w * w;
        if (!brain) continue;
        const uint16_t bits = f32_to_bf16(row_[c]);
        if ((bits & 0x7fff) == 0x7f80) return bad_weight(row, c, "a weight that bf16 can hold");
        const double d = w - static_cast<double>(bf16_to_f32(bits));
        sums->errors[0] += d * d;
        brain_[(row - begin) * cols + c] = bits;
      }
      if (!brain) TRIT_RETURN_IF_ERROR(put(task_, 0, row * cols * 4, bytes_of(row_, cols)));
    }
    if (!brain) return Status();
    return put(task_, 0, begin * cols * 2, bytes_of(brain_, (end - begin) * cols));
  }

 private:
  std::vector<uint16_t> brain_;
};

// Tied, free and native matrices: digits of a tile, then packed pieces of a block per plane.
class TritWorker : public RowReader {
 public:
  TritWorker(const MatrixTask& task, const RowBlocks& blocks, double ternary_scale)
      : RowReader(task),
        ternary_scale_(ternary_scale),
        info_(task.info),
        groups_(group_count(info_.cols, info_.group)),
        tile_bytes_(row_vectors(info_.cols, info_.group) * kVectorBytes),
        scale_arrays_(info_.encoding == Encoding::kFree   ? info_.planes
                      : info_.encoding == Encoding::kTied ? 1
                                                          : 0),
        scratch_(std::min(info_.group, info_.cols)) {
    const uint64_t tiles = blocks.rows_per_block / kTileRows;
    for (uint32_t p = 0; p < info_.planes; ++p) {
      trits_[p].resize(uint64_t{kTileRows} * info_.cols);
      digits_[p].resize(tiles * tile_bytes_);
      if (p < scale_arrays_) scales_[p].resize(tiles * groups_ * kTileRows);
    }
    if (!task.compensator) return;
    compensation_.emplace(*task.compensator);
    weights_.resize(blocks.rows_per_block * info_.cols);
    levels_.resize(weights_.size());
    steps_.resize(blocks.rows_per_block * groups_);
  }

  Status run(uint64_t begin, uint64_t end, Sums* sums) {
    for (auto& scales : scales_) std::fill(scales.begin(), scales.end(), uint16_t{0});
    if (task_.compensator) TRIT_RETURN_IF_ERROR(compensate(begin, end));
    const uint64_t first_tile = begin / kTileRows, tiles = tile_count(end - begin);
    for (uint64_t tile = 0; tile < tiles; ++tile) {
      const uint64_t row = begin + tile * kTileRows;
      const uint32_t rows = static_cast<uint32_t>(std::min<uint64_t>(kTileRows, end - row));
      for (uint32_t r = 0; r < rows; ++r) TRIT_RETURN_IF_ERROR(fit_row(row + r, tile, r, sums));
      for (uint32_t p = 0; p < info_.planes; ++p)
        pack_tile(trits_[p].data(), info_.cols, rows, info_.cols, info_.group,
                  &digits_[p][tile * tile_bytes_]);
    }
    for (uint32_t p = 0; p < info_.planes; ++p) {
      if (p < scale_arrays_)
        TRIT_RETURN_IF_ERROR(put(task_, p, first_tile * groups_ * kTileRows * 2,
                                 bytes_of(scales_[p], tiles * groups_ * kTileRows)));
      TRIT_RETURN_IF_ERROR(put(task_, p, block_scale_bytes(info_, p) + first_tile * tile_bytes_,
                               bytes_of(digits_[p], tiles * tile_bytes_)));
    }
    return Status();
  }

 private:
  // Levels and steps of all rows of the block, for fit_row to take.
  Status compensate(uint64_t begin, uint64_t end) {
    const uint64_t cols = info_.cols;
    for (uint64_t row = begin; row < end; ++row) {
      TRIT_RETURN_IF_ERROR(read(row));
      std::copy(row_.begin(), row_.end(), &weights_[(row - begin) * cols]);
    }
    task_.compensator->fit(weights_.data(), begin, static_cast<uint32_t>(end - begin),
                           &*compensation_, levels_.data(), steps_.data());
    return Status();
  }

  // Row `row` of the matrix is row r of tile `tile` of this block.
  Status fit_row(uint64_t row, uint64_t tile, uint32_t r, Sums* sums) {
    if (info_.encoding == Encoding::kNative) return take_ternary(row, r);
    TRIT_RETURN_IF_ERROR(read(row));
    const float limit = max_weight(info_.encoding, info_.planes);
    for (uint32_t c = 0; c < info_.cols; ++c) {
      if (std::fabs(row_[c]) > limit)
        return bad_weight(row, c, "a magnitude of at most " + number_text(limit));
      sums->norm += static_cast<double>(row_[c]) * row_[c];
    }
    for (uint64_t g = 0; g < groups_; ++g) {
      const uint64_t first = g * info_.group;
      const uint32_t n = static_cast<uint32_t>(std::min<uint64_t>(info_.group, info_.cols - first));
      GroupFit fit;
      for (uint32_t p = 0; p < info_.planes; ++p)
        fit.trits[p] = &trits_[p][uint64_t{r} * info_.cols + first];
      const uint64_t block_row = tile * kTileRows + r;
      if (task_.compensator)
        take_levels(&row_[first], &levels_[block_row * info_.cols + first], n, info_.planes,
                    steps_[block_row * groups_ + g], &fit);
      else if (info_.encoding == Encoding::kTied)
        fit_tied(&row_[first], &task_.importance[first], n, info_.planes, &scratch_, &fit);
      else
        fit_free(&row_[first], n, info_.planes, &scratch_, &fit);
      for (uint32_t p = 0; p < info_.planes; ++p) sums->errors[p] += fit.errors[p];
      for (uint32_t p = 0; p < scale_arrays_; ++p)
        scales_[p][(tile * groups_ + g) * kTileRows + r] = fit.scales[p];
    }
    return Status();
  }

  Status take_ternary(uint64_t row, uint32_t r) {
    int8_t* trits = &trits_[0][uint64_t{r} * info_.cols];
    if (task_.source.ternary != TernaryForm::kOnline)
      return unpack_ternary_row(task_.tensors, *task_.source.tensor, info_.rows, row, info_.cols,
                                trits);
    TRIT_RETURN_IF_ERROR(read(row));
    round_ternary(row_.data(), info_.cols, ternary_scale_, trits);
    return Status();
  }

  const double ternary_scale_;
  const MatrixInfo& info_;
  const uint64_t groups_, tile_bytes_;
  const uint32_t scale_arrays_;
  FitScratch scratch_;
  // With a compensator, of the rows of the block: [rows][cols], and steps [rows][groups].
  std::optional<Compensator::Scratch> compensation_;
  std::vector<float> weights_;
  std::vector<int8_t> levels_;
  std::vector<uint16_t> steps_;
  std::array<std::vector<int8_t>, kMaxPlanes> trits_;     // [plane][16 rows][cols]
  std::array<std::vector<uint8_t>, kMaxPlanes> digits_;   // [plane][tile of the block]
  std::array<std::vector<uint16_t>, kMaxPlanes> scales_;  // [plane][tile][group][16]
};

// Runs `worker.run(first row, end row, &sums)` over all row blocks and adds the sums in order.
template <typename MakeWorker>
Status run_blocks(const MatrixTask& task, const RowBlocks& blocks, const MakeWorker& make_worker,
                  Sums* total) {
  const uint64_t rows = task.info.rows;
  std::vector<Sums> sums(blocks.count);
  const auto end_of = [&](uint64_t block) {
    return std::min(rows, (block + 1) * blocks.rows_per_block);
  };
  const auto make = [&]() -> BlockFunction {
    return [&, worker = make_worker()](uint64_t block) {
      const uint64_t begin = block * blocks.rows_per_block, end = end_of(block);
      const Status status = worker->run(begin, end, &sums[block]);
      // Packed rows are shared by four blocks; the whole tensor is given back at the end.
      if (task.source.tensor->dtype != Dtype::kU8)
        task.tensors.release(*task.source.tensor, begin * task.info.cols,
                             (end - begin) * task.info.cols);
      return status;
    };
  };
  const auto progress = [&](uint64_t done) { task.progress(end_of(done - 1)); };
  TRIT_RETURN_IF_ERROR(parallel_blocks(blocks.count, task.threads, task.cancel, make, progress));
  for (const Sums& s : sums) {
    total->norm += s.norm;
    for (uint32_t p = 0; p < kMaxPlanes; ++p) total->errors[p] += s.errors[p];
  }
  return Status();
}

// The sum of |w| of an online ternary matrix, as Sums::norm.
class MagnitudeWorker : public RowReader {
 public:
  explicit MagnitudeWorker(const MatrixTask& task) : RowReader(task) {}
  Status run(uint64_t begin, uint64_t end, Sums* sums) {
    for (uint64_t row = begin; row < end; ++row) {
      TRIT_RETURN_IF_ERROR(read(row));
      for (const float w : row_) sums->norm += std::fabs(static_cast<double>(w));
    }
    return Status();
  }
};

// The f32 scale of every row, padded rows 0.
Status write_row_scales(const MatrixTask& task, double scale) {
  std::vector<float> scales(tile_count(task.info.rows) * kTileRows);
  std::fill(scales.begin(), scales.begin() + task.info.rows, static_cast<float>(scale));
  return put(task, 0, 0, bytes_of(scales, scales.size()));
}

}  // namespace

Status convert_matrix(const MatrixTask& task, float* errors) {
  const MatrixInfo& info = task.info;
  const RowBlocks blocks(task);
  Sums total;
  if (is_dense(info.encoding)) {
    TRIT_RETURN_IF_ERROR(run_blocks(
        task, blocks, [&] { return std::make_shared<DenseWorker>(task, blocks); }, &total));
  } else {
    double scale = task.source.scale;
    if (task.source.ternary == TernaryForm::kOnline) {
      Sums magnitude;
      TRIT_RETURN_IF_ERROR(run_blocks(
          task, blocks, [&] { return std::make_shared<MagnitudeWorker>(task); }, &magnitude));
      scale = online_scale(magnitude.norm, uint64_t{info.rows} * info.cols);
    }
    if (info.encoding == Encoding::kNative) TRIT_RETURN_IF_ERROR(write_row_scales(task, scale));
    TRIT_RETURN_IF_ERROR(run_blocks(
        task, blocks, [&] { return std::make_shared<TritWorker>(task, blocks, scale); }, &total));
  }
  const Tensor& tensor = *task.source.tensor;
  task.tensors.release(tensor, 0, tensor.elements());
  for (uint32_t p = 0; p < info.planes; ++p)
    errors[p] = total.norm > 0 ? static_cast<float>(total.errors[p] / total.norm) : 0.0f;
  return Status();
}

}  // namespace trit
