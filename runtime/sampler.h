// Chooses a token from logits, the same one on every CPU: own generator, own exp, sums in a fixed
// order, ties always to the lower id. Rules in order: penalties, top-k, top-p, min-p, temperature.
// Allocates nothing per token and never sorts a whole vocabulary.
#ifndef TRITSTACK_RUNTIME_SAMPLER_H_
#define TRITSTACK_RUNTIME_SAMPLER_H_

#include <cstdint>

#include "model_format/span.h"
#include "model_format/status.h"
#include "runtime/arena.h"

namespace trit {

// xoshiro256** of Blackman and Vigna, its state filled by splitmix64 as they advise.
class Xoshiro256 {
 public:
  explicit Xoshiro256(uint64_t seed);
  Xoshiro256(uint64_t s0, uint64_t s1, uint64_t s2, uint64_t s3) : state_{s0, s1, s2, s3} {}
  uint64_t next();
  double uniform();  // [0, 1), a multiple of 2^-53

 private:
  uint64_t state_[4];
};

struct SamplingOptions {
  float temperature = 0.8f;     // 0: greedy
  int32_t top_k = 40;           // 0: off
  float top_p = 0.95f;          // 1: off; the fewest tokens whose probabilities reach it
  float min_p = 0.05f;          // 0: off; relative to the most likely token
  float repeat_penalty = 1.0f;  // 1: off; divides positive logits, multiplies others
  int32_t repeat_last_n = 64;   // the window of all penalties; 0: off, -1: everything
  float presence_penalty = 0;   // subtracted from tokens of the window
  float frequency_penalty = 0;  // the same, per occurrence
  uint64_t seed = 0;
};

// kUsage naming the first option that is NaN or out of range.
Status check_sampling(const SamplingOptions& options);

class Sampler {
 public:
  // Room for ids [0, ids), all of which can be chosen.
  void carve(Arena* arena, uint32_t ids);
  // Fewer of them.
  void limit(uint32_t ids) { ids_ = ids; }
  // Restarts the generator. `options` passed check_sampling().
  void reset(const SamplingOptions& options);

  // logits: at least [ids]; history: the tokens in the cache. NaN counts as -infinity, which is
  // never chosen unless nothing else is there: then id 0 is.
  int32_t sample(const float* logits, Span<const int32_t> history);

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  static bool better(const Candidate& a, const Candidate& b);

  const float* penalize(const float* logits, Span<const int32_t> history);
  int32_t greedy(const float* logits) const;
  void collect(const float* logits);
  void keep_top_p();
  void keep_min_p();
  int32_t draw();
  void sort_best(uint32_t count);
  uint32_t weigh(uint32_t begin, double temperature, double* weights) const;
  double total_weight(double temperature) const;
  double least_logit() const;

  SamplingOptions options_;
  Xoshiro256 random_{0};
  uint32_t ids_ = 0;
  float* penalized_ = nullptr;       // [ids] logits after penalties
  uint32_t* occurrences_ = nullptr;  // [ids] in the penalty window; zero between calls
  Candidate* candidates_ = nullptr;  // [ids] those still in play come first
  uint32_t count_ = 0;               // how many
  uint32_t sorted_ = 0;              // how many of them are in order, best first; the rest by id
  float best_logit_ = 0;
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_SAMPLER_H_
