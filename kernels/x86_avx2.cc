// The level avx2: AVX2 and F16C (Haswell, Zen and later). A register holds half a vector of the
// layout: 8 lanes of 4 bytes are 8 rows of the tile. vpmaddubsw multiplies 32 codes with 4
// activations broadcast to all lanes and adds pairs, so a row's sum is two int16 until it is
// widened.
//
// Decoding a register n of bytes u0 + 3 u1 + 9 u2 + 27 u3 + 81 u4, tables by vpshufb:
//
//   hi = n / 27                   16-bit multiply by 2428 / 65536, even and odd bytes apart
//   lo = n - 27 hi                0..26; the table of 27 is two of 16, the wrong one gives 0
//   high = table[hi]              bits  0 0 0 0 u4 u4 u3 u3
//   low  = table[lo]              bits  0 0 u2 u2 u1 u1 u0 u0
#include "kernels/target.h"
#if TRIT_X86
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "kernels/plane_walk.h"

TRIT_TARGET_BEGIN("avx2,f16c")

namespace trit {
namespace avx2 {

typedef float f32v __attribute__((vector_size(32)));

TRIT_INLINE f32v load_f16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
TRIT_INLINE void store_f16(f32v x, uint16_t* out) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

#include "kernels/f32_ops.inl"

constexpr uint32_t kHalves = 2;      // registers of a vector
constexpr uint32_t kHalfBytes = 32;  // 8 rows
constexpr uint32_t kHalfRows = kTileRows / kHalves;

struct Digits {
  __m256i low, high;  // u0 to u2, u3 and u4, in two bits each
};

struct Tables {
  alignas(16) uint8_t high[16], times27[16], low[32];
};
static constexpr Tables make_tables() {
  Tables t = {};
  for (int i = 0; i < 10; ++i) {  // 9 from malformed bytes: u4 = 3
    t.high[i] = static_cast<uint8_t>(i % 3 | i / 3 << 2);
    t.times27[i] = static_cast<uint8_t>(27 * i);
  }
  for (int i = 0; i < 27; ++i) t.low[i] = static_cast<uint8_t>(i % 3 | i / 3 % 3 << 2 | i / 9 << 4);
  return t;
}
static constexpr Tables kTables = make_tables();

TRIT_INLINE __m256i look_up(const uint8_t* table, __m256i index) {
  const __m128i entries = _mm_load_si128(reinterpret_cast<const __m128i*>(table));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), index);
}

TRIT_INLINE Digits decode(const uint8_t* half) {
  const __m256i n = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(half));
  const __m256i even = _mm256_set1_epi16(0xff), odd = _mm256_set1_epi16(static_cast<short>(0xff00));
  const __m256i reciprocal = _mm256_set1_epi16(2428);
  const __m256i hi_even = _mm256_mulhi_epu16(_mm256_and_si256(n, even), reciprocal);
  const __m256i hi_odd = _mm256_mulhi_epu16(_mm256_and_si256(n, odd), reciprocal);
  const __m256i hi = _mm256_or_si256(hi_even, _mm256_and_si256(hi_odd, odd));
  const __m256i lo = _mm256_sub_epi8(n, look_up(kTables.times27, hi));
  // vpshufb gives 0 where bit 7 of the index is set: for lo >= 16 and for lo < 16.
  const __m256i below = look_up(kTables.low, _mm256_add_epi8(lo, _mm256_set1_epi8(0x70)));
  const __m256i above = look_up(kTables.low + 16, _mm256_sub_epi8(lo, _mm256_set1_epi8(16)));
  return {_mm256_or_si256(below, above), look_up(kTables.high, hi)};
}

TRIT_INLINE __m256i add_dot(__m256i sum, __m256i codes, __m256i x) {
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, x));
}
TRIT_INLINE __m256i broadcast(const int8_t* x) {
  return _mm256_set1_epi32(load_dword(x));
}
TRIT_INLINE __m256i widen(__m256i sum) {
  return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}
// Digits that stand at bit 2, brought down to bit 0.
TRIT_INLINE __m256i shifted(__m256i digits, int bits) {
  return _mm256_and_si256(_mm256_srli_epi16(digits, bits), _mm256_set1_epi8(3));
}

// int16 sums: of u0, u2 and u3, of 4 u1, of 4 u4 (apart, so that 8 vectors fit even when bytes are
// malformed: 4 * 3 * 128 * 2 * 8 = 24576).
struct DigitSums {
  __m256i ones, fours, tops;
};
constexpr uint32_t kMaxRun = 8;

TRIT_INLINE void add_vector(DigitSums* s, const uint8_t* vector, const int8_t* x) {
  const __m256i x0 = broadcast(x), x1 = broadcast(x + 4), x2 = broadcast(x + 8);
  const __m256i x3 = broadcast(x + 12), x4 = broadcast(x + 16);
  const __m256i first = _mm256_set1_epi8(3), second = _mm256_set1_epi8(12);
  TRIT_UNROLL for (uint32_t h = 0; h < kHalves; ++h) {
    const Digits d = decode(vector + h * kHalfBytes);
    s[h].ones = add_dot(s[h].ones, _mm256_and_si256(d.low, first), x0);
    s[h].fours = add_dot(s[h].fours, _mm256_and_si256(d.low, second), x1);
    s[h].ones = add_dot(s[h].ones, shifted(d.low, 4), x2);
    s[h].ones = add_dot(s[h].ones, _mm256_and_si256(d.high, first), x3);
    s[h].tops = add_dot(s[h].tops, _mm256_and_si256(d.high, second), x4);
  }
}

// sums = 3 * sums + u . x for the 16 rows over `vectors` vectors of one plane.
TRIT_INLINE void fold_plane(__m256i sums[kHalves], const uint8_t* bytes, uint32_t vectors,
                            const int8_t* x) {
  TRIT_UNROLL for (uint32_t h = 0; h < kHalves; ++h) sums[h] =
      _mm256_add_epi32(sums[h], _mm256_add_epi32(sums[h], sums[h]));
  while (vectors > 0) {
    const uint32_t run = vectors < kMaxRun ? vectors : kMaxRun;
    DigitSums s[kHalves] = {};
    for (uint32_t v = 0; v < run; ++v, bytes += kVectorBytes, x += kVectorCols) {
      _mm_prefetch(reinterpret_cast<const char*>(bytes) + kPrefetchBytes, _MM_HINT_T0);
      add_vector(s, bytes, x);
    }
    TRIT_UNROLL for (uint32_t h = 0; h < kHalves; ++h) {
      const __m256i fours = _mm256_add_epi32(widen(s[h].fours), widen(s[h].tops));
      const __m256i sum = _mm256_add_epi32(widen(s[h].ones), _mm256_srai_epi32(fours, 2));
      sums[h] = _mm256_add_epi32(sums[h], sum);
    }
    vectors -= run;
  }
}

// scale * prefix_factor of 8 rows of a tile.
TRIT_INLINE __m256 load_scales(const TritView* w, const PlaneWalk& walk, uint32_t part,
                               uint64_t tile, uint32_t g, uint32_t half) {
  const __m256 scale = w->encoding == Encoding::kNative
                           ? _mm256_loadu_ps(w->row_scales + tile * kTileRows + half * kHalfRows)
                           : load_f16(group_scales(w, walk, part, tile, g) + half * kHalfRows);
  return _mm256_mul_ps(scale, _mm256_set1_ps(w->prefix_factor));
}

// acc + f32(sum - offset * x_sum) * (scale * sx)
TRIT_INLINE __m256 add_scaled(__m256 acc, __m256i sum, const PlaneWalk& walk, int32_t x_sum,
                              __m256 scale, float x_scale) {
  const uint32_t correction = walk.offset * static_cast<uint32_t>(x_sum);
  const __m256i n = _mm256_sub_epi32(sum, _mm256_set1_epi32(static_cast<int32_t>(correction)));
  return _mm256_add_ps(
      acc, _mm256_mul_ps(_mm256_cvtepi32_ps(n), _mm256_mul_ps(scale, _mm256_set1_ps(x_scale))));
}

TRIT_INLINE void store_rows(const TritView* w, uint64_t tile, const __m256 acc[kHalves],
                            float* rows) {
  float whole[kTileRows];
  TRIT_UNROLL for (uint32_t h = 0; h < kHalves; ++h)
      _mm256_storeu_ps(whole + h * kHalfRows, acc[h]);
  memcpy(rows, whole, tile_rows(w, tile) * sizeof(float));
}

static void trit_gemv(const TritView* w, const QuantizedActivations* x, uint32_t tile_begin,
                      uint32_t tile_end, float* y) {
  const PlaneWalk walk = plane_walk(w);
  for (uint64_t tile = tile_begin; tile < tile_end; ++tile) {
    __m256 acc[kHalves] = {};
    for (uint32_t g = 0; g < walk.groups; ++g) {
      const uint64_t first = first_vector(walk, g), at = tile * walk.row_vectors + first;
      const int8_t* codes = x->codes + first * kVectorCols;
      for (uint32_t part = 0; part < walk.parts; ++part) {
        __m256i sum[kHalves] = {};
        for (uint32_t p = part; p < part + walk.part_planes; ++p)
          fold_plane(sum, w->digits[p] + at * kVectorBytes, vectors_of(walk, g), codes);
        TRIT_UNROLL for (uint32_t h = 0; h < kHalves; ++h) acc[h] = add_scaled(
            acc[h], sum[h], walk, x->sums[g], load_scales(w, walk, part, tile, g, h), x->scales[g]);
      }
    }
    store_rows(w, tile, acc, y + tile * kTileRows);
  }
}

// A tile, unpacked: [part][vector][digit][64] codes, one byte a weight.
struct Strip {
  const TritView* w;
  PlaneWalk walk;
  uint64_t tile;
  uint8_t* codes;
};

// codes * 3 + digit, for each digit of half a vector.
TRIT_INLINE void fold_half(const uint8_t* half, __m256i codes[kTritsPerByte]) {
  const __m256i mask = _mm256_set1_epi8(3);
  const Digits d = decode(half);
  const __m256i digit[kTritsPerByte] = {_mm256_and_si256(d.low, mask), shifted(d.low, 2),
                                        shifted(d.low, 4), _mm256_and_si256(d.high, mask),
                                        shifted(d.high, 2)};
  TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) {
    const __m256i triple = _mm256_add_epi8(codes[j], _mm256_add_epi8(codes[j], codes[j]));
    codes[j] = _mm256_add_epi8(triple, digit[j]);
  }
}

static void unpack_strip(const Strip& s) {
  uint8_t* out = s.codes;
  for (uint32_t part = 0; part < s.walk.parts; ++part)
    for (uint64_t v = 0; v < s.walk.row_vectors; ++v, out += kVectorCodes)
      TRIT_UNROLL for (uint32_t h = 0; h < kHalves; ++h) {
        const uint64_t at = (s.tile * s.walk.row_vectors + v) * kVectorBytes + h * kHalfBytes;
        __m256i codes[kTritsPerByte] = {};
        for (uint32_t p = part; p < part + s.walk.part_planes; ++p)
          fold_half(s.w->digits[p] + at, codes);
        TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) _mm256_store_si256(
            reinterpret_cast<__m256i*>(out + j * kVectorBytes + h * kHalfBytes), codes[j]);
      }
}

// sums += codes . x for kTokens tokens over `steps` digits, at most `max_run` of them in int16.
template <uint32_t kTokens>
TRIT_INLINE void dot_codes(const uint8_t* codes, const int8_t* x, size_t x_stride, uint32_t steps,
                           uint32_t max_run, __m256i sums[kTokens][kHalves]) {
  while (steps > 0) {
    const uint32_t run = steps < max_run ? steps : max_run;
    __m256i s[kTokens][kHalves];
    TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) s[t][0] = s[t][1] = _mm256_setzero_si256();
    for (uint32_t k = 0; k < run; ++k, codes += kVectorBytes, x += 4) {
      const __m256i* weights = reinterpret_cast<const __m256i*>(codes);
      const __m256i first = _mm256_load_si256(weights), second = _mm256_load_si256(weights + 1);
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) {
        const __m256i in = broadcast(x + t * x_stride);
        s[t][0] = add_dot(s[t][0], first, in);
        s[t][1] = add_dot(s[t][1], second, in);
      }
    }
    TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
        TRIT_UNROLL for (uint32_t h = 0; h < kHalves; ++h) sums[t][h] =
            _mm256_add_epi32(sums[t][h], widen(s[t][h]));
    steps -= run;
  }
}

template <uint32_t kTokens>
static void multiply_strip(const Strip& s, const QuantizedActivations* x, uint64_t token, float* y,
                           size_t y_stride) {
  const PlaneWalk& walk = s.walk;
  // n digits of a byte position sum to at most 2 n + 1 (only a run that begins at the top digit of
  // a malformed byte has the 1: its other digits are small), each times offset * 128, in pairs.
  const uint32_t max_run = (32767 / (2 * 128 * walk.offset) - 1) / 2;
  __m256 acc[kTokens][kHalves] = {};
  for (uint32_t g = 0; g < walk.groups; ++g)
    for (uint32_t part = 0; part < walk.parts; ++part) {
      const uint64_t first = first_vector(walk, g);
      __m256i sums[kTokens][kHalves] = {};
      dot_codes<kTokens>(s.codes + (part * walk.row_vectors + first) * kVectorCodes,
                         x->codes + token * x->code_stride + first * kVectorCols, x->code_stride,
                         vectors_of(walk, g) * kTritsPerByte, max_run, sums);
      TRIT_UNROLL for (uint32_t h = 0; h < kHalves; ++h) {
        const __m256 scale = load_scales(s.w, walk, part, s.tile, g, h);
        TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) {
          const size_t at = (token + t) * x->groups + g;
          acc[t][h] = add_scaled(acc[t][h], sums[t][h], walk, x->sums[at], scale, x->scales[at]);
        }
      }
    }
  for (uint32_t t = 0; t < kTokens; ++t)
    store_rows(s.w, s.tile, acc[t], y + (token + t) * y_stride + s.tile * kTileRows);
}

static void trit_gemm(const TritView* w, const QuantizedActivations* x, uint32_t n_tokens,
                      uint32_t tile_begin, uint32_t tile_end, float* y, size_t y_stride,
                      void* scratch) {
  Strip s = {w, plane_walk(w), tile_begin, static_cast<uint8_t*>(scratch)};
  for (; s.tile < tile_end; ++s.tile) {
    unpack_strip(s);
    uint64_t t = 0;
    for (; t + 4 <= n_tokens; t += 4) multiply_strip<4>(s, x, t, y, y_stride);
    for (; t < n_tokens; ++t) multiply_strip<1>(s, x, t, y, y_stride);
  }
}

}  // namespace avx2

void install_avx2(KernelTable* table) {
  avx2::install_f32_ops(table);
  table->trit_gemv = avx2::trit_gemv;
  table->trit_gemm = avx2::trit_gemm;
}

}  // namespace trit

TRIT_TARGET_END
#endif  // TRIT_X86
