// How well logits predict a token: log-softmax in double with our own exp and log, so that every
// CPU gives the same figures; running mean and error; divergence between two models.
#ifndef TRITSTACK_CMD_COMMON_SCORING_H_
#define TRITSTACK_CMD_COMMON_SCORING_H_

#include <cstddef>
#include <cstdint>

#include "runtime/thread_pool.h"

namespace trit {

// log of the sum of exp(logits[i]).
double log_sum_exp(const float* logits, size_t vocab);

// Mean negative log-likelihood of tokens, and what it says about perplexity.
class PerplexityEstimate {
 public:
  void add(double negative_log_likelihood);
  uint64_t count() const { return count_; }
  double perplexity() const;
  double error() const;  // one standard error of the perplexity; 0 for fewer than two tokens

 private:
  uint64_t count_ = 0;
  double sum_ = 0, sum_of_squares_ = 0;
};

// Mean KL divergence of a model from a reference, and how often both would say the same token.
class Divergence {
 public:
  void add(double divergence, bool same_choice);
  double mean() const { return count_ ? sum_ / static_cast<double>(count_) : 0; }
  double top1_agreement() const {
    return count_ ? static_cast<double>(same_) / static_cast<double>(count_) : 0;
  }

 private:
  uint64_t count_ = 0, same_ = 0;
  double sum_ = 0;
};

struct Scores {
  PerplexityEstimate perplexity;
  Divergence divergence;
};

// Tokens scored at once at most.
constexpr size_t kScoredTokens = 64;

// Adds what the logits, [count][vocab], say about these tokens; beside those of a reference, unless
// that is null. The same for any number of threads.
void add_scores(const float* logits, const float* reference, size_t vocab, const int32_t* tokens,
                size_t count, ThreadPool* pool, Scores* scores);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_SCORING_H_
