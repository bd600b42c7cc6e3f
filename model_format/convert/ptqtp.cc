// The free fit: PTQTP (arXiv 2509.16989), w = sum_k a_k T_k with one scale per plane and group,
// found by alternating two exact half steps, so the error never grows:
//   scales: least squares in double, A = T'T + lambda I, lambda adaptive from 1e-8;
//   trits:  for each weight the nearest of the 3^K values.
// The paper is written for K = 2; nothing in it depends on K. Choices it leaves open:
// - All planes start as sign(w), where every split of the scale is as good. The first least-squares
//   solution is then sum|w| / (K n + lambda) for each, taken directly: the system is singular but
//   for lambda. The planes part because of the tie rule alone.
// - Ties go to the combination with fewer nonzero trits, then to the one that comes first with -1
//   before 0 before 1, plane 1 slowest. So at first negative weights go to plane 1 and positive
//   ones to plane 2; measured, that ends at .166 on Gaussian weights, while an order that sends
//   both to plane 1 ends at .169.
// - A group is done when no trit changes, or after 50 rounds. In the paper all groups of a matrix
//   go on until the slowest has settled, which for thousands of groups is the same.
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/half.h"
#include "model_format/convert/decompose.h"

namespace trit {
namespace {

constexpr uint32_t kLanes = 16;
constexpr uint32_t kMaxCombinations = 81;
constexpr int kMaxRounds = 50;
constexpr double kLambda = 1e-8, kMaxLambda = 1.0, kMaxCondition = 1e12;

using Scales = std::array<double, kMaxPlanes>;
using Square = std::array<std::array<double, kMaxPlanes>, kMaxPlanes>;

// All trit tuples of K planes in the order ties prefer.
struct Combinations {
  explicit Combinations(uint32_t k) : planes(k) {
    for (uint32_t p = 0; p < k; ++p) count *= 3;
    for (uint32_t c = 0; c < count; ++c) {
      uint32_t rest = c;
      for (uint32_t p = k; p-- > 0; rest /= 3) trits[c][p] = static_cast<int8_t>(rest % 3) - 1;
    }
    std::stable_sort(trits.begin(), trits.begin() + count,
                     [k](const Tuple& a, const Tuple& b) { return nonzero(a, k) < nonzero(b, k); });
  }
  using Tuple = std::array<int8_t, kMaxPlanes>;
  static uint32_t nonzero(const Tuple& t, uint32_t k) {
    return static_cast<uint32_t>(k - std::count(t.begin(), t.begin() + k, 0));
  }
  double value(uint32_t c, const Scales& a) const {
    double sum = 0;
    for (uint32_t p = 0; p < planes; ++p) sum += a[p] * trits[c][p];
    return sum;
  }
  const uint32_t planes;
  uint32_t count = 1;
  std::array<Tuple, kMaxCombinations> trits = {};
};

// The distinct values a combination can take, ascending, and the borders between neighbours:
// a weight belongs to value r when exactly r borders lie below it.
struct Levels {
  std::array<uint8_t, kMaxCombinations> combination;
  std::array<float, kMaxCombinations> borders;
  uint32_t count = 0;

  Levels(const Combinations& all, const Scales& a) {
    std::array<double, kMaxCombinations> values;
    std::array<uint8_t, kMaxCombinations> order;
    for (uint32_t c = 0; c < all.count; ++c) {
      values[c] = all.value(c, a);
      order[c] = static_cast<uint8_t>(c);
    }
    std::sort(order.begin(), order.begin() + all.count, [&](uint8_t x, uint8_t y) {
      return values[x] != values[y] ? values[x] < values[y] : x < y;
    });
    for (uint32_t i = 0; i < all.count; ++i) {
      const uint8_t c = order[i];
      if (count > 0) {
        const uint8_t previous = combination[count - 1];
        if (values[previous] == values[c]) continue;
        const double middle = 0.5 * (values[previous] + values[c]);
        borders[count - 1] = border(middle, c < previous);
      }
      combination[count++] = c;
    }
  }

  // The float t with: x > t exactly when x lies above the middle, or on it if `upper_wins`.
  static float border(double middle, bool upper_wins) {
    const float t = static_cast<float>(middle);
    const double exact = t;
    const bool at_or_above = upper_wins ? exact >= middle : exact > middle;
    return at_or_above ? std::nextafter(t, -INFINITY) : t;
  }
};

// The trit half step: choices[i] = the best combination. Returns whether any changed.
bool choose(const std::vector<float>& w, uint32_t n, const Levels& levels,
            std::vector<uint8_t>* choices) {
  bool changed = false;
  for (uint32_t i = 0; i < n; i += kLanes) {
    int32_t ranks[kLanes] = {};
    for (uint32_t b = 0; b + 1 < levels.count; ++b)
      for (uint32_t l = 0; l < kLanes; ++l) ranks[l] += w[i + l] > levels.borders[b] ? 1 : 0;
    for (uint32_t l = 0; l < kLanes && i + l < n; ++l) {
      const uint8_t c = levels.combination[static_cast<uint32_t>(ranks[l])];
      changed |= (*choices)[i + l] != c;
      (*choices)[i + l] = c;
    }
  }
  return changed;
}

double frobenius(const Square& m, uint32_t k) {
  double sum = 0;
  for (uint32_t i = 0; i < k; ++i)
    for (uint32_t j = 0; j < k; ++j) sum += m[i][j] * m[i][j];
  return std::sqrt(sum);
}

// The inverse of a symmetric positive definite matrix by Gauss-Jordan (no pivoting needed).
Square inverted(Square m, uint32_t k) {
  Square inverse = {};
  for (uint32_t i = 0; i < k; ++i) inverse[i][i] = 1;
  for (uint32_t c = 0; c < k; ++c) {
    const double pivot = 1 / m[c][c];
    for (uint32_t j = 0; j < k; ++j) {
      m[c][j] *= pivot;
      inverse[c][j] *= pivot;
    }
    for (uint32_t i = 0; i < k; ++i) {
      if (i == c) continue;
      const double factor = m[i][c];
      for (uint32_t j = 0; j < k; ++j) {
        m[i][j] -= factor * m[c][j];
        inverse[i][j] -= factor * inverse[c][j];
      }
    }
  }
  return inverse;
}

// The scale half step. Weights with the same combination enter together: their number and sum.
Scales solve(const Combinations& all, const std::vector<float>& w, uint32_t n,
             const std::vector<uint8_t>& choices, double* lambda) {
  std::array<uint32_t, kMaxCombinations> counts = {};
  std::array<double, kMaxCombinations> sums = {};
  for (uint32_t i = 0; i < n; ++i) {
    ++counts[choices[i]];
    sums[choices[i]] += w[i];
  }
  Square gram = {};
  Scales target = {};
  for (uint32_t c = 0; c < all.count; ++c)
    for (uint32_t i = 0; i < all.planes; ++i) {
      target[i] += sums[c] * all.trits[c][i];
      for (uint32_t j = 0; j < all.planes; ++j)
        gram[i][j] += static_cast<double>(counts[c]) * (all.trits[c][i] * all.trits[c][j]);
    }
  for (;;) {
    Square ridged = gram;
    for (uint32_t i = 0; i < all.planes; ++i) ridged[i][i] += *lambda;
    const Square inverse = inverted(ridged, all.planes);
    const double condition = frobenius(ridged, all.planes) * frobenius(inverse, all.planes);
    if (condition >= kMaxCondition && *lambda < kMaxLambda) {
      *lambda = std::min(*lambda * std::sqrt(condition / kMaxCondition) * (1 + 1e-9), kMaxLambda);
      continue;
    }
    Scales a = {};
    for (uint32_t i = 0; i < all.planes; ++i)
      for (uint32_t j = 0; j < all.planes; ++j) a[i] += inverse[i][j] * target[j];
    return a;
  }
}

// f16 magnitudes, largest first: planes are sorted and flipped by choosing the trits anew.
Scales stored_scales(const Scales& a, uint32_t planes, GroupFit* fit) {
  Scales rounded = {};
  for (uint32_t p = 0; p < planes; ++p) rounded[p] = std::min(std::fabs(a[p]), 65504.0);
  std::sort(rounded.begin(), rounded.begin() + planes, std::greater<double>());
  for (uint32_t p = 0; p < planes; ++p) {
    fit->scales[p] = f32_to_f16(static_cast<float>(rounded[p]));
    rounded[p] = f16_to_f32(fit->scales[p]);
  }
  return rounded;
}

}  // namespace

void fit_free(const float* w, uint32_t n, uint32_t planes, FitScratch* scratch, GroupFit* fit) {
  const Combinations all(planes);
  std::copy(w, w + n, scratch->padded.begin());
  std::fill(scratch->padded.begin() + n, scratch->padded.end(), 0.0f);
  std::fill(scratch->choices.begin(), scratch->choices.end(), static_cast<uint8_t>(255));

  double magnitude = 0, lambda = kLambda;
  for (uint32_t i = 0; i < n; ++i) magnitude += std::fabs(w[i]);
  Scales a = {};
  for (uint32_t p = 0; p < planes; ++p)
    a[p] = magnitude / (planes * static_cast<double>(n) + lambda);
  for (int round = 1; round < kMaxRounds; ++round) {
    if (!choose(scratch->padded, n, Levels(all, a), &scratch->choices)) break;
    a = solve(all, scratch->padded, n, scratch->choices, &lambda);
  }

  const Scales scales = stored_scales(a, planes, fit);
  choose(scratch->padded, n, Levels(all, scales), &scratch->choices);
  for (double& error : fit->errors) error = 0;
  for (uint32_t i = 0; i < n; ++i) {
    double rest = w[i];
    for (uint32_t p = 0; p < planes; ++p) {
      const int8_t t = all.trits[scratch->choices[i]][p];
      fit->trits[p][i] = t;
      rest -= scales[p] * t;
      fit->errors[p] += rest * rest;
    }
  }
}

}  // namespace trit
