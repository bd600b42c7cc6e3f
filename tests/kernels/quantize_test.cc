// The int8 inputs of a product: the rules of quantize_activations in kernels.h, one by one.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernels/guarded_buffer.h"
#include "tests/kernels/kernel_levels.h"

namespace trit {
namespace {

struct Quantized {
  GuardedBuffer<int8_t> codes;
  GuardedBuffer<float> scales;
  GuardedBuffer<int32_t> sums;
};

Quantized quantize(const KernelTable& k, const float* x, uint32_t cols, uint32_t group,
                   float min_amax = 0) {
  Quantized q = {GuardedBuffer<int8_t>(row_vectors(cols, group) * kVectorCols),
                 GuardedBuffer<float>(group_count(cols, group)),
                 GuardedBuffer<int32_t>(group_count(cols, group))};
  q.codes.canary(), q.scales.canary(), q.sums.canary();
  const QuantizedActivations out = {q.codes.data(), q.scales.data(), q.sums.data(), 0, 1};
  k.quantize_activations(x, cols, group, min_amax, &out, 0);
  return q;
}

TEST_CASE("codes are half-even roundings of x * (127 / amax), on every level") {
  Random random(31);
  for (uint32_t group : {20u, 40u, 128u, 160u, 5000u})
    for (int i = 0; i < 20; ++i) {
      const uint32_t cols = 1 + random.below(3 * (group < 500 ? group : 500));
      GuardedBuffer<float> x(cols);
      for (float& v : x) v = random.uniform(-3, 3);
      for (const KernelTable* level : all_levels()) {
        CAPTURE(level->isa);
        const Quantized q = quantize(*level, x.data(), cols, group);
        size_t at = 0;
        for (uint32_t g = 0; g * group < cols; ++g) {
          float amax = 0;
          int32_t sum = 0;
          const uint32_t end = std::min(cols, (g + 1) * group);
          for (uint32_t c = g * group; c < end; ++c) amax = std::max(amax, std::fabs(x[c]));
          REQUIRE(q.scales[g] == amax / 127);
          for (uint32_t c = g * group; c < end; ++c) {
            REQUIRE(q.codes[at] == std::nearbyint(x[c] * (127 / amax)));
            sum += q.codes[at++];
          }
          REQUIRE(q.sums[g] == sum);
          while (at % 20) REQUIRE(q.codes[at++] == 0);
        }
        REQUIRE(at == q.codes.size());
      }
    }
}

TEST_CASE("ties go to even") {
  const float x[] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 125.5f, 126.5f};
  const int expected[] = {127, 0, 2, 2, 0, -2, -2, 126, 126};
  for (const KernelTable* level : all_levels()) {
    const Quantized q = quantize(*level, x, 9, 160);
    for (int i = 0; i < 9; ++i) CHECK(q.codes[i] == expected[i]);
  }
}

TEST_CASE("zeros, NaN, infinity, tiny values and min_amax have defined codes on every level") {
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  for (const KernelTable* level : all_levels()) {
    CAPTURE(level->isa);
    const float zeros[3] = {0, -0.0f, nan};
    const Quantized none = quantize(*level, zeros, 3, 20);
    CHECK(none.scales[0] == 0);
    CHECK(none.sums[0] == 0);
    for (int8_t code : none.codes) CHECK(code == 0);

    const float with_nan[3] = {nan, 2, -1};
    const Quantized finite = quantize(*level, with_nan, 3, 20);
    CHECK(finite.scales[0] == 2.0f / 127);
    CHECK(finite.codes[0] == 0);
    CHECK(finite.codes[1] == 127);
    CHECK(finite.codes[2] == -64);
    CHECK(finite.sums[0] == 63);

    const float with_infinity[3] = {infinity, -infinity, 5};
    const Quantized infinite = quantize(*level, with_infinity, 3, 20);
    CHECK(infinite.scales[0] == infinity);
    for (int8_t code : infinite.codes) CHECK(code == 0);

    const float tiny[3] = {1e-44f, -1e-44f, 0};  // 127 / amax overflows
    const Quantized least = quantize(*level, tiny, 3, 20);
    CHECK(least.codes[0] == 127);
    CHECK(least.codes[1] == -127);
    CHECK(least.codes[2] == 0);

    const float small[2] = {1e-6f, -1e-6f};
    const Quantized floored = quantize(*level, small, 2, 20, 1e-5f);
    CHECK(floored.scales[0] == 1e-5f / 127);
    CHECK(floored.codes[0] == 13);
    CHECK(floored.codes[1] == -13);
  }
}

}  // namespace
}  // namespace trit
