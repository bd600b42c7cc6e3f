// Sums of one plane after the other, included before x86_products.inl. The level supplies
//   Digits decode(vector)        a register of bytes, taken apart
//   u8v operand(digits, j)       u_j times a factor, to be summed in sum kSumOf[j] of kSums
//   i32v total(sums)             those sums with their factors divided out, for kMaxVectors vectors
//   Sum add_dot(sum, codes, x)   sum + codes . x in each lane
#include "kernels/x86_strips.inl"

// sums[g] = 3 * sums[g] + u . x of one plane in the groups [begin, end); the first plane of a part
// finds no sums yet. A function of its own, so that all registers are for its sums and tables.
template <uint32_t kTokens, uint32_t kCount>
static __attribute__((noinline)) void fold_plane(const Strip& s, uint32_t plane, uint32_t begin,
                                                 uint32_t end, const int8_t* const* codes,
                                                 i32v (*sums)[kTokens][kCount]) {
  uint64_t first = first_vector(s.walk, begin);
  const uint8_t* bytes = s.w->digits[plane] + digits_at(s.walk, s.row, first);
  const size_t second =
      digits_at(s.walk, register_row(s, 1), first) - digits_at(s.walk, s.row, first);
  const int8_t* x[kTokens];
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) x[t] = codes[t] + first * kVectorCols;
  size_t at = 0;
  for (uint32_t g = begin; g < end; ++g, ++sums) {
    i32v sum[kTokens][kCount] = {};
    if (plane % s.walk.part_planes > 0)
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
          TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) sum[t][i] = (*sums)[t][i] * 3;
    for (uint32_t vectors = vectors_of(s.walk, g), run; vectors > 0; vectors -= run) {
      run = vectors < kMaxVectors ? vectors : kMaxVectors;
      const size_t ahead = bytes_ahead(s, first);
      first += run;
      Sum partial[kTokens][kCount][kSums] = {};
      for (uint32_t v = 0; v < run; ++v, bytes += kVectorBytes, at += kVectorCols) {
        prefetch_vector(bytes, ahead);
        if (kCount * kRegRows > kTileRows) prefetch_vector(bytes + second, ahead);
        Digits d[kCount];
        TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) d[i] = decode(bytes + i * second);
        TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j)
            TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) {
          const i32v in = broadcast(x[t] + at + 4 * j);
          TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) partial[t][i][kSumOf[j]] =
              add_dot(partial[t][i][kSumOf[j]], operand(d[i], j), in);
        }
      }
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
          TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) sum[t][i] += total(partial[t][i]);
    }
    memcpy(sums, sum, sizeof(sum));
  }
}

// sums[g] = codes . x of a part of the planes in the groups [begin, end).
template <uint32_t kTokens, uint32_t kCount>
TRIT_INLINE void add_part(const Strip& s, uint32_t part, uint32_t begin, uint32_t end,
                          const int8_t* const* codes, i32v (*sums)[kTokens][kCount]) {
  const uint32_t first = part * s.walk.part_planes;
  for (uint32_t p = first; p < first + s.walk.part_planes; ++p)
    fold_plane<kTokens, kCount>(s, p, begin, end, codes, sums);
}
