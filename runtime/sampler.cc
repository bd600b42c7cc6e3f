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

// Weights computed at once; also candidates sorted at first for top-p, then four times more.
constexpr uint32_t kBlock = 64;

uint64_t bits_of(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// e^x for x in [-700, 0], within 1 ulp. No branch and no division, so that a compiler makes vectors
// of a loop over a whole vocabulary: a tenth of portable_exp's time. e^x = 2^n e^r: n by adding a
// number so large that its last bit is 1, e^r by Taylor's series.
inline double weight_of(double x) {
  constexpr double kRound = 0x1.8p52;
  const double shifted = x * 0x1.71547652b82fep+0 + kRound;  // 1 / ln 2
  const double n = shifted - kRound;
  const double r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;  // ln 2 in two parts
  double sum = r * (1.0 / 6227020800) + 1.0 / 479001600;                        // 1/13!, 1/12!
  sum = sum * r + 1.0 / 39916800;
  sum = sum * r + 1.0 / 3628800;
  sum = sum * r + 1.0 / 362880;
  sum = sum * r + 1.0 / 40320;
  sum = sum * r + 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 0.5;
  const uint64_t power_bits = (bits_of(shifted) + 1023) << 52;
  double power;
  std::memcpy(&power, &power_bits, sizeof power);
  return (1 + (r + r * r * sum)) * power;
}

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
      {"top_p", o.top_p >= 0 && o.top_p <= 1, "a value in [0, 1]", o.top_p},
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
  const int32_t best = greedy(logits);
  if (options_.temperature == 0 || !(logits[best] >= -FLT_MAX)) return best;
  best_logit_ = std::min(logits[best], FLT_MAX);
  collect(logits);
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
  constexpr uint32_t kLanes = 16;  // several maxima side by side: vectors
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, -INFINITY);
  uint32_t id = 0;
  for (; id + kLanes <= ids_; id += kLanes)
    for (uint32_t l = 0; l < kLanes; ++l)
      lanes[l] = logits[id + l] > lanes[l] ? logits[id + l] : lanes[l];
  float best = *std::max_element(lanes, lanes + kLanes);
  for (; id < ids_; ++id) best = logits[id] > best ? logits[id] : best;
  if (best == -INFINITY) return 0;
  return static_cast<int32_t>(std::find(logits, logits + ids_, best) - logits);
}

bool Sampler::better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// Those that top-k leaves, best first; all, by id, where it drops none. Where min-p alone is on,
// not many more than it leaves.
void Sampler::collect(const float* logits) {
  count_ = sorted_ = 0;
  const uint32_t k = static_cast<uint32_t>(options_.top_k);
  const uint32_t room = k > 0 && k < ids_ / 2 ? 2 * k : ids_;
  float below = -INFINITY;  // of no interest; NaN never is
  if (k == 0 && options_.top_p >= 1 && options_.min_p > 0)
    below = std::nextafter(static_cast<float>(least_logit()), -INFINITY);
  for (uint32_t id = 0; id < ids_; ++id) {
    const float logit = std::min(logits[id], FLT_MAX);
    if (!(logit > below)) continue;
    candidates_[count_++] = {logit, static_cast<int32_t>(id)};
    if (count_ < room || room == ids_) continue;
    std::nth_element(candidates_, candidates_ + k - 1, candidates_ + count_, better);
    below = candidates_[k - 1].logit;  // an equal one with a higher id would not be among the k
    count_ = k;
  }
  const bool dropped = k > 0 && (count_ > k || below > -INFINITY);
  if (!dropped) return;
  sort_best(k);
  count_ = k;
}

// Brings the `count` best to the front, in order.
void Sampler::sort_best(uint32_t count) {
  Candidate* const begin = candidates_ + sorted_;
  Candidate* const end = candidates_ + count;
  if (count < count_) std::nth_element(begin, end, candidates_ + count_, better);
  std::sort(begin, end, better);
  sorted_ = count;
}

// Weights of the candidates from `begin` on, relative to the best one's 1: at most kBlock; returns
// how many.
uint32_t Sampler::weigh(uint32_t begin, double temperature, double* weights) const {
  const uint32_t count = std::min(count_ - begin, kBlock);
  const Candidate* const from = candidates_ + begin;
  const double best = best_logit_;
  for (uint32_t i = 0; i < count; ++i)
    weights[i] = std::max((from[i].logit - best) / temperature, -700.0);
  for (uint32_t i = 0; i < count; ++i) weights[i] = weight_of(weights[i]);
  return count;
}

double Sampler::total_weight(double temperature) const {
  double weights[kBlock], total = 0;
  for (uint32_t begin = 0; begin < count_; begin += kBlock) {
    const uint32_t count = weigh(begin, temperature, weights);
    for (uint32_t i = 0; i < count; ++i) total += weights[i];
  }
  return total;
}

void Sampler::keep_top_p() {
  if (options_.top_p >= 1) return;
  const double enough = total_weight(1) * options_.top_p;
  double weights[kBlock], sum = 0;
  uint32_t kept = 0;
  while (kept < count_ && (kept == 0 || sum < enough)) {
    if (kept >= sorted_) sort_best(std::min(std::max(kBlock, sorted_ * 4), count_));
    const uint32_t count = weigh(kept, 1, weights);
    for (uint32_t i = 0; i < count && (kept == 0 || sum < enough); ++i, ++kept) sum += weights[i];
  }
  count_ = kept;
  sorted_ = std::min(sorted_, count_);
}

double Sampler::least_logit() const {
  return best_logit_ + portable_log(options_.min_p);
}

void Sampler::keep_min_p() {
  if (options_.min_p <= 0) return;
  const double least = least_logit();
  const Candidate* const end = std::remove_if(candidates_, candidates_ + count_,
                                              [&](const Candidate& c) { return c.logit < least; });
  count_ = static_cast<uint32_t>(end - candidates_);
}

int32_t Sampler::draw() {
  double left = random_.uniform() * total_weight(options_.temperature), weights[kBlock];
  for (uint32_t begin = 0; begin < count_; begin += kBlock) {
    const uint32_t count = weigh(begin, options_.temperature, weights);
    for (uint32_t i = 0; i < count; ++i) {
      left -= weights[i];
      if (left < 0) return candidates_[begin + i].id;
    }
  }
  return candidates_[count_ - 1].id;
}

}  // namespace trit
