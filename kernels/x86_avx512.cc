// The levels of 64-byte registers: avx512 (F, BW, VL: Skylake-X), avx512vnni (Cascade Lake) and
// avx512vbmi (both of VNNI and VBMI: Ice Lake, Zen 4 and later). A vector of the layout is one
// register: each of its 16 lanes of 4 bytes is a row of the tile.
//
// With VBMI a register b of bytes u0 + 3 u1 + 9 u2 + 27 u3 + 81 u4 comes apart by one table of 128:
//
//   r = min(b, b - 162); r = min(r, r - 81)     bytes wrap, so min keeps the one not negative
//   top = b - r                                 81 u4
//   low = table[r]                              vpermi2b: bits  u3 u3 u2 u2 u1 u1 u0 u0
//
// 81 u4 and low & 3, & 12, & 48, & 192 go into vpdpbusd without a shift, each digit into its own
// sum; the factors 81, 1, 4, 16, 64 are divided out of the sums.
#include "kernels/target.h"
#if TRIT_X86
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "kernels/plane_walk.h"

namespace trit {

TRIT_TARGET_BEGIN("avx2,f16c,fma,avx512f,avx512bw,avx512vl")
namespace zmm {

typedef float f32v __attribute__((vector_size(64)));
typedef uint8_t u8v __attribute__((vector_size(64), may_alias));
typedef uint16_t words __attribute__((vector_size(64)));

TRIT_INLINE f32v load_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
TRIT_INLINE void store_f16(f32v x, uint16_t* out) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                      _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
TRIT_INLINE f32v load_i8(const int8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
TRIT_INLINE f32v load_bf16(const uint16_t* p) {
  const __m512i bits =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return (f32v)_mm512_slli_epi32(bits, 16);
}
TRIT_INLINE f32v multiply_add(f32v a, f32v b, f32v c) {
  return _mm512_fmadd_ps(a, b, c);
}

constexpr uint32_t kQueriesAtOnce = 4;
#include "kernels/f32_ops.inl"

TRIT_INLINE words multiply_high(words a, uint16_t b) {
  return (words)_mm512_mulhi_epu16((__m512i)a, (__m512i)(words{} + b));
}
TRIT_INLINE __m512i table_of(const uint8_t* table) {
  return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(table)));
}
TRIT_INLINE u8v look_up(const uint8_t* table, u8v index) {
  return (u8v)_mm512_shuffle_epi8(table_of(table), (__m512i)index);
}
TRIT_INLINE u8v look_up_32(const uint8_t* table, u8v index) {
  const __mmask64 above = _mm512_cmpge_epu8_mask((__m512i)index, _mm512_set1_epi8(16));
  const __m512i below = _mm512_shuffle_epi8(table_of(table), (__m512i)index);
  return (u8v)_mm512_mask_shuffle_epi8(below, above, table_of(table + 16), (__m512i)index);
}
TRIT_INLINE words multiply_pairs(u8v codes, i32v x) {
  return (words)_mm512_maddubs_epi16((__m512i)codes, (__m512i)x);
}
TRIT_INLINE i32v add_pairs(words sum) {
  return (i32v)_mm512_madd_epi16((__m512i)sum, _mm512_set1_epi16(1));
}

constexpr uint32_t kTokensAtOnce = 8, kFewTokens = 6;

}  // namespace zmm

namespace avx512 {
using namespace zmm;
#include "kernels/x86_digits.inl"
#include "kernels/x86_maddubs.inl"

// Factors 1, 4 and, apart, 4:
//   u0, u2, u3            4 u1            4 u4 (8 vectors fit even when bytes are malformed:
//                                          4 * 3 * 128 * 2 * 8 = 24576)
constexpr uint32_t kSums = 3, kMaxVectors = 8;
constexpr uint32_t kSumOf[kTritsPerByte] = {0, 1, 0, 0, 2};

TRIT_INLINE u8v operand(const Digits& d, uint32_t j) {
  if (j == 2) return shifted(d.low, 4);
  const uint8_t mask = j == 0 || j == 3 ? 3 : 12;
  return (j < 2 ? d.low : d.high) & mask;
}
TRIT_INLINE i32v total(const Sum s[kSums]) {
  return add_pairs(s[0]) + ((add_pairs(s[1]) + add_pairs(s[2])) >> 2);
}
#include "kernels/x86_plane_sums.inl"
#include "kernels/x86_products.inl"
}  // namespace avx512
TRIT_TARGET_END

TRIT_TARGET_BEGIN("avx2,f16c,fma,avx512f,avx512bw,avx512vl,avx512vnni")
namespace avx512vnni {
using namespace zmm;
TRIT_INLINE i32v add_dot(i32v sum, u8v codes, i32v x) {
  return (i32v)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, (__m512i)x);
}
#include "kernels/x86_digits.inl"
#include "kernels/x86_dpbusd.inl"
#include "kernels/x86_plane_sums.inl"
#include "kernels/x86_products.inl"
}  // namespace avx512vnni
TRIT_TARGET_END

TRIT_TARGET_BEGIN("avx2,f16c,fma,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")
namespace avx512vbmi {
using namespace zmm;

struct Digits {
  u8v low, top;  // u0 to u3 in two bits each; 81 u4
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
  __m512i b = _mm512_loadu_si512(vector);
  __asm__("" : "+v"(b));  // one load: GCC would fold three into what uses it
  __m512i r = _mm512_min_epu8(b, _mm512_sub_epi8(b, _mm512_set1_epi8(static_cast<char>(162))));
  r = _mm512_min_epu8(r, _mm512_sub_epi8(r, _mm512_set1_epi8(81)));
  return {(u8v)_mm512_permutex2var_epi8(_mm512_load_si512(kLowDigits.of), r,
                                        _mm512_load_si512(kLowDigits.of + 64)),
          (u8v)_mm512_sub_epi8(b, r)};
}
TRIT_INLINE u8v digit(const Digits& d, uint32_t j) {
  // 81 = 0101'0001b, 162 = 1010'0010b, 243 = 1111'0011b: the low two bits are u4.
  return (j < 4 ? (u8v)((words)d.low >> static_cast<int>(2 * j)) : d.top) & 3;
}

#include "kernels/x86_int32_sums.inl"

constexpr uint32_t kSums = 5, kMaxVectors = 32;
constexpr uint32_t kSumOf[kTritsPerByte] = {0, 1, 2, 3, 4};

TRIT_INLINE u8v operand(const Digits& d, uint32_t j) {
  const uint8_t mask = static_cast<uint8_t>(3 << 2 * j);
  return j < 4 ? d.low & mask : d.top;
}
TRIT_INLINE i32v total(const Sum s[kSums]) {
  const int32_t inverse = 0x781948b1;  // of 81, modulo 2^32
  return (s[0] + (s[1] >> 2)) + ((s[2] >> 4) + (s[3] >> 6)) +
         (i32v)((u32v)s[4] * (uint32_t)inverse);
}
TRIT_INLINE Sum add_dot(Sum sum, u8v codes, i32v x) {
  return (Sum)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, (__m512i)x);
}
#include "kernels/x86_plane_sums.inl"
#include "kernels/x86_products.inl"
}  // namespace avx512vbmi
TRIT_TARGET_END

void install_avx512(KernelTable* table) {
  zmm::install_f32_ops(table);
  avx512::install_products(table);
}
void install_avx512vnni(KernelTable* table) {
  avx512vnni::install_products(table);
}
void install_avx512vbmi(KernelTable* table) {
  avx512vbmi::install_products(table);
}

}  // namespace trit

#endif  // TRIT_X86
