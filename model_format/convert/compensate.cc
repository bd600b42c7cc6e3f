// See compensate.h. With H = M D M' and T the weights that would be best without any rounding, the
// error of weights W is the sum over columns k of D_k (Z_k - sum_{i<k} W_i M_ik - W_k)^2, Z = T M.
// So columns in ascending order know their own target, Z_k less what those before them made of it.
// T H = `wanted` is known first: W H and what the statistics say is missing; thus
// Z = wanted M'^-1 D^-1. Triangles need no care in products: columns not decided yet are 0.
#include "model_format/convert/compensate.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "kernels/half.h"
#include "kernels/panels.h"

namespace trit {
namespace {

// Measured (README.md): how much the error of a prefix counts beside that of one plane more (less
// where that one is all but exact), how much of what is missing a matrix tries to make up for, and
// how often columns are chosen again.
constexpr float kPrefixWeight = 0.11f, kWeightBelowFour = 0.1f;
constexpr float kCorrection = 0.6f;
constexpr int kSweeps = 4;
// Rows of a matrix that are panels at a time: those of a group then stay in the L2 cache.
constexpr uint32_t kSpan = 256;
// Steps that are tried on each side of the one that would be best if columns knew nothing of each
// other, and how far they lie apart.
constexpr int kStepsAround = 2;
constexpr double kStepDistance = 0.04;
// Columns whose targets change with one before them begin at a multiple: no vector is cut.
constexpr uint32_t kAligned = 16;

// A level with its last `dropped` digits away.
float prefix_level(int32_t level, uint32_t dropped) {
  int32_t unit = 1;
  for (; dropped > 0; --dropped) unit *= 3;
  const int32_t magnitude = ((level < 0 ? -level : level) + unit / 2) / unit * unit;
  return static_cast<float>(level < 0 ? -magnitude : magnitude);
}

}  // namespace

// The columns [begin, end) of one row, a group: what is still missing per prefix, and the choice of
// levels and step that follows from it.
class RowFit {
 public:
  explicit RowFit(const Compensator& c) : c_(c), max_level_(tied_max_level(c.info_.planes)) {
    for (const auto& prefix : c.prefixes_) {
      std::vector<float>& values = values_[count_++];
      for (int32_t q = -max_level_; q <= max_level_; ++q)
        values.push_back(prefix_level(q, prefix.dropped));
      gaps_[count_ - 1].resize(std::min(c.info_.group, c.info_.cols));
    }
    best_.resize(gaps_[0].size());
  }

  void begin(uint32_t begin, uint32_t end) {
    begin_ = begin;
    end_ = end;
  }
  // Per prefix, [end - begin): before decide() the targets of the columns, before improve() the
  // gradient.
  float* gap(uint32_t prefix) { return gaps_[prefix].data(); }

  // The targets of the longest prefix as if the group were not rounded.
  const float* unrounded() {
    const float* m = c_.prefixes_[0].factor->m.data();
    for (uint32_t k = begin_; k < end_; ++k)
      best_[k - begin_] =
          gaps_[0][k - begin_] -
          c_.kernels_.dot(best_.data(), m + size_t{k} * c_.info_.cols + begin_, k - begin_);
    return best_.data();
  }

  // Of steps around this one, that whose levels leave the least error in the group. From the middle
  // outwards: most are given up before the last column.
  float decide(float step, int8_t* levels) {
    float best = step;
    double least = INFINITY;
    trial_.resize(end_ - begin_);
    for (int i = 0; i <= 2 * kStepsAround; ++i) {
      const int away = i % 2 ? (i + 1) / 2 : -i / 2;
      const float s = nearest_scale(static_cast<double>(step) * (1 + kStepDistance * away));
      const double error = round_all(s, least, trial_.data());
      if (error >= least) continue;
      least = error;
      best = s;
      std::copy(trial_.begin(), trial_.end(), levels + begin_);
    }
    return best;
  }

  // The step that the levels would like, where that is better. H t is kept: the gradient follows.
  float refit(float step, const int8_t* levels) {
    double slope = 0, curvature = 0;
    const uint32_t n = end_ - begin_, cols = c_.info_.cols;
    for (uint32_t p = 0; p < count_; ++p) {
      const auto& prefix = c_.prefixes_[p];
      std::vector<float>& ht = products_[p];
      ht.resize(n);
      for (uint32_t i = 0; i < n; ++i) best_[i] = value(p, levels[begin_ + i]);
      for (uint32_t i = 0; i < n; ++i) {
        const float* h = prefix.statistics->moments.data() + size_t{begin_ + i} * cols + begin_;
        ht[i] = c_.kernels_.dot(h, best_.data(), n) + prefix.factor->damping * best_[i];
      }
      slope += static_cast<double>(prefix.weight * c_.kernels_.dot(best_.data(), gap(p), n));
      curvature += static_cast<double>(prefix.weight * c_.kernels_.dot(best_.data(), ht.data(), n));
    }
    if (!(curvature > 0) || step + slope / curvature <= 0) return step;
    const float better = nearest_scale(step + slope / curvature);
    const double change = static_cast<double>(better) - step;
    if (curvature * change * change - 2 * slope * change >= 0) return step;
    for (uint32_t p = 0; p < count_; ++p)
      c_.kernels_.add_multiple(gap(p), -static_cast<float>(change), products_[p].data(), n);
    return better;
  }

  // Every column once more, the others given; whether any changed.
  bool improve(float step, int8_t* levels) {
    bool changed = false;
    const uint32_t cols = c_.info_.cols;
    for (uint32_t k = begin_; k < end_; ++k) {
      for (uint32_t p = 0; p < count_; ++p) {
        const auto& prefix = c_.prefixes_[p];
        const float h = prefix.statistics->moments[size_t{k} * cols + k] + prefix.factor->damping;
        weights_[p] = prefix.weight * h;
        targets_[p] = value(p, levels[k]) + gaps_[p][k - begin_] / (h * step);
      }
      const int32_t level = nearest();
      if (level == levels[k]) continue;
      changed = true;
      for (uint32_t p = 0; p < count_; ++p) {
        const float change = (value(p, level) - value(p, levels[k])) * step;
        const float* h = c_.prefixes_[p].statistics->moments.data();
        gaps_[p][k - begin_] -= c_.prefixes_[p].factor->damping * change;
        c_.kernels_.add_multiple(gap(p), -change, h + size_t{k} * cols + begin_, end_ - begin_);
      }
      levels[k] = static_cast<int8_t>(level);
    }
    return changed;
  }

  // What the levels of the group make of row r.
  void set_weights(float step, const int8_t* levels, uint32_t r,
                   Compensator::Scratch* scratch) const {
    for (uint32_t p = 0; p < count_; ++p)
      for (size_t k = begin_; k < end_; ++k)
        scratch->prefixes[p].weights[k * Compensator::kMaxRows + r] = value(p, levels[k]) * step;
  }

 private:
  float value(uint32_t prefix, int32_t level) const {
    return values_[prefix][static_cast<size_t>(level + max_level_)];
  }

  // The level with the least weighted squared distance of its prefixes from targets_, the lowest of
  // equal ones. A prefix moves a level by less than half a unit of its last digit, so those far
  // outside of all targets need no look.
  int32_t nearest() const {
    if (std::isnan(targets_[0])) return 0;
    const float limit = static_cast<float>(max_level_);
    const float wish = std::clamp(targets_[0], -limit, limit);
    const int32_t rounded = static_cast<int32_t>(wish + limit + 0.5f) - max_level_;
    if (is_nearest(rounded)) return rounded;
    const auto [low, high] = std::minmax_element(targets_.begin(), targets_.begin() + count_);
    const int32_t reach = static_cast<int32_t>(tied_max_level(count_ - 1)) + 2;
    const int32_t first = static_cast<int32_t>(std::clamp(*low, -limit, limit)) - reach;
    const int32_t last = static_cast<int32_t>(std::clamp(*high, -limit, limit)) + reach;
    int32_t best = 0;
    float best_cost = 0;
    bool any = false;
    for (int32_t q = std::max(first, -max_level_); q <= std::min(last, max_level_); ++q) {
      float cost = 0;
      for (uint32_t p = 0; p < count_; ++p) {
        const float d = value(p, q) - targets_[p];
        cost += weights_[p] * (d * d);
      }
      if (any && cost >= best_cost) continue;
      any = true;
      best = q;
      best_cost = cost;
    }
    return best;
  }

  // Whether no prefix could wish for another level: then nearest() would find this one.
  bool is_nearest(int32_t level) const {
    float half = 0.49f;
    for (uint32_t p = 0; p < count_; ++p, half *= 3)
      if (!(std::fabs(value(p, level) - targets_[p]) < half)) return false;
    return true;
  }

  // Column after column, each with a target that makes up for those before it, to levels[0 .. end -
  // begin); returns the weighted error, or as soon as that is not below `least`.
  double round_all(float step, double least, int8_t* levels) {
    for (uint32_t p = 0; p < count_; ++p) products_[p] = gaps_[p];
    double error = 0;
    for (uint32_t k = begin_; k < end_ && error < least; ++k) {
      for (uint32_t p = 0; p < count_; ++p) {
        weights_[p] = c_.prefixes_[p].weight * c_.prefixes_[p].factor->pivots[k];
        targets_[p] = products_[p][k - begin_] / step;
      }
      const int32_t level = nearest();
      levels[k - begin_] = static_cast<int8_t>(level);
      const uint32_t next = (k + 1 - begin_) / kAligned * kAligned;  // nobody reads those up to k
      for (uint32_t p = 0; p < count_; ++p) {
        const float left = (value(p, level) - targets_[p]) * step;
        error += static_cast<double>(weights_[p] * left * left);
        const float weight = value(p, level) * step;
        const float* row = c_.prefixes_[p].factor->m.data() + size_t{k} * c_.info_.cols + begin_;
        c_.kernels_.add_multiple(products_[p].data() + next, -weight, row + next,
                                 end_ - begin_ - next);
      }
    }
    return error;
  }

  const Compensator& c_;
  const int32_t max_level_;
  uint32_t count_ = 0, begin_ = 0, end_ = 0;
  std::array<std::vector<float>, kMaxPlanes> values_;  // [level + max_level_] of the prefix
  std::array<std::vector<float>, kMaxPlanes> gaps_, products_;
  std::array<float, kMaxPlanes> weights_ = {}, targets_ = {};  // of the column at hand
  std::vector<float> best_;
  std::vector<int8_t> trial_;
};

Compensator::Compensator(const MatrixInfo& info, const std::vector<InputStatistics>& statistics,
                         const std::vector<Factor>& factors)
    : info_(info), kernels_(any_kernels()), importance_(info.cols) {
  assert(!statistics.empty() && statistics.size() == factors.size());
  float weight = 1;
  for (size_t i = 0; i < statistics.size(); ++i) {
    assert(statistics[i].planes + i == info.planes);
    prefixes_.push_back({weight, static_cast<uint32_t>(i), &statistics[i], &factors[i]});
    weight *= statistics[i].planes == 4 ? kWeightBelowFour : kPrefixWeight;
  }
  double sum = 0;
  const auto diagonal = [&](uint32_t k) {
    return statistics[0].moments[size_t{k} * info.cols + k] + factors[0].damping;
  };
  for (uint32_t k = 0; k < info.cols; ++k) sum += static_cast<double>(diagonal(k));
  for (uint32_t k = 0; k < info.cols; ++k)
    importance_[k] = static_cast<float>(diagonal(k) * info.cols / sum);
}

Compensator::Scratch::Scratch(const Compensator& c)
    : prefixes(c.prefixes_.size()),
      solved(c.info_.cols),
      fit(std::min(c.info_.group, c.info_.cols)) {
  const size_t values = size_t{kMaxRows} * c.info_.cols;
  for (Prefix& prefix : prefixes)
    for (std::vector<float>* v : {&prefix.wanted, &prefix.targets, &prefix.weights, &prefix.sums})
      v->resize(values);
  turned.resize(values);
  panels.resize(kSpan * (std::min(c.info_.group, c.info_.cols) + kPanelCols<float>));
}

Compensator::Columns Compensator::group(uint32_t index) const {
  const uint32_t begin = index * info_.group;
  return {begin, std::min(begin + info_.group, info_.cols)};
}

void Compensator::multiply(const std::vector<float>& x, uint32_t rows, Columns from,
                           const float* matrix, Columns to, std::vector<float>* panels,
                           std::vector<float>* sums) const {
  const size_t cols = info_.cols;
  for (uint32_t r = 0; r < rows; ++r)
    std::fill_n(sums->begin() + static_cast<ptrdiff_t>(r * cols + to.begin), to.end - to.begin,
                0.0f);
  for (uint32_t begin = from.begin, n; begin < from.end; begin += n) {
    n = std::min(kSpan, from.end - begin);
    make_panels(matrix + begin * cols + to.begin, cols, n, to.end - to.begin, panels->data());
    for (uint32_t k = to.begin; k < to.end; k += kPanelCols<float>)
      kernels_.panel_products(&x[size_t{begin} * kMaxRows], 1, kMaxRows,
                              &(*panels)[size_t{k - to.begin} * n], n, rows,
                              std::min(kPanelCols<float>, to.end - k), &(*sums)[k], cols);
  }
}

void Compensator::set_wanted(const Prefix& prefix, uint64_t first_row, uint32_t rows,
                             Scratch* scratch, Scratch::Prefix* to) const {
  const InputStatistics& s = *prefix.statistics;
  const size_t cols = info_.cols, values = rows * cols;
  const bool corrected = !s.dense.empty() || !s.outputs.empty();
  for (uint32_t g = 0; g < group_count(info_.cols, info_.group); ++g) {
    const Columns all{0, info_.cols};
    multiply(scratch->turned, rows, all, s.moments.data(), group(g), &scratch->panels, &to->wanted);
    if (!s.dense.empty())
      multiply(scratch->turned, rows, all, s.dense.data(), group(g), &scratch->panels, &to->sums);
  }
  if (corrected) {
    const float* outputs =
        s.outputs.empty() ? to->sums.data() : s.outputs.data() + first_row * cols;
    for (size_t i = 0; i < values; ++i) to->wanted[i] += kCorrection * (outputs[i] - to->wanted[i]);
  }
  for (uint32_t r = 0; r < rows; ++r)
    for (size_t k = 0; k < cols; ++k)
      to->wanted[r * cols + k] += prefix.factor->damping * scratch->turned[k * kMaxRows + r];
}

// wanted M'^-1 D^-1, from the last column to the first.
void Compensator::set_targets(const Prefix& prefix, uint32_t rows, Scratch* scratch,
                              Scratch::Prefix* to) const {
  const size_t cols = info_.cols;
  const float* m = prefix.factor->m.data();
  for (uint32_t g = static_cast<uint32_t>(group_count(info_.cols, info_.group)); g-- > 0;) {
    const auto [begin, end] = group(g);
    multiply(to->weights, rows, {end, info_.cols}, m, {begin, end}, &scratch->panels, &to->sums);
    for (uint32_t r = 0; r < rows; ++r) {
      for (uint32_t k = end; k-- > begin;) {
        const size_t i = r * cols + k;
        const float solved =
            to->wanted[i] - to->sums[i] -
            kernels_.dot(m + k * cols + k + 1, scratch->solved.data() + k + 1, end - k - 1);
        scratch->solved[k] = to->weights[k * size_t{kMaxRows} + r] = solved;
        to->targets[i] = solved / prefix.factor->pivots[k];
      }
    }
  }
  std::fill(to->weights.begin(), to->weights.end(), 0.0f);
}

void Compensator::decide(uint32_t rows, Scratch* scratch, int8_t* levels, uint16_t* scales) const {
  const size_t cols = info_.cols, groups = group_count(info_.cols, info_.group);
  RowFit row(*this);
  for (uint32_t g = 0; g < groups; ++g) {
    const auto [begin, end] = group(g);
    row.begin(begin, end);
    for (size_t p = 0; p < prefixes_.size(); ++p) {
      Scratch::Prefix& work = scratch->prefixes[p];
      multiply(work.weights, rows, {0, begin}, prefixes_[p].factor->m.data(), {begin, end},
               &scratch->panels, &work.sums);
    }
    for (uint32_t r = 0; r < rows; ++r) {
      for (uint32_t p = 0; p < prefixes_.size(); ++p) {
        const Scratch::Prefix& work = scratch->prefixes[p];
        for (size_t k = begin; k < end; ++k)
          row.gap(p)[k - begin] = work.targets[r * cols + k] - work.sums[r * cols + k];
      }
      float step =
          tied_step(row.unrounded(), &importance_[begin], end - begin, info_.planes, &scratch->fit);
      int8_t* const chosen = levels + r * cols;
      if (step == 0)
        std::fill(chosen + begin, chosen + end, int8_t{0});
      else
        step = row.decide(step, chosen);
      scales[r * groups + g] = f32_to_f16(step);
      row.set_weights(step, chosen, r, scratch);
    }
  }
}

bool Compensator::improve(uint32_t rows, Scratch* scratch, int8_t* levels, uint16_t* scales) const {
  const size_t cols = info_.cols, groups = group_count(info_.cols, info_.group);
  RowFit row(*this);
  bool changed = false;
  for (uint32_t g = 0; g < groups; ++g) {
    const auto [begin, end] = group(g);
    row.begin(begin, end);
    for (size_t p = 0; p < prefixes_.size(); ++p) {
      Scratch::Prefix& work = scratch->prefixes[p];
      multiply(work.weights, rows, {0, info_.cols}, prefixes_[p].statistics->moments.data(),
               {begin, end}, &scratch->panels, &work.sums);
    }
    for (uint32_t r = 0; r < rows; ++r) {
      float step = f16_to_f32(scales[r * groups + g]);
      if (step == 0) continue;
      for (uint32_t p = 0; p < prefixes_.size(); ++p) {
        const Scratch::Prefix& work = scratch->prefixes[p];
        for (size_t k = begin; k < end; ++k)
          row.gap(p)[k - begin] = work.wanted[r * cols + k] - work.sums[r * cols + k] -
                                  prefixes_[p].factor->damping * work.weights[k * kMaxRows + r];
      }
      int8_t* const chosen = levels + r * cols;
      const float better = row.refit(step, chosen);
      changed |= better != step;
      step = better;
      scales[r * groups + g] = f32_to_f16(step);
      changed |= row.improve(step, chosen);
      row.set_weights(step, chosen, r, scratch);
    }
  }
  return changed;
}

void Compensator::fit(const float* weights, uint64_t first_row, uint32_t rows, Scratch* scratch,
                      int8_t* levels, uint16_t* scales) const {
  assert(rows <= kMaxRows);
  for (uint32_t r = 0; r < rows; ++r)
    for (size_t k = 0; k < info_.cols; ++k)
      scratch->turned[k * kMaxRows + r] = weights[r * size_t{info_.cols} + k];
  for (size_t p = 0; p < prefixes_.size(); ++p) {
    set_wanted(prefixes_[p], first_row, rows, scratch, &scratch->prefixes[p]);
    set_targets(prefixes_[p], rows, scratch, &scratch->prefixes[p]);
  }
  decide(rows, scratch, levels, scales);
  for (int sweep = 0; sweep < kSweeps && improve(rows, scratch, levels, scales); ++sweep) continue;
}

}  // namespace trit
