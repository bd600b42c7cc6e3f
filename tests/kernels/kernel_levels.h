// What the kernel tests share: random numbers that are the same everywhere, the list of levels
// that this CPU runs, and equality of floats bit for bit.
#ifndef TRITSTACK_TESTS_KERNELS_KERNEL_LEVELS_H_
#define TRITSTACK_TESTS_KERNELS_KERNEL_LEVELS_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/half.h"
#include "kernels/kernels.h"

namespace trit {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2654435769u + 1) {}
  uint32_t bits() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
  }
  uint32_t below(uint32_t n) { return bits() % n; }
  float uniform(float low, float high) {
    return low + (high - low) * (static_cast<float>(bits() >> 8) / 16777216.0f);
  }

 private:
  uint64_t state_;
};

inline const KernelTable& scalar_kernels() {
  return *kernels_for("scalar");
}

inline std::vector<const KernelTable*> all_levels() {
  uint32_t count = 0;
  const char* const* isas = available_isas(&count);
  std::vector<const KernelTable*> levels;
  for (uint32_t i = 0; i < count; ++i) levels.push_back(kernels_for(isas[i]));
  return levels;
}

// Bit for bit; which NaN it is, is nobody's contract.
inline bool same_floats(const float* a, const float* b, size_t n) {
  for (size_t i = 0; i < n; ++i)
    if (f32_to_bits(a[i]) != f32_to_bits(b[i]) && !(std::isnan(a[i]) && std::isnan(b[i])))
      return false;
  return true;
}

}  // namespace trit

#endif  // TRITSTACK_TESTS_KERNELS_KERNEL_LEVELS_H_
