// The factor of input moments: what it is a factor of, that threads do not matter, what it refuses.
#include "model_format/convert/factorize.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/random.h"

namespace trit {
namespace {

const std::atomic<bool> kGoOn{false};

// Of 2 n inputs whose columns depend on each other.
std::vector<float> moments(uint32_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> h(size_t{n} * n), x(n);
  for (uint32_t t = 0; t < 2 * n; ++t) {
    const double common = random.normal();
    for (float& v : x) v = static_cast<float>(random.normal() + common);
    for (uint32_t i = 0; i < n; ++i)
      for (uint32_t j = 0; j < n; ++j) h[i * n + j] += x[i] * x[j];
  }
  return h;
}

}  // namespace

TEST_CASE("M D M' is the moments with a twentieth of their mean added to the diagonal") {
  for (const uint32_t n : {1u, 2u, 63u, 64u, 65u, 150u}) {
    CAPTURE(n);
    const std::vector<float> h = moments(n, n);
    const auto factor = factorize(h, n, 1, kGoOn);
    REQUIRE(factor.ok());
    const std::vector<float>& m = factor->m;
    double trace = 0, worst = 0;
    for (uint32_t i = 0; i < n; ++i) trace += static_cast<double>(h[i * n + i]);
    CHECK(static_cast<double>(factor->damping) == doctest::Approx(0.05 * trace / n));
    for (uint32_t i = 0; i < n; ++i) {
      CHECK(m[i * n + i] == 1);
      for (uint32_t j = i; j < n; ++j) {
        CHECK(m[i * n + j] == m[j * n + i]);
        double sum = 0;
        for (uint32_t k = j; k < n; ++k)
          sum += static_cast<double>(m[i * n + k]) * factor->pivots[k] * m[j * n + k];
        const double expected = h[i * n + j] + (i == j ? factor->damping : 0.0f);
        worst = std::max(worst, std::fabs(sum - expected));
      }
    }
    CHECK(worst < 1e-4 * trace / n);
  }
}

TEST_CASE("the factor has the same bits on 1, 2 and 3 threads") {
  const std::vector<float> h = moments(200, 5);
  const auto one = factorize(h, 200, 1, kGoOn);
  for (const uint32_t threads : {2u, 3u}) {
    const auto more = factorize(h, 200, threads, kGoOn);
    REQUIRE(more.ok());
    CHECK(more->m == one->m);
    CHECK(more->pivots == one->pivots);
  }
}

TEST_CASE("inputs that are always 0 have a factor, inputs that are no numbers have none") {
  std::vector<float> h(9);
  const auto zero = factorize(h, 3, 1, kGoOn);
  REQUIRE(zero.ok());
  CHECK(zero->pivots == std::vector<float>{1, 1, 1});
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1.0f}) {
    h.assign(9, 0);
    h[0] = h[8] = 1;
    h[4] = bad;
    CHECK(factorize(h, 3, 1, kGoOn).status().code() == Code::kUnsupported);
  }
}

TEST_CASE("a cancelled factor is none") {
  const std::atomic<bool> stop{true};
  CHECK(factorize(moments(130, 3), 130, 2, stop).status().code() == Code::kCancelled);
}

}  // namespace trit
