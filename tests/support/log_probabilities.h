// What tests make of logits: rows of log-probabilities, [tokens][vocab], and how far two models are
// from each other by them.
#ifndef TRITSTACK_TESTS_SUPPORT_LOG_PROBABILITIES_H_
#define TRITSTACK_TESTS_SUPPORT_LOG_PROBABILITIES_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace trit {

// One row, in place.
inline void to_log_probabilities(float* logits, size_t vocab) {
  const double most = *std::max_element(logits, logits + vocab);
  double total = 0;
  for (size_t i = 0; i < vocab; ++i) total += std::exp(logits[i] - most);
  const float shift = static_cast<float>(most + std::log(total));
  for (size_t i = 0; i < vocab; ++i) logits[i] -= shift;
}

// Mean KL divergence of `ours` from `dense`, of as many tokens.
inline double mean_divergence(const std::vector<float>& dense, const std::vector<float>& ours,
                              size_t vocab) {
  double sum = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double log_p = dense[i];
    sum += std::exp(log_p) * (log_p - ours[i]);
  }
  return sum / static_cast<double>(ours.size() / vocab);
}

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_LOG_PROBABILITIES_H_
