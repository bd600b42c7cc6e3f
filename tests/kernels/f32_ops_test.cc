// The float entries of the kernel table: scalar against plain double arithmetic and the C library,
// every level against scalar bit for bit, at sizes around the 16 lanes and at buffers' exact ends.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/panels.h"
#include "tests/kernels/guarded_buffer.h"
#include "tests/kernels/kernel_levels.h"

namespace trit {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr uint32_t kSizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 257};

// Now and then a value that is not ordinary.
void add_special_values(Random* random, GuardedBuffer<float>* x) {
  const float special[] = {kInfinity, -kInfinity, std::nanf(""), 0.0f,    -0.0f,
                           1e-42f,    -1e-42f,    3.4e38f,       -3.4e38f};
  for (float& v : *x)
    if (random->below(8) == 0) v = special[random->below(9)];
}

double ulps(float value, double truth) {
  const float near = static_cast<float>(truth);
  const double ulp = std::nextafter(std::fabs(near), kInfinity) - double{std::fabs(near)};
  return std::fabs(value - truth) / ulp;
}

// Runs an operation that changes a buffer of n floats on every level, ordinary and special input.
void check_levels(
    const std::function<void(const KernelTable&, float*, const float*, uint32_t)>& op) {
  Random random(21);
  for (uint32_t n : kSizes)
    for (bool special : {false, true}) {
      GuardedBuffer<float> x = random_floats(&random, n, -20, 20);
      const GuardedBuffer<float> y = random_floats(&random, n);
      if (special) add_special_values(&random, &x);
      GuardedBuffer<float> expected = copy(x);
      op(scalar_kernels(), expected.data(), y.data(), n);
      for (const KernelTable* level : all_levels()) {
        CAPTURE(level->isa);
        CAPTURE(n);
        GuardedBuffer<float> out = copy(x);
        op(*level, out.data(), y.data(), n);
        REQUIRE(same_floats(out.data(), expected.data(), n));
      }
    }
}

TEST_CASE("element-wise operations give the same bits on every level") {
  check_levels([](const KernelTable& k, float* x, const float* y, uint32_t n) {
    k.add_multiple(x, -0.7f, y, n);
  });
  check_levels(
      [](const KernelTable& k, float* x, const float*, uint32_t n) { k.multiply(x, 0.7f, n); });
  check_levels(
      [](const KernelTable& k, float* x, const float* y, uint32_t n) { k.silu_mul(x, y, n); });
  check_levels(
      [](const KernelTable& k, float* x, const float* y, uint32_t n) { k.relu2_mul(x, y, n); });
  check_levels([](const KernelTable& k, float* x, const float*, uint32_t n) { k.softmax(x, n); });
  check_levels([](const KernelTable& k, float* x, const float* y, uint32_t n) {
    k.rmsnorm(x, y, n, 1e-5f, x);
  });
  check_levels(
      [](const KernelTable& k, float* x, const float* y, uint32_t n) { x[0] = k.dot(x, y, n); });
  check_levels([](const KernelTable& k, float* x, const float* y, uint32_t n) {
    k.rope(x, y, y + n / 4, n / 2);
  });
}

TEST_CASE("dot sums 16 lanes and adds them as a tree") {
  Random random(22);
  for (uint32_t n : kSizes) {
    const GuardedBuffer<float> a = random_floats(&random, n), b = random_floats(&random, n);
    float lanes[16] = {};
    for (uint32_t i = 0; i < n; ++i) lanes[i % 16] = std::fma(a[i], b[i], lanes[i % 16]);
    for (uint32_t half = 8; half > 0; half /= 2)
      for (uint32_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    for (const KernelTable* level : all_levels())
      CHECK(f32_to_bits(level->dot(a.data(), b.data(), n)) == f32_to_bits(lanes[0]));
  }
}

// a * b + c, seen through a dot product of whose lanes all but one are 0.
void check_multiply_add(float a, float b, float c) {
  float x[17] = {c}, y[17] = {1};
  x[16] = a;
  y[16] = b;
  const float expected = std::fma(a, b, c) + 0.0f;
  for (const KernelTable* level : all_levels()) {
    CAPTURE(level->isa);
    CAPTURE(a);
    CAPTURE(b);
    CAPTURE(c);
    const float found = level->dot(x, y, 17);
    REQUIRE(same_floats(&found, &expected, 1));
  }
}

TEST_CASE("product and sum are rounded once, also where double is not enough") {
  const float near_one = 1 + 0x1p-12f;  // whose square lies between two floats, as far from both
  for (float sign : {1.0f, -1.0f})
    for (float rest : {0.0f, 0x1p-60f, -0x1p-60f, 0x1p-140f, -0x1p-149f, 0x1p-54f, 0x1p-25f})
      for (int exponent : {0, -100, -126, -127, -148, 120})
        check_multiply_add(sign * std::ldexp(near_one, exponent), near_one, rest);
  Random random(30);
  for (int i = 0; i < 20000; ++i) {
    const auto any = [&] { return bits_to_f32(random.bits()); };
    const float a = any(), b = any();
    check_multiply_add(a, b, any());
    check_multiply_add(a, b, -a * b);
  }
}

TEST_CASE("exp, seen through softmax, is within 1 ulp down to the smallest results") {
  // With a maximum of 0 and the other value below -17.4 the sum is 1, so softmax gives e^x itself.
  Random random(23);
  double worst = 0;
  for (int i = 0; i < 200000; ++i) {
    float x[2] = {0, random.uniform(-104, -17.4f)};
    const double truth = std::exp(double{x[1]});
    scalar_kernels().softmax(x, 2);
    worst = std::max(worst, ulps(x[1], truth));
  }
  CHECK(worst <= 1.0);
  float ends[4] = {0, -103.9f, -104.1f, -kInfinity};
  scalar_kernels().softmax(ends, 4);
  CHECK(ends[1] == std::numeric_limits<float>::denorm_min());
  CHECK(ends[2] == 0);
  CHECK(ends[3] == 0);
}

TEST_CASE("softmax is near the C library's and sums to 1") {
  Random random(24);
  for (uint32_t n : kSizes) {
    GuardedBuffer<float> x = random_floats(&random, n, -30, 30);
    const GuardedBuffer<float> in = copy(x);
    double max = -1e9, sum = 0, total = 0;
    for (float v : in) max = std::max(max, double{v});
    for (float v : in) sum += std::exp(v - max);
    scalar_kernels().softmax(x.data(), n);
    for (uint32_t i = 0; i < n; ++i) {
      CHECK(x[i] == doctest::Approx(std::exp(in[i] - max) / sum).epsilon(4e-6));
      total += x[i];
    }
    CHECK(total == doctest::Approx(1).epsilon(1e-6));
  }
}

TEST_CASE("softmax passes NaN on instead of hiding it") {
  float x[3] = {1, std::nanf(""), 2};
  scalar_kernels().softmax(x, 3);
  for (float v : x) CHECK(std::isnan(v));
}

TEST_CASE("silu is accurate for every x, and right at infinity and NaN") {
  Random random(25);
  double worst = 0;
  for (int i = 0; i < 200000; ++i) {
    const float x = random.uniform(-87, 200);
    float gate = x;
    const float one = 1;
    scalar_kernels().silu_mul(&gate, &one, 1);
    worst = std::max(worst, ulps(gate, x / (1 + std::exp(-double{x}))));
  }
  CHECK(worst <= 3);
  const float ones[] = {1, 1, 1, 1, 1, 1, 1};
  float x[] = {kInfinity, -kInfinity, std::nanf(""), 3e38f, -3e38f, -100, 1e-42f};
  scalar_kernels().silu_mul(x, ones, 7);
  CHECK(x[0] == kInfinity);
  CHECK(x[1] == 0);
  CHECK(std::isnan(x[2]));
  CHECK(x[3] == 3e38f);
  CHECK(x[4] == 0);
  CHECK(std::fabs(x[5]) < 1e-36f);
  CHECK(x[6] == doctest::Approx(0.5e-42));
}

TEST_CASE("relu2 squares what is positive and keeps NaN") {
  float x[] = {3, -3, 0, std::nanf(""), kInfinity, -kInfinity};
  const float up[] = {2, 2, 2, 2, 2, 2};
  scalar_kernels().relu2_mul(x, up, 6);
  CHECK(x[0] == 18);
  CHECK(x[1] == 0);
  CHECK(x[2] == 0);
  CHECK(std::isnan(x[3]));
  CHECK(x[4] == kInfinity);
  CHECK(x[5] == 0);
}

TEST_CASE("rmsnorm divides by the root of the mean square") {
  Random random(26);
  for (uint32_t n : kSizes) {
    const GuardedBuffer<float> x = random_floats(&random, n), w = random_floats(&random, n);
    GuardedBuffer<float> out(n);
    double squares = 0;
    for (uint32_t i = 0; i < n; ++i) squares += double{x[i]} * x[i];
    const double root = std::sqrt(squares / n + 1e-6);
    scalar_kernels().rmsnorm(x.data(), w.data(), n, 1e-6f, out.data());
    for (uint32_t i = 0; i < n; ++i)
      CHECK(out[i] == doctest::Approx(x[i] / root * w[i]).epsilon(1e-6));
  }
}

TEST_CASE("rope turns pairs half a head apart") {
  float x[6] = {1, 2, 3, 4, 5, 6};
  const float cosine[3] = {0, 1, 0.6f}, sine[3] = {1, 0, 0.8f};
  scalar_kernels().rope(x, cosine, sine, 3);
  CHECK(x[0] == -4);
  CHECK(x[3] == 1);
  CHECK(x[1] == 2);
  CHECK(x[4] == 5);
  CHECK(x[2] == doctest::Approx(3 * 0.6 - 6 * 0.8));
  CHECK(x[5] == doctest::Approx(6 * 0.6 + 3 * 0.8));
}

TEST_CASE("dense_gemm equals dot for every cut of rows and tokens, f32 and bf16") {
  Random random(27);
  for (uint32_t cols : {1u, 16u, 37u, 64u, 130u}) {
    const uint32_t rows = 11, tokens = 7, x_stride = cols + 1, y_stride = rows + 2;
    GuardedBuffer<float> w = random_floats(&random, rows * cols);
    GuardedBuffer<uint16_t> w16(rows * cols);
    GuardedBuffer<float> x = random_floats(&random, (tokens - 1) * x_stride + cols);
    for (bool bf16 : {false, true}) {
      for (uint32_t i = 0; bf16 && i < rows * cols; ++i) {
        w16[i] = f32_to_bf16(w[i]);
        w[i] = bf16_to_f32(w16[i]);
      }
      const void* matrix = bf16 ? static_cast<void*>(w16.data()) : w.data();
      const Encoding type = bf16 ? Encoding::kDenseBf16 : Encoding::kDenseF32;
      for (const KernelTable* level : all_levels()) {
        const uint32_t cut = random.below(rows + 1), split = random.below(tokens + 1);
        GuardedBuffer<float> y((tokens - 1) * y_stride + rows);
        y.canary();
        for (uint32_t part = 0; part < 4; ++part) {
          const uint32_t t = part & 1 ? split : 0, n = part & 1 ? tokens - split : split;
          if (n > 0)
            level->dense_gemm(matrix, type, cols, x.data() + t * x_stride, x_stride, n,
                              part & 2 ? cut : 0, part & 2 ? rows : cut, y.data() + t * y_stride,
                              y_stride);
        }
        for (uint32_t t = 0; t < tokens; ++t) {
          for (uint32_t r = 0; r < rows; ++r)
            REQUIRE(f32_to_bits(y[t * y_stride + r]) ==
                    f32_to_bits(scalar_kernels().dot(&w[r * cols], &x[t * x_stride], cols)));
          for (uint32_t i = 0; t + 1 < tokens && i < 2; ++i)
            REQUIRE(f32_to_bits(y[t * y_stride + rows + i]) == 0x5a5a5a5a);
        }
      }
    }
  }
}

template <typename T>
void check_panel_products(void (*KernelTable::*kernel)(const T*, size_t, size_t, const T*, uint32_t,
                                                       uint32_t, uint32_t, T*, size_t)) {
  Random random(28);
  const uint32_t width = kPanelCols<T>;
  for (const uint32_t rows : {1u, 3u, 16u, 21u, 40u})
    for (const uint32_t n : {0u, 1u, 9u, 64u})
      for (const uint32_t cols : {1u, width - 1, width}) {
        const bool turned = random.below(2) == 0;
        const size_t a_row = turned ? 1 : n + 1, a_step = turned ? rows : 1, stride = cols + 2;
        GuardedBuffer<T> a(turned ? rows * n : rows * (n + 1)), b(n * width);
        GuardedBuffer<T> before((rows - 1) * stride + cols);
        for (GuardedBuffer<T>* values : {&a, &b, &before})
          for (T& v : *values) v = random.uniform(-4, 4);
        for (const KernelTable* level : all_levels()) {
          CAPTURE(level->isa);
          GuardedBuffer<T> sums(before.size());
          std::copy(before.begin(), before.end(), sums.begin());
          (level->*kernel)(a.data(), a_row, a_step, b.data(), n, rows, cols, sums.data(), stride);
          for (size_t i = 0; i < before.size(); ++i) {
            T sum = 0;
            if (i % stride < cols)
              for (uint32_t t = 0; t < n; ++t)
                sum += a[i / stride * a_row + t * a_step] * b[t * width + i % stride];
            REQUIRE(sums[i] == before[i] + sum);
          }
        }
      }
}

TEST_CASE("panel_products adds in order, f32 and f64, and nothing beside its rows and columns") {
  check_panel_products(&KernelTable::panel_products);
  check_panel_products(&KernelTable::panel_products_f64);
}

TEST_CASE("panels hold the columns of a matrix one after the other, filled up with zeros") {
  constexpr uint32_t kWidth = kPanelCols<float>, kRows = 3;
  for (const uint32_t cols : {1u, kWidth, kWidth + 5, 3 * kWidth}) {
    GuardedBuffer<float> rows(kRows * cols), panels(kRows * ceil_div(cols, kWidth) * kWidth);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i + 1);
    make_panels(rows.data(), cols, kRows, cols, panels.data());
    for (uint32_t i = 0; i < panels.size(); ++i) {
      const uint32_t col = i / (kRows * kWidth) * kWidth + i % kWidth, row = i / kWidth % kRows;
      CHECK(panels[i] == (col < cols ? rows[row * cols + col] : 0));
    }
  }
}

}  // namespace
}  // namespace trit
