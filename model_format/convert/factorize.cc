// See factorize.h. Columns are eliminated from the last to the first, a block at a time: the block
// itself, the panel of rows above it, then what remains above and left of both.
#include "model_format/convert/factorize.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "kernels/panels.h"
#include "kernels/trit_plane.h"
#include "model_format/convert/parallel_blocks.h"

namespace trit {
namespace {

constexpr uint32_t kBlock = 64;
constexpr uint32_t kPanel = kPanelCols<double>;
// Of the mean of the diagonal: measured, less follows the calibration text too closely, more too
// little.
constexpr double kDamping = 0.05;

// The upper triangle, in blocks of rows that begin with their square on the diagonal: H, then M.
class Triangle {
 public:
  explicit Triangle(uint32_t n) : n_(n) {
    size_t size = 0;
    for (uint32_t begin = 0; begin < n; begin += kBlock) {
      blocks_.push_back(size);
      size += size_t{std::min(kBlock, n - begin)} * (n - begin);
    }
    values_.resize(size);
  }
  uint32_t stride(uint32_t row) const { return n_ - row / kBlock * kBlock; }
  double& at(uint32_t i, uint32_t j) { return values_[index(i, j)]; }
  double at(uint32_t i, uint32_t j) const { return values_[index(i, j)]; }

 private:
  size_t index(uint32_t i, uint32_t j) const {
    return blocks_[i / kBlock] + size_t{i % kBlock} * stride(i) + (j - i / kBlock * kBlock);
  }

  const uint32_t n_;
  std::vector<size_t> blocks_;
  std::vector<double> values_;
};

class Elimination {
 public:
  Elimination(Span<const float> moments, uint32_t n, double damping)
      : n_(n), a_(n), pivots_(n), panels_(size_t{kBlock} * n + kBlock * kBlock) {
    for (uint32_t i = 0; i < n; ++i) {
      for (uint32_t j = i; j < n; ++j) a_.at(i, j) = moments[size_t{i} * n + j];
      a_.at(i, i) += damping;
    }
  }

  Status run(uint32_t threads, const std::atomic<bool>& cancel) {
    for (uint32_t end = n_; end > 0;) {
      const uint32_t begin = (end - 1) / kBlock * kBlock;
      if (!eliminate_block(begin, end))
        return Status(Code::kUnsupported, "calibration: inputs without finite second moments");
      const auto panel = [&](uint64_t block) {
        const uint32_t first = static_cast<uint32_t>(block) * kBlock;
        for (uint32_t i = first; i < first + kBlock; ++i) solve_row(i, begin, end);
        return Status();
      };
      const auto rest = [&](uint64_t block) {
        update_rows(static_cast<uint32_t>(block) * kBlock, begin, end);
        return Status();
      };
      const uint64_t blocks = begin / kBlock;
      TRIT_RETURN_IF_ERROR(parallel_blocks(
          blocks, threads, cancel, [&] { return panel; }, nullptr));
      TRIT_RETURN_IF_ERROR(parallel_blocks(
          blocks, threads, cancel, [&] { return rest; }, nullptr));
      end = begin;
    }
    return Status();
  }

  void take(Factor* factor) const {
    factor->pivots.assign(pivots_.begin(), pivots_.end());
    factor->m.resize(size_t{n_} * n_);
    for (uint32_t i = 0; i < n_; ++i) {
      factor->m[size_t{i} * n_ + i] = 1;
      for (uint32_t j = i + 1; j < n_; ++j)
        factor->m[size_t{i} * n_ + j] = factor->m[size_t{j} * n_ + i] =
            static_cast<float>(a_.at(i, j));
    }
  }

 private:
  bool eliminate_block(uint32_t begin, uint32_t end) {
    for (uint32_t k = end; k-- > begin;) {
      pivots_[k] = a_.at(k, k);
      if (!(pivots_[k] > 0) || !std::isfinite(pivots_[k])) return false;
      for (uint32_t i = begin; i < k; ++i) {
        const double m = a_.at(i, k) / pivots_[k];
        for (uint32_t j = i; j < k; ++j) a_.at(i, j) -= m * a_.at(j, k);
      }
      for (uint32_t i = begin; i < k; ++i) a_.at(i, k) /= pivots_[k];
    }
    return true;
  }

  // -M of columns [begin, end), of rows above: [row][column] as [row / kPanel][column][row %
  // kPanel].
  double& panel(uint32_t i, uint32_t k, uint32_t begin, uint32_t end) {
    return panels_[(size_t{i / kPanel} * (end - begin) + (k - begin)) * kPanel + i % kPanel];
  }

  // Row i of the panel: at(i, k) becomes M D.
  void solve_row(uint32_t i, uint32_t begin, uint32_t end) {
    double* const row = &a_.at(i, begin);
    for (uint32_t k = end; k-- > begin;) {
      const double* const m = &a_.at(k, begin);
      double sum = row[k - begin];
      for (uint32_t l = k + 1; l < end; ++l) sum -= row[l - begin] * m[l - begin];
      row[k - begin] = sum;
      panel(i, k, begin, end) = -sum / pivots_[k];
    }
  }

  // The part of a block of rows that columns [begin, end) no longer touch; then these become M.
  void update_rows(uint32_t first, uint32_t begin, uint32_t end) {
    const uint32_t stride = a_.stride(first);
    for (uint32_t j = first; j < begin; j += kPanel)
      any_kernels().panel_products_f64(&a_.at(first, begin), stride, 1,
                                       &panel(j, begin, begin, end), end - begin, kBlock, kPanel,
                                       &a_.at(first, j), stride);
    for (uint32_t i = first; i < first + kBlock; ++i)
      for (uint32_t k = begin; k < end; ++k) a_.at(i, k) = -panel(i, k, begin, end);
  }

  const uint32_t n_;
  Triangle a_;
  std::vector<double> pivots_;
  std::vector<double> panels_;
};

}  // namespace

const KernelTable& any_kernels() {
  const KernelTable* best = default_kernels();
  return best ? *best : *kernels_for("scalar");
}

Result<Factor> factorize(Span<const float> moments, uint32_t n, uint32_t threads,
                         const std::atomic<bool>& cancel) {
  assert(moments.size() == size_t{n} * n);
  double trace = 0;
  for (uint32_t i = 0; i < n; ++i) trace += static_cast<double>(moments[size_t{i} * n + i]);
  // Inputs that are always 0 tell nothing; then every column is as good as any.
  const double damping = trace > 0 ? kDamping * trace / n : 1;
  Elimination elimination(moments, n, damping);
  TRIT_RETURN_IF_ERROR(elimination.run(threads, cancel));
  Factor factor;
  factor.damping = static_cast<float>(damping);
  elimination.take(&factor);
  return factor;
}

}  // namespace trit
