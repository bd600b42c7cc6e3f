// See scoring.h.
#include "cmd/common/scoring.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "model_format/portable_math.h"

namespace trit {

namespace {

struct TokenScore {
  double loss, divergence;
  bool same_choice;
};

TokenScore score_token(const float* logits, const float* reference, size_t vocab, int32_t token) {
  const double total = log_sum_exp(logits, vocab);
  TokenScore score = {total - static_cast<double>(logits[token]), 0, true};
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

}  // namespace

double log_sum_exp(const float* logits, size_t vocab) {
  const double max = *std::max_element(logits, logits + vocab);
  double sum = 0;
  for (size_t i = 0; i < vocab; ++i) sum += portable_exp(logits[i] - max);
  return max + portable_log(sum);
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

void Divergence::add(double divergence, bool same_choice) {
  ++count_;
  sum_ += divergence;
  same_ += same_choice;
}

void add_scores(const float* logits, const float* reference, size_t vocab, const int32_t* tokens,
                size_t count, ThreadPool* pool, Scores* scores) {
  assert(count <= kScoredTokens);
  TokenScore each[kScoredTokens];
  pool->parallel_for(static_cast<uint32_t>(count), [&](uint32_t i, uint32_t) {
    each[i] = score_token(logits + i * vocab, reference ? reference + i * vocab : nullptr, vocab,
                          tokens[i]);
  });
  for (size_t i = 0; i < count; ++i) {
    scores->perplexity.add(each[i].loss);
    if (reference) scores->divergence.add(each[i].divergence, each[i].same_choice);
  }
}

}  // namespace trit
