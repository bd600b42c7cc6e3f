// The tied fit. See decompose.h.
#include "model_format/convert/decompose.h"

#include <algorithm>
#include <cmath>

#include "kernels/half.h"

namespace trit {
namespace {

constexpr uint32_t kLanes = 16;
constexpr float kMaxF16 = 65504;
constexpr float kMinF16 = 0x1p-24f;
constexpr float kPrefixWeight = 0.2f;
constexpr int kCoarseSteps = 40;
constexpr int kFineSteps = 12;  // on each side of the best coarse step

// Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even, for |x| < 2^22:
// one exact rule on every machine, in instructions that every machine has.
inline float round_even(float x) {
  constexpr float kMagic = 12582912.0f;
  return (x + kMagic) - kMagic;
}

inline double round_even(double x) {
  constexpr double kMagic = 6755399441055744.0;
  return (x + kMagic) - kMagic;
}

// The weighted squared error of step `s`. Sixteen fixed lanes, so that compilers may vectorise and
// the bits stay the same.
template <bool kWithPrefix>
double sweep_cost(const FitScratch& scratch, size_t padded, float s, float max_level) {
  const float inverse = 1.0f / s;
  float sums[kLanes] = {};
  for (size_t i = 0; i < padded; i += kLanes) {
    const float* block = scratch.padded.data() + i;
    for (uint32_t l = 0; l < kLanes; ++l) {
      const float x = block[l] * inverse;
      const float low = x < -max_level ? -max_level : x;
      const float q = round_even(low > max_level ? max_level : low);
      const float d = x - q;
      float cost = d * d;
      if (kWithPrefix) {
        const float prefix = x - 3.0f * round_even(q * (1.0f / 3.0f));
        cost += kPrefixWeight * (prefix * prefix);
      }
      sums[l] += cost * scratch.importance[i + l];
    }
  }
  double total = 0;
  for (const float sum : sums) total += static_cast<double>(sum);
  return total * s * s;
}

// Steps s = absmax / u for u in a geometric row from just below max_level (no clipping) to about
// twice that (a group with an outlier), then a finer row around the best. Every step is rounded to
// f16 before it is judged.
class Sweep {
 public:
  Sweep(const FitScratch& scratch, uint32_t n, uint32_t planes)
      : scratch_(scratch),
        padded_((n + kLanes - 1) / kLanes * kLanes),
        planes_(planes),
        max_level_(static_cast<float>(tied_max_level(planes))) {}

  float best_step(float absmax) {
    const double first = max_level_ - 0.75, last = 2.2 * max_level_ + 2;
    const double ratio = coarse_ratio(last / first);
    double u = first;
    for (int i = 0; i <= kCoarseSteps; ++i, u *= ratio) try_step(absmax / u);
    const double center = best_;
    const double fine = (ratio - 1) / (kFineSteps + 1);
    for (int i = -kFineSteps; i <= kFineSteps; ++i) try_step(center * (1 + fine * i));
    return best_;
  }

  // That, or the step that its levels would like, by least squares over the prefixes that count.
  float refined_step() {
    const double weight = planes_ >= 3 ? static_cast<double>(kPrefixWeight) : 0.0;
    const double step = best_, most = max_level_;
    double dot = 0, square = 0;
    for (size_t i = 0; i < padded_; ++i) {
      const double w = scratch_.padded[i], importance = scratch_.importance[i];
      const double q = round_even(std::min(std::max(w / step, -most), most));
      const double prefix = 3 * round_even(q * (1.0 / 3.0));
      dot += importance * w * (q + weight * prefix);
      square += importance * (q * q + weight * prefix * prefix);
    }
    if (square > 0) try_step(dot / square);
    return best_;
  }

 private:
  // The kCoarseSteps-th root, by halving: it needs no more than a few digits.
  static double coarse_ratio(double span) {
    double low = 1, high = span;
    while (high - low > 1e-6) {
      const double middle = 0.5 * (low + high);
      double power = 1;
      for (int i = 0; i < kCoarseSteps; ++i) power *= middle;
      (power < span ? low : high) = middle;
    }
    return high;
  }

  void try_step(double step) {
    const float s = nearest_scale(step);
    if (s == last_) return;
    last_ = s;
    const double cost = planes_ >= 3 ? sweep_cost<true>(scratch_, padded_, s, max_level_)
                                     : sweep_cost<false>(scratch_, padded_, s, max_level_);
    if (cost < best_cost_) {
      best_cost_ = cost;
      best_ = s;
    }
  }

  const FitScratch& scratch_;
  const size_t padded_;
  const uint32_t planes_;
  const float max_level_;
  float best_ = kMinF16, last_ = 0;
  double best_cost_ = INFINITY;
};

// Trits of all planes of weight i, and the exact squared errors of all prefixes.
void take_level(float w, double level, double step, uint32_t planes, uint32_t i, GroupFit* fit) {
  for (uint32_t p = planes; p-- > 0;) {
    const double d = w - step * level;
    fit->errors[p] += d * d;
    // level / 3 is never halfway between two integers, so this is the level of the prefix.
    const double upper = round_even(level * (1.0 / 3.0));
    fit->trits[p][i] = static_cast<int8_t>(level - 3 * upper);
    level = upper;
    step *= 3;
  }
}

// The nearest levels of step s; of step 0, zeros.
void round_to_step(const float* w, uint32_t n, uint32_t planes, float s, GroupFit* fit) {
  const double step = s, max_level = tied_max_level(planes);
  for (double& error : fit->errors) error = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const double x = s > 0 ? std::min(std::max(w[i] / step, -max_level), max_level) : 0;
    take_level(w[i], round_even(x), step, planes, i, fit);
  }
}

// The group with zeros up to whole lanes, in *scratch; returns the largest magnitude.
float pad(const float* w, const float* importance, uint32_t n, FitScratch* scratch) {
  std::copy(importance, importance + n, scratch->importance.begin());
  std::copy(w, w + n, scratch->padded.begin());
  std::fill(scratch->padded.begin() + n, scratch->padded.end(), 0.0f);
  float absmax = 0;
  for (uint32_t i = 0; i < n; ++i) absmax = std::max(absmax, std::fabs(w[i]));
  return absmax;
}

}  // namespace

float max_weight(Encoding encoding, uint32_t planes) {
  if (encoding == Encoding::kTied) return kMaxF16 * static_cast<float>(tied_max_level(planes));
  return kMaxF16;
}

FitScratch::FitScratch(uint32_t max_group)
    : padded((max_group + kLanes - 1) / kLanes * kLanes),
      importance(padded.size()),
      choices(max_group) {}

float nearest_scale(double scale) {
  const float x = static_cast<float>(scale);
  return f16_to_f32(f32_to_f16(std::min(std::max(x, kMinF16), kMaxF16)));
}

float tied_step(const float* w, const float* importance, uint32_t n, uint32_t planes,
                FitScratch* scratch) {
  const float absmax = pad(w, importance, n, scratch);
  return absmax == 0 ? 0 : Sweep(*scratch, n, planes).best_step(absmax);
}

void fit_tied(const float* w, const float* importance, uint32_t n, uint32_t planes,
              FitScratch* scratch, GroupFit* fit) {
  const float absmax = pad(w, importance, n, scratch);
  float step = 0;
  if (absmax != 0) {
    Sweep sweep(*scratch, n, planes);
    sweep.best_step(absmax);
    step = sweep.refined_step();
  }
  round_to_step(w, n, planes, step, fit);
  fit->scales[0] = f32_to_f16(step);
}

void take_levels(const float* w, const int8_t* levels, uint32_t n, uint32_t planes, uint16_t step,
                 GroupFit* fit) {
  for (double& error : fit->errors) error = 0;
  for (uint32_t i = 0; i < n; ++i)
    take_level(w[i], levels[i], static_cast<double>(f16_to_f32(step)), planes, i, fit);
  fit->scales[0] = step;
}

}  // namespace trit
