// See sampler.h. All probabilities are sums of doubles over candidates in a defined order: by id
// until something sorts them, best first afterwards. (logit, id) is a total order, so what
// std::sort and std::nth_element do inside cannot show.
#include "runtime/sampler.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <string>

#include "model_format/portable_math.h"

namespace trit {

namespace {

constexpr uint32_t kFirstPrefix = 64;  // candidates sorted at first for top-p; then four times more

uint64_t rotate_left(uint64_t x, int bits) {
  return x << bits | x >> (64 - bits);
}

}  // namespace

Xoshiro256::Xoshiro256(uint64_t seed) {
  for (uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15;  // splitmix64
    uint64_t z = seed;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    word = z ^ z >> 31;
  }
}

uint64_t Xoshiro256::next() {
  const uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotate_left(state_[3], 45);
  return result;
}

double Xoshiro256::uniform() {
  return static_cast<double>(next() >> 11) * 0x1p-53;
}

Status check_sampling(const SamplingOptions& o) {
  const struct {
    const char* name;
    bool valid;
    const char* expected;
    double found;
  } rules[] = {
      {"temperature", o.temperature >= 0 && o.temperature <= FLT_MAX, ">= 0", o.temperature},
      {"top_k", o.top_k >= 0, ">= 0", static_cast<double>(o.top_k)},
      {"top_p", o.top_p > 0 && o.top_p <= 1, "a value in (0, 1]", o.top_p},
      {"min_p", o.min_p >= 0 && o.min_p <= 1, "a value in [0, 1]", o.min_p},
      {"repeat_penalty", o.repeat_penalty > 0 && o.repeat_penalty <= FLT_MAX, "> 0",
       o.repeat_penalty},
      {"repeat_last_n", o.repeat_last_n >= -1, ">= -1", static_cast<double>(o.repeat_last_n)},
      {"presence_penalty", std::isfinite(o.presence_penalty), "a number", o.presence_penalty},
      {"frequency_penalty", std::isfinite(o.frequency_penalty), "a number", o.frequency_penalty},
  };
  for (const auto& rule : rules) {
    if (rule.valid) continue;
    return Status(Code::kUsage, std::string("sampling: ") + rule.name + ": expected " +
                                    rule.expected + ", found " + std::to_string(rule.found));
  }
  return Status();
}

void Sampler::carve(Arena* arena, uint32_t ids) {
  ids_ = ids;
  penalized_ = arena->take<float>(ids);
  occurrences_ = arena->take<uint32_t>(ids);
  candidates_ = arena->take<Candidate>(ids);
}

void Sampler::reset(const SamplingOptions& options) {
  options_ = options;
  random_ = Xoshiro256(options.seed);
  std::memset(occurrences_, 0, ids_ * sizeof *occurrences_);
}

int32_t Sampler::sample(const float* logits, Span<const int32_t> history) {
  logits = penalize(logits, history);
  if (options_.temperature == 0) return greedy(logits);
  collect(logits);
  if (count_ == 0) return 0;
  keep_top_k();
  keep_top_p();
  keep_min_p();
  return draw();
}

const float* Sampler::penalize(const float* logits, Span<const int32_t> history) {
  const SamplingOptions& o = options_;
  if (o.repeat_penalty == 1 && o.presence_penalty == 0 && o.frequency_penalty == 0) return logits;
  size_t window = history.size();
  if (o.repeat_last_n >= 0) window = std::min(window, static_cast<size_t>(o.repeat_last_n));
  const Span<const int32_t> recent(history.data() + history.size() - window, window);
  std::memcpy(penalized_, logits, ids_ * sizeof *penalized_);
  for (const int32_t id : recent) {
    if (static_cast<uint32_t>(id) < ids_) ++occurrences_[id];
  }
  for (const int32_t id : recent) {
    if (static_cast<uint32_t>(id) >= ids_ || occurrences_[id] == 0) continue;
    float& logit = penalized_[id];
    logit = logit > 0 ? logit / o.repeat_penalty : logit * o.repeat_penalty;
    logit -= static_cast<float>(occurrences_[id]) * o.frequency_penalty + o.presence_penalty;
    occurrences_[id] = 0;
  }
  return penalized_;
}

int32_t Sampler::greedy(const float* logits) const {
  uint32_t best = 0;
  float best_logit = -INFINITY;
  for (uint32_t id = 0; id < ids_; ++id) {
    if (logits[id] > best_logit) {
      best = id;
      best_logit = logits[id];
    }
  }
  return static_cast<int32_t>(best);
}

bool Sampler::better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

void Sampler::collect(const float* logits) {
  count_ = sorted_ = 0;
  best_logit_ = -FLT_MAX;
  for (uint32_t id = 0; id < ids_; ++id) {
    if (!(logits[id] >= -FLT_MAX)) continue;  // NaN too
    const float logit = std::min(logits[id], FLT_MAX);
    candidates_[count_++] = {logit, static_cast<int32_t>(id)};
    best_logit_ = std::max(best_logit_, logit);
  }
}

// Brings the `count` best to the front, in order.
void Sampler::sort_best(uint32_t count) {
  Candidate* const begin = candidates_ + sorted_;
  Candidate* const end = candidates_ + count;
  if (count < count_) std::nth_element(begin, end, candidates_ + count_, better);
  std::sort(begin, end, better);
  sorted_ = count;
}

void Sampler::keep_top_k() {
  const uint32_t k = static_cast<uint32_t>(options_.top_k);
  if (k == 0 || k >= count_) return;
  sort_best(k);
  count_ = k;
}

void Sampler::keep_top_p() {
  if (options_.top_p >= 1) return;
  const auto weight = [&](const Candidate& c) {
    return portable_exp(static_cast<double>(c.logit) - best_logit_);
  };
  double total = 0;
  for (uint32_t i = 0; i < count_; ++i) total += weight(candidates_[i]);
  const double enough = total * options_.top_p;
  double sum = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    if (i >= sorted_) sort_best(std::min(std::max(kFirstPrefix, sorted_ * 4), count_));
    sum += weight(candidates_[i]);
    if (sum >= enough) count_ = i + 1;
  }
  sorted_ = std::min(sorted_, count_);
}

void Sampler::keep_min_p() {
  if (options_.min_p <= 0) return;
  const double least = best_logit_ + portable_log(options_.min_p);
  const Candidate* const end = std::remove_if(candidates_, candidates_ + count_,
                                              [&](const Candidate& c) { return c.logit < least; });
  count_ = static_cast<uint32_t>(end - candidates_);
}

int32_t Sampler::draw() {
  const auto weight = [&](const Candidate& c) {
    return portable_exp((static_cast<double>(c.logit) - best_logit_) / options_.temperature);
  };
  double total = 0;
  for (uint32_t i = 0; i < count_; ++i) total += weight(candidates_[i]);
  double left = random_.uniform() * total;
  for (uint32_t i = 0; i + 1 < count_; ++i) {
    left -= weight(candidates_[i]);
    if (left < 0) return candidates_[i].id;
  }
  return candidates_[count_ - 1].id;
}

}  // namespace trit
