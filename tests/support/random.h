// Random numbers for test data: splitmix64, so the same numbers on every machine.
#ifndef TRITSTACK_TESTS_SUPPORT_RANDOM_H_
#define TRITSTACK_TESTS_SUPPORT_RANDOM_H_

#include <cmath>
#include <cstdint>

#include "model_format/portable_math.h"

namespace trit {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint32_t bits() { return static_cast<uint32_t>(next() >> 32); }
  uint32_t below(uint32_t n) { return bits() % n; }
  // In [low, high).
  float uniform(float low, float high) {
    return low + (high - low) * (static_cast<float>(bits() >> 8) / 16777216.0f);
  }
  // In (0, 1].
  double uniform() { return (static_cast<double>(next() >> 11) + 1) * 0x1p-53; }
  // Mean 0, variance 1 (Box and Muller).
  double normal() {
    const double radius = std::sqrt(-2 * portable_log(uniform()));
    return radius * portable_cos(6.283185307179586 * uniform());
  }
  // In [-1, 1), a multiple of 2^-23.
  float signed_unit() { return static_cast<float>(next() >> 40) / 8388608.0f - 1.0f; }
  int8_t trit() { return static_cast<int8_t>(next() % 3) - 1; }

 private:
  uint64_t state_;
};

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_RANDOM_H_
