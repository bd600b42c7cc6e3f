// What the kernel tests share: the list of levels that this CPU runs, and equality of floats bit
// for bit. Random numbers: tests/support/random.h.
#ifndef TRITSTACK_TESTS_KERNELS_KERNEL_LEVELS_H_
#define TRITSTACK_TESTS_KERNELS_KERNEL_LEVELS_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/half.h"
#include "kernels/kernels.h"
#include "tests/support/random.h"

namespace trit {

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
