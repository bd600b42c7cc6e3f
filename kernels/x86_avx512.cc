// The level avx512vbmi: AVX-512 F, BW, VL, VNNI, VBMI (Ice Lake, Zen 4 and later). A vector of the
// layout is one register: each of its 16 lanes of 4 bytes is a row of the tile, and vpdpbusd adds
// to a lane the products of its 4 codes with 4 activations broadcast to all lanes.
//
// Decoding a register b of bytes u0 + 3 u1 + 9 u2 + 27 u3 + 81 u4:
//
//   r = min(b, b - 162); r = min(r, r - 81)     bytes wrap, so min keeps the one not negative
//   top = b - r                                 81 u4
//   q = table[r]                                vpermi2b: bits  u3 u3 u2 u2 u1 u1 u0 u0
//
// 81 u4 and q & 3, q & 12, q & 48, q & 192 go into vpdpbusd without a shift, each digit into its
// own sum; the factors 81, 1, 4, 16, 64 are divided out of the sums, once per group.
#include "kernels/target.h"
#if TRIT_X86
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "kernels/plane_walk.h"

TRIT_TARGET_BEGIN("avx2,f16c,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")

namespace trit {
namespace avx512vbmi {

typedef float f32v __attribute__((vector_size(64)));

TRIT_INLINE f32v load_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
TRIT_INLINE void store_f16(f32v x, uint16_t* out) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                      _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

#include "kernels/f32_ops.inl"

struct Digits {
  __m512i top, low;  // 81 u4; u0 to u3 in two bits each
};

// Four digits in two bits each, for r in [0, 81).
struct LowDigits {
  alignas(64) uint8_t of[128];
};
static constexpr LowDigits low_digits() {
  LowDigits table = {};
  for (int r = 0; r < 81; ++r)
    table.of[r] = static_cast<uint8_t>(r % 3 | r / 3 % 3 << 2 | r / 9 % 3 << 4 | r / 27 << 6);
  return table;
}
static constexpr LowDigits kLowDigits = low_digits();

TRIT_INLINE Digits decode(const uint8_t* vector) {
  const __m512i b = _mm512_loadu_si512(vector);
  __m512i r = _mm512_min_epu8(b, _mm512_sub_epi8(b, _mm512_set1_epi8(static_cast<char>(162))));
  r = _mm512_min_epu8(r, _mm512_sub_epi8(r, _mm512_set1_epi8(81)));
  return {_mm512_sub_epi8(b, r), _mm512_permutex2var_epi8(_mm512_load_si512(kLowDigits.of), r,
                                                          _mm512_load_si512(kLowDigits.of + 64))};
}

TRIT_INLINE __m512i add_dot(__m512i sum, __m512i codes, const int8_t* x) {
  return _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(load_dword(x)));
}

struct DigitSums {
  __m512i of[kTritsPerByte];
};

TRIT_INLINE void add_vector(DigitSums* s, const uint8_t* vector, const int8_t* x) {
  const __m512i mask = _mm512_set1_epi8(3);
  _mm_prefetch(reinterpret_cast<const char*>(vector) + kPrefetchBytes, _MM_HINT_T0);
  const Digits d = decode(vector);
  s->of[0] = add_dot(s->of[0], _mm512_and_si512(d.low, mask), x);
  s->of[1] = add_dot(s->of[1], _mm512_and_si512(d.low, _mm512_slli_epi16(mask, 2)), x + 4);
  s->of[2] = add_dot(s->of[2], _mm512_and_si512(d.low, _mm512_slli_epi16(mask, 4)), x + 8);
  s->of[3] = add_dot(s->of[3], _mm512_and_si512(d.low, _mm512_slli_epi16(mask, 6)), x + 12);
  s->of[4] = add_dot(s->of[4], d.top, x + 16);
}

// Divides the powers out. 64 * s0 + 16 * s1 + ... is 64 times the sum of four digits and stays
// below 2^31 for kMaxRun vectors; 81 is divided out by its inverse modulo 2^32, exact at any size.
constexpr uint32_t kMaxRun = 4096;

TRIT_INLINE __m512i add_digits(const DigitSums& s) {
  const __m512i low = _mm512_add_epi32(
      _mm512_add_epi32(_mm512_slli_epi32(s.of[0], 6), _mm512_slli_epi32(s.of[1], 4)),
      _mm512_add_epi32(_mm512_slli_epi32(s.of[2], 2), s.of[3]));
  const __m512i inverse = _mm512_set1_epi32(0x781948b1);
  return _mm512_add_epi32(_mm512_srai_epi32(low, 6), _mm512_mullo_epi32(s.of[4], inverse));
}

// u . x for the 16 rows of a tile over `vectors` vectors of one plane.
TRIT_INLINE __m512i dot_plane(const uint8_t* bytes, uint32_t vectors, const int8_t* x) {
  constexpr uint32_t kUsual = kDefaultGroup / kVectorCols;
  if (vectors == kUsual) {
    DigitSums s = {};
    TRIT_UNROLL for (uint32_t v = 0; v < kUsual; ++v)
        add_vector(&s, bytes + v * kVectorBytes, x + v * kVectorCols);
    return add_digits(s);
  }
  __m512i sum = _mm512_setzero_si512();
  while (vectors > 0) {
    const uint32_t run = vectors < kMaxRun ? vectors : kMaxRun;
    DigitSums s = {};
    for (uint32_t v = 0; v < run; ++v, bytes += kVectorBytes, x += kVectorCols)
      add_vector(&s, bytes, x);
    sum = _mm512_add_epi32(sum, add_digits(s));
    vectors -= run;
  }
  return sum;
}

// scale * prefix_factor of the 16 rows of a tile.
TRIT_INLINE __m512 load_scales(const TritView* w, const PlaneWalk& walk, uint32_t part,
                               uint64_t tile, uint32_t g) {
  const __m512 scale = w->encoding == Encoding::kNative
                           ? _mm512_loadu_ps(w->row_scales + tile * kTileRows)
                           : load_f16(group_scales(w, walk, part, tile, g));
  return _mm512_mul_ps(scale, _mm512_set1_ps(w->prefix_factor));
}

// acc + f32(sum - offset * x_sum) * (scale * sx)
TRIT_INLINE __m512 add_scaled(__m512 acc, __m512i sum, const PlaneWalk& walk, int32_t x_sum,
                              __m512 scale, float x_scale) {
  const uint32_t correction = walk.offset * static_cast<uint32_t>(x_sum);
  const __m512i n = _mm512_sub_epi32(sum, _mm512_set1_epi32(static_cast<int32_t>(correction)));
  return _mm512_add_ps(
      acc, _mm512_mul_ps(_mm512_cvtepi32_ps(n), _mm512_mul_ps(scale, _mm512_set1_ps(x_scale))));
}

TRIT_INLINE __mmask16 row_mask(const TritView* w, uint64_t tile) {
  return static_cast<__mmask16>((1u << tile_rows(w, tile)) - 1);
}

static void trit_gemv(const TritView* w, const QuantizedActivations* x, uint32_t tile_begin,
                      uint32_t tile_end, float* y) {
  const PlaneWalk walk = plane_walk(w);
  for (uint64_t tile = tile_begin; tile < tile_end; ++tile) {
    __m512 acc = _mm512_setzero_ps();
    for (uint32_t g = 0; g < walk.groups; ++g) {
      const uint64_t first = first_vector(walk, g), at = (tile * walk.row_vectors + first);
      const int8_t* codes = x->codes + first * kVectorCols;
      for (uint32_t part = 0; part < walk.parts; ++part) {
        __m512i sum = _mm512_setzero_si512();
        for (uint32_t p = part; p < part + walk.part_planes; ++p)
          sum = _mm512_add_epi32(
              _mm512_add_epi32(sum, _mm512_add_epi32(sum, sum)),
              dot_plane(w->digits[p] + at * kVectorBytes, vectors_of(walk, g), codes));
        acc = add_scaled(acc, sum, walk, x->sums[g], load_scales(w, walk, part, tile, g),
                         x->scales[g]);
      }
    }
    _mm512_mask_storeu_ps(y + tile * kTileRows, row_mask(w, tile), acc);
  }
}

// A strip of kTiles tiles, unpacked: [part][vector][digit][tile][64] codes, one byte a weight.
struct Strip {
  const TritView* w;
  PlaneWalk walk;
  uint64_t tile;
  uint8_t* codes;
};

// codes * 3 + digit, for each digit of one vector.
TRIT_INLINE void fold_vector(const uint8_t* vector, bool first, __m512i codes[kTritsPerByte]) {
  const __m512i mask = _mm512_set1_epi8(3);
  const Digits d = decode(vector);
  const __m512i digit[kTritsPerByte] = {
      _mm512_and_si512(d.low, mask), _mm512_and_si512(_mm512_srli_epi16(d.low, 2), mask),
      _mm512_and_si512(_mm512_srli_epi16(d.low, 4), mask),
      _mm512_and_si512(_mm512_srli_epi16(d.low, 6), mask),
      // 81 = 0101'0001b, 162 = 1010'0010b, 243 = 1111'0011b: the low two bits are u4.
      _mm512_and_si512(d.top, mask)};
  TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) {
    const __m512i triple = _mm512_add_epi8(codes[j], _mm512_add_epi8(codes[j], codes[j]));
    codes[j] = first ? digit[j] : _mm512_add_epi8(triple, digit[j]);
  }
}

template <uint32_t kTiles>
static void unpack_strip(const Strip& s) {
  uint8_t* out = s.codes;
  for (uint32_t part = 0; part < s.walk.parts; ++part)
    for (uint64_t v = 0; v < s.walk.row_vectors; ++v, out += kTiles * kVectorCodes)
      TRIT_UNROLL for (uint32_t i = 0; i < kTiles; ++i) {
        const uint64_t at = ((s.tile + i) * s.walk.row_vectors + v) * kVectorBytes;
        __m512i codes[kTritsPerByte] = {};
        for (uint32_t p = part; p < part + s.walk.part_planes; ++p)
          fold_vector(s.w->digits[p] + at, p == part, codes);
        TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j)
            _mm512_store_si512(out + (j * kTiles + i) * kVectorBytes, codes[j]);
      }
}

// kTokens tokens times a strip: every code register is used kTokens times, every activation kTiles
// times.
template <uint32_t kTiles, uint32_t kTokens>
static void multiply_strip(const Strip& s, const QuantizedActivations* x, uint64_t token, float* y,
                           size_t y_stride) {
  const PlaneWalk& walk = s.walk;
  const int8_t* x_codes = x->codes + token * x->code_stride;
  __m512 acc[kTokens][kTiles];
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
      TRIT_UNROLL for (uint32_t i = 0; i < kTiles; ++i) acc[t][i] = _mm512_setzero_ps();
  for (uint32_t g = 0; g < walk.groups; ++g)
    for (uint32_t part = 0; part < walk.parts; ++part) {
      const uint64_t first = first_vector(walk, g);
      const uint8_t* codes = s.codes + (part * walk.row_vectors + first) * (kTiles * kVectorCodes);
      const int8_t* in = x_codes + first * kVectorCols;
      __m512i sum[kTokens][kTiles];
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
          TRIT_UNROLL for (uint32_t i = 0; i < kTiles; ++i) sum[t][i] = _mm512_setzero_si512();
      const uint32_t steps = vectors_of(walk, g) * kTritsPerByte;
      for (uint32_t k = 0; k < steps; ++k, codes += kTiles * kVectorBytes, in += 4) {
        __m512i weights[kTiles];
        TRIT_UNROLL for (uint32_t i = 0; i < kTiles; ++i) weights[i] =
            _mm512_load_si512(codes + i * kVectorBytes);
        TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
            TRIT_UNROLL for (uint32_t i = 0; i < kTiles; ++i) sum[t][i] =
                add_dot(sum[t][i], weights[i], in + t * x->code_stride);
      }
      TRIT_UNROLL for (uint32_t i = 0; i < kTiles; ++i) {
        const __m512 scale = load_scales(s.w, walk, part, s.tile + i, g);
        TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) {
          const size_t at = (token + t) * x->groups + g;
          acc[t][i] = add_scaled(acc[t][i], sum[t][i], walk, x->sums[at], scale, x->scales[at]);
        }
      }
    }
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
      TRIT_UNROLL for (uint32_t i = 0; i < kTiles; ++i)
          _mm512_mask_storeu_ps(y + (token + t) * y_stride + (s.tile + i) * kTileRows,
                                row_mask(s.w, s.tile + i), acc[t][i]);
}

template <uint32_t kTiles>
static void gemm_strip(const Strip& s, const QuantizedActivations* x, uint32_t n_tokens, float* y,
                       size_t y_stride) {
  unpack_strip<kTiles>(s);
  uint64_t t = 0;
  for (; t + 8 <= n_tokens; t += 8) multiply_strip<kTiles, 8>(s, x, t, y, y_stride);
  for (; t + 4 <= n_tokens; t += 4) multiply_strip<kTiles, 4>(s, x, t, y, y_stride);
  for (; t < n_tokens; ++t) multiply_strip<kTiles, 1>(s, x, t, y, y_stride);
}

static void trit_gemm(const TritView* w, const QuantizedActivations* x, uint32_t n_tokens,
                      uint32_t tile_begin, uint32_t tile_end, float* y, size_t y_stride,
                      void* scratch) {
  Strip s = {w, plane_walk(w), tile_begin, static_cast<uint8_t*>(scratch)};
  for (; s.tile + kStripTiles <= tile_end; s.tile += kStripTiles)
    gemm_strip<kStripTiles>(s, x, n_tokens, y, y_stride);
  for (; s.tile < tile_end; ++s.tile) gemm_strip<1>(s, x, n_tokens, y, y_stride);
}

}  // namespace avx512vbmi

void install_avx512vbmi(KernelTable* table) {
  avx512vbmi::install_f32_ops(table);
  table->trit_gemv = avx512vbmi::trit_gemv;
  table->trit_gemm = avx512vbmi::trit_gemm;
}

}  // namespace trit

TRIT_TARGET_END
#endif  // TRIT_X86
