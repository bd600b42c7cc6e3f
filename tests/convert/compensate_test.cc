// Compensation: outputs come nearer to what they should be, with every prefix of planes, than by
// rounding weights alone.
#include "model_format/convert/compensate.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "kernels/half.h"
#include "tests/support/random.h"

namespace trit {
namespace {

constexpr uint32_t kRows = 48, kCols = 100, kGroup = 40, kTokens = 600;

struct Case {
  MatrixInfo info;
  std::vector<float> weights, inputs, moments;

  explicit Case(uint32_t planes) {
    info.rows = kRows;
    info.cols = kCols;
    info.group = kGroup;
    info.planes = planes;
    Random random(3);
    weights.resize(kRows * kCols);
    for (float& w : weights) w = static_cast<float>(0.05 * random.normal());
    // Ten directions that all columns share, and a little of their own.
    std::vector<float> mix(10 * kCols);
    for (float& m : mix) m = static_cast<float>(random.normal());
    inputs.resize(kTokens * kCols);
    moments.resize(kCols * kCols);
    for (uint32_t t = 0; t < kTokens; ++t) {
      float* x = &inputs[t * kCols];
      for (uint32_t d = 0; d < 10; ++d) {
        const float amount = static_cast<float>(random.normal());
        for (uint32_t c = 0; c < kCols; ++c) x[c] += amount * mix[d * kCols + c];
      }
      for (uint32_t c = 0; c < kCols; ++c) x[c] += static_cast<float>(0.5 * random.normal());
      for (uint32_t i = 0; i < kCols; ++i)
        for (uint32_t j = 0; j < kCols; ++j) moments[i * kCols + j] += x[i] * x[j];
    }
  }

  // The share of the outputs of `wanted` that `made` misses.
  double output_error(const std::vector<float>& made, const std::vector<float>& wanted) const {
    double error = 0, norm = 0;
    for (uint32_t t = 0; t < kTokens; ++t) {
      for (uint32_t r = 0; r < kRows; ++r) {
        double y = 0, e = 0;
        for (uint32_t c = 0; c < kCols; ++c) {
          y += static_cast<double>(wanted[r * kCols + c]) * inputs[t * kCols + c];
          e += static_cast<double>(made[r * kCols + c] - wanted[r * kCols + c]) *
               inputs[t * kCols + c];
        }
        norm += y * y;
        error += e * e;
      }
    }
    return error / norm;
  }
};

float prefix_value(int level, uint32_t dropped, float step) {
  for (uint32_t d = 0; d < dropped; ++d)
    level = static_cast<int>(std::lround(level / 3.0)), step *= 3;
  return static_cast<float>(level) * step;
}

// [dropped planes] the matrix as that prefix makes it.
using Stack = std::vector<std::vector<float>>;

Stack compensated(const Case& c, uint32_t shortest, const std::vector<float>& dense = {},
                  const std::vector<float>& outputs = {}) {
  const std::atomic<bool> go_on{false};
  std::vector<InputStatistics> statistics;
  std::vector<Factor> factors;
  for (uint32_t p = c.info.planes; p >= shortest; --p) {
    statistics.push_back({p, c.moments, dense, outputs});
    factors.push_back(factorize(c.moments, kCols, 1, go_on).value());
  }
  const Compensator compensator(c.info, statistics, factors);
  Compensator::Scratch scratch(compensator);
  const uint64_t groups = group_count(kCols, kGroup);
  std::vector<int8_t> levels(kRows * kCols);
  std::vector<uint16_t> steps(kRows * groups);
  compensator.fit(c.weights.data(), 0, kRows, &scratch, levels.data(), steps.data());
  Stack stack(c.info.planes);
  for (uint32_t d = 0; d < c.info.planes; ++d)
    for (uint32_t i = 0; i < kRows * kCols; ++i) {
      REQUIRE(std::abs(levels[i]) <= tied_max_level(c.info.planes));
      const uint16_t step = steps[i / kCols * groups + i % kCols / kGroup];
      stack[d].push_back(prefix_value(levels[i], d, f16_to_f32(step)));
    }
  return stack;
}

Stack rounded(const Case& c) {
  Stack stack(c.info.planes, std::vector<float>(kRows * kCols));
  FitScratch scratch(kGroup);
  const std::vector<float> ones(kGroup, 1.0f);
  std::vector<int8_t> trits[kMaxPlanes];
  for (uint32_t begin = 0; begin < kRows * kCols;) {
    const uint32_t n = std::min(kGroup, kCols - begin % kCols);
    GroupFit fit;
    for (uint32_t p = 0; p < c.info.planes; ++p) {
      trits[p].resize(n);
      fit.trits[p] = trits[p].data();
    }
    fit_tied(&c.weights[begin], ones.data(), n, c.info.planes, &scratch, &fit);
    for (uint32_t i = 0; i < n; ++i) {
      int level = 0;
      for (uint32_t p = 0; p < c.info.planes; ++p) level = 3 * level + trits[p][i];
      for (uint32_t d = 0; d < c.info.planes; ++d)
        stack[d][begin + i] = prefix_value(level, d, f16_to_f32(fit.scales[0]));
    }
    begin += n;
  }
  return stack;
}

}  // namespace

TEST_CASE("with every number of planes outputs miss less than half of what rounding misses") {
  for (const uint32_t planes : {1u, 2u, 3u, 4u}) {
    CAPTURE(planes);
    const Case c(planes);
    const double error = c.output_error(compensated(c, planes)[0], c.weights);
    CHECK(error < 0.5 * c.output_error(rounded(c)[0], c.weights));
  }
}

TEST_CASE("two of three planes come near to two planes of their own, and three stay near theirs") {
  const Case two(2), three(3);
  const double own_two = two.output_error(compensated(two, 2)[0], two.weights);
  const double own_three = three.output_error(compensated(three, 3)[0], three.weights);
  const Stack stack = compensated(three, 2);
  CHECK(three.output_error(stack[1], three.weights) < 4 * own_two);
  CHECK(three.output_error(stack[0], three.weights) < 2 * own_three);
  // What not watching the prefix costs it.
  CHECK(three.output_error(stack[1], three.weights) <
        0.6 * three.output_error(compensated(three, 3)[1], three.weights));
}

TEST_CASE("what the dense model has and these inputs miss is made up for") {
  const Case c(3);
  Random random(9);
  std::vector<float> wanted = c.weights;
  for (float& w : wanted) w += static_cast<float>(0.01 * random.normal());
  std::vector<float> outputs(wanted.size());  // wanted times moments
  for (uint32_t r = 0; r < kRows; ++r)
    for (uint32_t i = 0; i < kCols; ++i)
      for (uint32_t j = 0; j < kCols; ++j)
        outputs[r * kCols + i] += wanted[r * kCols + j] * c.moments[j * kCols + i];
  CHECK(c.output_error(compensated(c, 3, {}, outputs)[0], wanted) <
        0.2 * c.output_error(compensated(c, 3)[0], wanted));
}

TEST_CASE("inputs that shrank are made up for") {
  const Case c(3);
  std::vector<float> dense = c.moments, wanted = c.weights;
  for (float& d : dense) d *= 1.1f;
  for (float& w : wanted) w *= 1.1f;
  CHECK(c.output_error(compensated(c, 3, dense)[0], wanted) <
        0.2 * c.output_error(compensated(c, 3)[0], wanted));
}

TEST_CASE("rows do not know of each other: in any company a row becomes the same") {
  const Case c(3);
  const std::atomic<bool> go_on{false};
  const std::vector<InputStatistics> statistics = {{3, c.moments, {}, {}}, {2, c.moments, {}, {}}};
  const std::vector<Factor> factors(2, factorize(c.moments, kCols, 1, go_on).value());
  const Compensator compensator(c.info, statistics, factors);
  Compensator::Scratch scratch(compensator);
  const uint64_t groups = group_count(kCols, kGroup);
  std::vector<int8_t> all(kRows * kCols), one(kCols);
  std::vector<uint16_t> all_steps(kRows * groups), one_step(groups);
  compensator.fit(c.weights.data(), 0, kRows, &scratch, all.data(), all_steps.data());
  for (const uint32_t row : {0u, 17u, kRows - 1}) {
    compensator.fit(&c.weights[row * kCols], row, 1, &scratch, one.data(), one_step.data());
    CHECK(std::equal(one.begin(), one.end(), all.begin() + row * kCols));
    CHECK(std::equal(one_step.begin(), one_step.end(), all_steps.begin() + row * groups));
  }
}

TEST_CASE("rows of nothing but zeros become zeros with scale 0") {
  Case c(3);
  std::fill(c.weights.begin(), c.weights.end(), 0.0f);
  for (const std::vector<float>& made : compensated(c, 2))
    CHECK(made == std::vector<float>(made.size()));
}

}  // namespace trit
