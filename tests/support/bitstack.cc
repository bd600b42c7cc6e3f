// See bitstack.h.
#include "tests/support/bitstack.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/half.h"
#include "tests/support/random.h"

namespace trit {
namespace {

constexpr int kRounds = 8;

float rounded(double x) {
  return f16_to_f32(f32_to_f16(static_cast<float>(x)));
}

// Makes the `count` vectors of v, one a row, orthonormal.
void orthonormalize(std::vector<double>* v, size_t count) {
  const size_t n = v->size() / count;
  for (size_t i = 0; i < count; ++i) {
    double* a = &(*v)[i * n];
    // Twice: what is left after the first round may be small against what was taken away.
    for (size_t j = 0; j < 2 * i; ++j) {
      const double* b = &(*v)[j % i * n];
      const double product = std::inner_product(a, a + n, b, 0.0);
      for (size_t k = 0; k < n; ++k) a[k] -= product * b[k];
    }
    const double norm = std::sqrt(std::inner_product(a, a + n, a, 0.0));
    for (size_t k = 0; k < n; ++k) a[k] = norm > 0 ? a[k] / norm : 0;
  }
}

// The best approximation of a: [rows][cols] of that rank, by subspace iteration, with the square
// root of each singular value in both factors, which are f16.
std::vector<float> low_rank(const std::vector<float>& a, uint32_t rows, uint32_t cols,
                            uint32_t rank) {
  Random random(1);
  std::vector<double> left(size_t{rank} * rows), right(size_t{rank} * cols);
  for (double& x : right) x = random.normal();
  for (int round = 0; round < kRounds; ++round) {
    orthonormalize(&right, rank);
    std::fill(left.begin(), left.end(), 0.0);
    for (uint32_t i = 0; i < rows; ++i)
      for (uint32_t r = 0; r < rank; ++r)
        left[size_t{r} * rows + i] = std::inner_product(
            &right[size_t{r} * cols], &right[size_t{r} * cols] + cols, &a[size_t{i} * cols], 0.0);
    orthonormalize(&left, rank);
    std::fill(right.begin(), right.end(), 0.0);
    for (uint32_t i = 0; i < rows; ++i)
      for (uint32_t r = 0; r < rank; ++r)
        for (uint32_t j = 0; j < cols; ++j)
          right[size_t{r} * cols + j] +=
              left[size_t{r} * rows + i] * static_cast<double>(a[size_t{i} * cols + j]);
  }
  std::vector<float> product(a.size());
  for (uint32_t r = 0; r < rank; ++r) {
    const double* v = &right[size_t{r} * cols];
    const double root = std::sqrt(std::sqrt(std::inner_product(v, v + cols, v, 0.0)));
    for (uint32_t i = 0; i < rows && root > 0; ++i) {
      const float l = rounded(left[size_t{r} * rows + i] * root);
      for (uint32_t j = 0; j < cols; ++j) product[size_t{i} * cols + j] += l * rounded(v[j] / root);
    }
  }
  return product;
}

}  // namespace

uint64_t bitstack_block_bytes(uint32_t rows, uint32_t cols, uint32_t rank) {
  return uint64_t{rows} * cols / 8 + uint64_t{2} * rank * (rows + cols);
}

std::vector<std::vector<float>> bitstack(const std::vector<float>& weights, uint32_t rows,
                                         uint32_t cols, const std::vector<float>& scales,
                                         uint32_t rank, uint32_t blocks) {
  std::vector<float> left(weights.size()), magnitudes(weights.size()), sum(weights.size());
  for (size_t i = 0; i < left.size(); ++i) left[i] = weights[i] * scales[i % cols];
  std::vector<std::vector<float>> stack;
  while (stack.size() < blocks) {
    for (size_t i = 0; i < left.size(); ++i) magnitudes[i] = std::fabs(left[i]);
    const std::vector<float> block = low_rank(magnitudes, rows, cols, rank);
    for (size_t i = 0; i < left.size(); ++i) {
      const float value = left[i] < 0 ? -block[i] : block[i];
      left[i] -= value;
      sum[i] += value / scales[i % cols];
    }
    stack.push_back(sum);
  }
  return stack;
}

std::vector<uint32_t> bitstack_order(
    size_t matrices, uint32_t blocks,
    const std::function<double(const std::vector<uint32_t>& blocks)>& loss) {
  std::vector<uint32_t> order;
  for (uint32_t level = 1; level < blocks; ++level) {
    std::vector<double> losses;
    std::vector<uint32_t> state(matrices, level), ranked(matrices);
    for (size_t m = 0; m < matrices; ++m) {
      ++state[m];
      losses.push_back(loss(state));
      --state[m];
    }
    std::iota(ranked.begin(), ranked.end(), 0u);
    std::stable_sort(ranked.begin(), ranked.end(),
                     [&](uint32_t a, uint32_t b) { return losses[a] < losses[b]; });
    order.insert(order.end(), ranked.begin(), ranked.end());
  }
  return order;
}

}  // namespace trit
