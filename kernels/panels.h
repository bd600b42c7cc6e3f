// A matrix as KernelTable::panel_products wants its right side.
#ifndef TRITSTACK_KERNELS_PANELS_H_
#define TRITSTACK_KERNELS_PANELS_H_

#include <string.h>

#include "kernels/kernels.h"

namespace trit {

template <typename T>
constexpr uint32_t kPanelCols = kPanelBytes / sizeof(T);

// Columns [0, cols) of rows [0, n) as panels one after the other, each [n][kPanelCols]; the last is
// filled up with zeros. Rows often lie a page or more apart, where no CPU fetches ahead by itself.
template <typename T>
void make_panels(const T* rows, size_t stride, uint32_t n, uint32_t cols, T* panels) {
  constexpr uint32_t kWidth = kPanelCols<T>, kRowsAhead = 6;
  for (uint32_t t = 0; t < n; ++t, rows += stride) {
    for (uint32_t begin = 0; begin < cols; begin += kWidth) {
      if (t + kRowsAhead < n) __builtin_prefetch(rows + kRowsAhead * stride + begin);
      T* const to = panels + size_t{begin} * n + t * kWidth;
      if (cols - begin >= kWidth) {
        memcpy(to, rows + begin, kPanelBytes);
        continue;
      }
      for (uint32_t i = 0; i < kWidth; ++i) to[i] = begin + i < cols ? rows[begin + i] : T{};
    }
  }
}

}  // namespace trit

#endif  // TRITSTACK_KERNELS_PANELS_H_
