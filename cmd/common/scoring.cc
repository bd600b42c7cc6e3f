// See scoring.h.
#include "cmd/common/scoring.h"

#include <algorithm>
#include <cmath>

#include "model_format/portable_math.h"

namespace trit {

double log_sum_exp(const float* logits, size_t vocab) {
  const double max = *std::max_element(logits, logits + vocab);
  double sum = 0;
  for (size_t i = 0; i < vocab; ++i) sum += portable_exp(logits[i] - max);
  return max + portable_log(sum);
}

TokenScore score_token(const float* logits, const float* reference, size_t vocab, int32_t token) {
  const double total = log_sum_exp(logits, vocab);
  TokenScore score = {total - logits[token]};
  if (!reference) return score;
  const double reference_total = log_sum_exp(reference, vocab);
  for (size_t i = 0; i < vocab; ++i) {
    const double log_p = reference[i] - reference_total;
    score.divergence += portable_exp(log_p) * (log_p - (logits[i] - total));
  }
  score.same_choice = std::max_element(reference, reference + vocab) - reference ==
                      std::max_element(logits, logits + vocab) - logits;
  return score;
}

void PerplexityEstimate::add(double negative_log_likelihood) {
  ++count_;
  sum_ += negative_log_likelihood;
  sum_of_squares_ += negative_log_likelihood * negative_log_likelihood;
}

double PerplexityEstimate::perplexity() const {
  return portable_exp(sum_ / static_cast<double>(count_));
}

double PerplexityEstimate::error() const {
  if (count_ < 2) return 0;
  const double n = static_cast<double>(count_), mean = sum_ / n;
  const double variance = std::max(0.0, sum_of_squares_ / n - mean * mean);
  return std::sqrt(variance / (n - 1)) * perplexity();
}

void Divergence::add(const TokenScore& score) {
  ++count_;
  sum_ += score.divergence;
  same_ += score.same_choice;
}

}  // namespace trit
