// Sums of up to three planes at once, for vpmaddubsw on registers of 32 bytes, included before
// x86_products.inl. The digits of each plane come out of tables with their weight in the folded
// code (9, 3 or 1), so that five additions fold a plane and each code is multiplied once: where the
// number of instructions is the limit, that beats one plane after the other (x86_plane_sums.inl).
// The level supplies look_up (a table of 16), minimum, multiply_pairs, add_pairs.
//
//   a = n - table[n / 16]        0 to 41: less the largest multiple of 27 up to 16 (n / 16)
//   lo = min(a, a - 27)          bytes wrap, so min keeps the one not negative
//   r = min(lo, lo - 9, lo - 18)
//   u0, u1 from r; u2 from lo - r = 9 u2; u3, u4 from n - lo = 27 (u3 + 3 u4), its low four bits
#include "kernels/x86_strips.inl"

struct FoldTables {
  alignas(16) uint8_t times27[16];
  uint8_t code[kTritsPerByte][3][16];  // 3^planes that follow * u_j, [j][planes that follow]
};
static constexpr FoldTables fold_tables() {
  FoldTables t = {};
  for (int i = 0; i < 16; ++i) t.times27[i] = static_cast<uint8_t>(16 * i / 27 * 27);
  for (int p = 0, weight = 1; p < 3; ++p, weight *= 3) {
    for (int i = 0; i < 9; ++i) {
      t.code[0][p][i] = static_cast<uint8_t>(weight * (i % 3));
      t.code[1][p][i] = static_cast<uint8_t>(weight * (i / 3));
    }
    for (int u = 0; u < 3; ++u) t.code[2][p][9 * u % 16] = static_cast<uint8_t>(weight * u);
    for (int i = 0; i < 10; ++i) {  // 9 from malformed bytes: u4 = 3
      t.code[3][p][27 * i % 16] = static_cast<uint8_t>(weight * (i % 3));
      t.code[4][p][27 * i % 16] = static_cast<uint8_t>(weight * (i / 3));
    }
  }
  return t;
}
static constexpr FoldTables kFoldTables = fold_tables();

// Where the digits of a register of bytes stand in their tables.
struct Indices {
  u8v of[kTritsPerByte];
};
TRIT_INLINE Indices indices(const uint8_t* bytes) {
  u8v n;
  memcpy(&n, bytes, sizeof(n));
  const u8v a = n - look_up(kFoldTables.times27, (u8v)((words)n >> 4) & 15),
            lo = minimum(a, a - 27), r = minimum(minimum(lo, lo - 9), lo - 18), hi = (n - lo) & 15;
  return {{r, r, lo - r, hi, hi}};
}

// The codes of digit j.
template <uint32_t kPlanes>
TRIT_INLINE u8v fold(const Indices (&plane)[kPlanes], uint32_t j) {
  u8v code = look_up(kFoldTables.code[j][kPlanes - 1], plane[0].of[j]);
  TRIT_UNROLL for (uint32_t p = 1; p < kPlanes; ++p) code +=
      look_up(kFoldTables.code[j][kPlanes - 1 - p], plane[p].of[j]);
  return code;
}

// sums[g] = factor * sums[g] + codes . x of kPlanes planes from `plane` in the groups [begin, end);
// factor 0: there are no sums yet. A function of its own, so that all registers are for its sums
// and tables.
template <uint32_t kPlanes, uint32_t kTokens, uint32_t kCount>
static __attribute__((noinline)) void fold_planes(const Strip& s, uint32_t plane, uint32_t begin,
                                                  uint32_t end, int32_t factor,
                                                  const int8_t* const* codes,
                                                  i32v (*sums)[kTokens][kCount]) {
  // Vectors for whose codes (at most 2, 8, 26; at the top of a malformed byte half as much more)
  // 16 bits have room, three codes in one sum and two in the other.
  constexpr uint32_t kMaxRun = kPlanes == 1 ? 8 : kPlanes == 2 ? 4 : 1;
  const uint64_t first = first_vector(s.walk, begin);
  const uint8_t* bytes[kPlanes];
  TRIT_UNROLL for (uint32_t p = 0; p < kPlanes; ++p) bytes[p] =
      s.w->digits[plane + p] + digits_at(s.walk, s.row, first);
  const size_t second =
      digits_at(s.walk, register_row(s, 1), first) - digits_at(s.walk, s.row, first);
  const int8_t* x[kTokens];
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) x[t] = codes[t] + first * kVectorCols;
  size_t at = 0, column = 0;
  for (uint32_t g = begin; g < end; ++g, ++sums) {
    i32v sum[kTokens][kCount] = {};
    if (factor > 0)
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
          TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) sum[t][i] = (*sums)[t][i] * factor;
    for (uint32_t vectors = vectors_of(s.walk, g), run; vectors > 0; vectors -= run) {
      run = vectors < kMaxRun ? vectors : kMaxRun;
      words low[kTokens][kCount] = {}, high[kTokens][kCount] = {};
      for (uint32_t v = 0; v < run; ++v, at += kVectorBytes, column += kVectorCols) {
        TRIT_UNROLL for (uint32_t p = 0; p < kPlanes; ++p) prefetch(bytes[p] + at + kPrefetchBytes);
        TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) {
          Indices of[kPlanes];
          TRIT_UNROLL for (uint32_t p = 0; p < kPlanes; ++p) of[p] =
              indices(bytes[p] + at + i * second);
          TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) {
            const u8v code = fold(of, j);
            TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)(j < 3 ? low : high)[t][i] +=
                multiply_pairs(code, broadcast(x[t] + column + 4 * j));
          }
        }
      }
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
          TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) sum[t][i] +=
          add_pairs(low[t][i]) + add_pairs(high[t][i]);
    }
    memcpy(sums, sum, sizeof(sum));
  }
}

// sums[g] = codes . x of a part of the planes in the groups [begin, end).
template <uint32_t kTokens, uint32_t kCount>
TRIT_INLINE void add_part(const Strip& s, uint32_t part, uint32_t begin, uint32_t end,
                          const int8_t* const* codes, i32v (*sums)[kTokens][kCount]) {
  const uint32_t planes = s.walk.part_planes, first = part * planes;
  if (planes == 1) return fold_planes<1, kTokens, kCount>(s, first, begin, end, 0, codes, sums);
  if (planes == 2) return fold_planes<2, kTokens, kCount>(s, first, begin, end, 0, codes, sums);
  fold_planes<3, kTokens, kCount>(s, first, begin, end, 0, codes, sums);
  if (planes == 4) fold_planes<1, kTokens, kCount>(s, first + 3, begin, end, 3, codes, sums);
}
