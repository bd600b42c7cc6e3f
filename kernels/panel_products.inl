// Products of matrices too large for dot products to stay in the cache, included by f32_ops.inl. A
// lane is a column of the result, so no lanes are left to add; the sums of a few rows and one panel
// stay in registers while both pass by. With registers as wide as a panel each factor of a row is
// used once, straight from memory: 97 % of the multiplications and additions that a Zen 5 can do.

template <typename T>
__attribute__((noinline)) void add_to_sums(const T* whole, uint32_t cols, T* sums) {
  for (uint32_t i = 0; i < cols; ++i) sums[i] += whole[i];
}

template <typename V, uint32_t kRows, typename T>
TRIT_INLINE void panel_rows(const T* a, size_t a_row, size_t a_step, const T* b, uint32_t n,
                            uint32_t cols, T* sums, size_t sums_stride) {
  constexpr uint32_t kVectors = kPanelBytes / sizeof(V), kLength = sizeof(V) / sizeof(T);
  V sum[kRows][kVectors] = {};
  for (uint32_t t = 0; t < n; ++t, a += a_step, b += kVectors * kLength) {
    V in[kVectors];
    TRIT_UNROLL for (uint32_t v = 0; v < kVectors; ++v) memcpy(&in[v], b + v * kLength, sizeof(V));
    TRIT_UNROLL for (uint32_t r = 0; r < kRows; ++r)
        TRIT_UNROLL for (uint32_t v = 0; v < kVectors; ++v) sum[r][v] += in[v] * a[r * a_row];
  }
  T whole[kRows][kVectors * kLength];
  TRIT_UNROLL for (uint32_t r = 0; r < kRows; ++r)
      TRIT_UNROLL for (uint32_t v = 0; v < kVectors; ++v)
          memcpy(&whole[r][v * kLength], &sum[r][v], sizeof(V));
  for (uint32_t r = 0; r < kRows; ++r) add_to_sums(whole[r], cols, sums + r * sums_stride);
}

template <typename T>
void panel_products(const T* a, size_t a_row, size_t a_step, const T* b, uint32_t n, uint32_t rows,
                    uint32_t cols, T* sums, size_t sums_stride) {
  typedef T V __attribute__((vector_size(sizeof(f32v))));
  constexpr uint32_t kRows = kParts == 1 ? 16 : kParts == 2 ? 4 : 2;
  uint32_t r = 0;
  for (; r + kRows <= rows; r += kRows)
    panel_rows<V, kRows>(a + r * a_row, a_row, a_step, b, n, cols, sums + r * sums_stride,
                         sums_stride);
  for (; r < rows; ++r)
    panel_rows<V, 1>(a + r * a_row, a_row, a_step, b, n, cols, sums + r * sums_stride, sums_stride);
}
