// One group of weights to trits and scales: the tied sweep (default), and PTQTP (`free`) in
// ptqtp.cc. Pure math: no files, no threads, no layout; the same input gives the same bits on every
// machine. Not here: which matrix gets which encoding (converter.cc).
//
// The one idea of `tied`: K balanced-ternary digits are one integer level q in +-(3^K - 1) / 2, and
// dropping the last digit is rounding q / 3 to nearest. So a single step s per group decides the
// error of every prefix, and the sweep looks for the s whose prefixes are good together.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_DECOMPOSE_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_DECOMPOSE_H_

#include <cstdint>
#include <vector>

#include "kernels/trit_plane.h"

namespace trit {

// What a group became. `trits[p]` are the caller's arrays of n digits in {-1, 0, 1}, filled.
struct GroupFit {
  int8_t* trits[kMaxPlanes] = {};
  uint16_t scales[kMaxPlanes] = {};  // f16; tied: only [0], the step of the last plane
  // Squared error with the first p + 1 planes. Their ratio to the weights' own square is relative.
  double errors[kMaxPlanes] = {};
};

// (3^planes - 1) / 2: the largest level of a tied stack.
constexpr int32_t tied_max_level(uint32_t planes) {
  return planes == 0 ? 0 : 3 * tied_max_level(planes - 1) + 1;
}

// The largest magnitude that an f16 scale can still reach without clipping.
float max_weight(Encoding encoding, uint32_t planes);

// Room that fits of groups of up to `max_group` weights work in; one per thread.
struct FitScratch {
  explicit FitScratch(uint32_t max_group);
  std::vector<float> padded;      // the group, zeros up to whole lanes
  std::vector<float> importance;  // as padded
  std::vector<uint8_t> choices;   // fit_free: the combination of trits of each weight
};

// The f16 value nearest to a scale, of those that are above 0 and finite.
float nearest_scale(double scale);

// The step of the last plane for which the error of the nearest levels is least, an error in weight
// i counting importance[i] times: e(1) or e(2) for one or two planes, 0.2 e(planes - 1) + e(planes)
// for more, since 1 % more error with all planes buys 4 % less with one plane fewer. 0 for nothing
// but zeros. w: [n] finite, |w| <= max_weight(kTied, planes).
float tied_step(const float* w, const float* importance, uint32_t n, uint32_t planes,
                FitScratch* scratch);

// The nearest levels of that step, refined by least squares where that is better.
void fit_tied(const float* w, const float* importance, uint32_t n, uint32_t planes,
              FitScratch* scratch, GroupFit* fit);

// A group whose levels [n] and f16 step are known: trits, scale and errors.
void take_levels(const float* w, const int8_t* levels, uint32_t n, uint32_t planes, uint16_t step,
                 GroupFit* fit);

// PTQTP as published (arXiv 2509.16989, see ptqtp.cc). w as above with max_weight(kFree, planes).
void fit_free(const float* w, uint32_t n, uint32_t planes, FitScratch* scratch, GroupFit* fit);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_DECOMPOSE_H_
