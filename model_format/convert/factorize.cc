// See factorize.h. Columns are eliminated from the last to the first, a block at a time: the block
// itself, the panel of rows above it, then what remains above and left of both.
#include "model_format/convert/factorize.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "kernels/trit_plane.h"
#include "model_format/convert/parallel_blocks.h"

namespace trit {
namespace {

constexpr uint32_t kBlock = 64;
constexpr uint32_t kStripe = 512;  // columns of a row that stay in the L1 cache
// Of the mean of the diagonal: measured, less follows the calibration text too closely, more too
// little.
constexpr double kDamping = 0.1;

class Elimination {
 public:
  Elimination(Span<const float> moments, uint32_t n, double damping)
      : n_(n), a_(moments.begin(), moments.end()), pivots_(n), panel_(size_t{kBlock} * n) {
    for (uint32_t i = 0; i < n; ++i) at(i, i) += damping;
  }

  Status run(uint32_t threads, const std::atomic<bool>& cancel) {
    for (uint32_t end = n_; end > 0;) {
      const uint32_t begin = (end - 1) / kBlock * kBlock;
      if (!eliminate_block(begin, end))
        return Status(Code::kUnsupported, "calibration: inputs without finite second moments");
      const auto rows_of = [&](uint64_t block, const auto& visit) {
        const uint32_t first = static_cast<uint32_t>(block) * kBlock;
        for (uint32_t i = first; i < std::min(first + kBlock, begin); ++i) visit(i);
        return Status();
      };
      const auto panel = [&](uint64_t block) {
        return rows_of(block, [&](uint32_t i) { solve_row(i, begin, end); });
      };
      const auto rest = [&](uint64_t block) {
        return rows_of(block, [&](uint32_t i) { update_row(i, begin, end); });
      };
      const uint64_t blocks = ceil_div(begin, kBlock);
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
    factor->m.resize(a_.size());
    for (uint32_t i = 0; i < n_; ++i) {
      factor->m[size_t{i} * n_ + i] = 1;
      for (uint32_t j = i + 1; j < n_; ++j)
        factor->m[size_t{i} * n_ + j] = factor->m[size_t{j} * n_ + i] =
            static_cast<float>(at(i, j));
    }
  }

 private:
  double& at(uint32_t i, uint32_t j) { return a_[size_t{i} * n_ + j]; }
  double at(uint32_t i, uint32_t j) const { return a_[size_t{i} * n_ + j]; }

  bool eliminate_block(uint32_t begin, uint32_t end) {
    for (uint32_t k = end; k-- > begin;) {
      pivots_[k] = at(k, k);
      if (!(pivots_[k] > 0) || !std::isfinite(pivots_[k])) return false;
      for (uint32_t i = begin; i < k; ++i) {
        const double m = at(i, k) / pivots_[k];
        for (uint32_t j = i; j < k; ++j) at(i, j) -= m * at(j, k);
      }
      for (uint32_t i = begin; i < k; ++i) at(i, k) /= pivots_[k];
    }
    return true;
  }

  // Row i of the panel: at(i, k) becomes M D, and M itself lies turned in panel_.
  void solve_row(uint32_t i, uint32_t begin, uint32_t end) {
    for (uint32_t k = end; k-- > begin;) {
      double sum = at(i, k);
      for (uint32_t l = k + 1; l < end; ++l) sum -= at(i, l) * at(k, l);
      at(i, k) = sum;
      panel_[size_t{k - begin} * n_ + i] = sum / pivots_[k];
    }
  }

  // The part of row i that the block no longer touches; then the panel's row becomes M.
  void update_row(uint32_t i, uint32_t begin, uint32_t end) {
    for (uint32_t first = i; first < begin; first += kStripe) {
      const uint32_t count = std::min(kStripe, begin - first);
      double* const row = &at(i, first);
      uint32_t k = begin;
      for (; k + 4 <= end; k += 4) {
        const double* const m = &panel_[size_t{k - begin} * n_ + first];
        const double *const m1 = m + n_, *const m2 = m1 + n_, *const m3 = m2 + n_;
        const double y = at(i, k), y1 = at(i, k + 1), y2 = at(i, k + 2), y3 = at(i, k + 3);
        for (uint32_t j = 0; j < count; ++j)
          row[j] -= (y * m[j] + y1 * m1[j]) + (y2 * m2[j] + y3 * m3[j]);
      }
      for (; k < end; ++k)
        for (uint32_t j = 0; j < count; ++j)
          row[j] -= at(i, k) * panel_[size_t{k - begin} * n_ + first + j];
    }
    for (uint32_t k = begin; k < end; ++k) at(i, k) = panel_[size_t{k - begin} * n_ + i];
  }

  const uint32_t n_;
  std::vector<double> a_;  // [n][n], the upper triangle counts: H, then M
  std::vector<double> pivots_;
  std::vector<double> panel_;  // [block][n]
};

}  // namespace

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
