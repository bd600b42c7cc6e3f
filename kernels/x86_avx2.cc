// The levels of 32-byte registers: avx2 (with F16C and FMA: Haswell, Zen and later) and avxvnni,
// which adds dpbusd (Alder Lake, Zen 5 and later). A register holds half a vector of the layout: 8
// lanes of 4 bytes are 8 rows of the tile.
#include "kernels/target.h"
#if TRIT_X86
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "kernels/plane_walk.h"

namespace trit {

TRIT_TARGET_BEGIN("avx2,f16c,fma")
namespace ymm {

typedef float f32v __attribute__((vector_size(32)));
typedef uint8_t u8v __attribute__((vector_size(32), may_alias));
typedef uint16_t words __attribute__((vector_size(32)));

TRIT_INLINE f32v load_f16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
TRIT_INLINE void store_f16(f32v x, uint16_t* out) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
TRIT_INLINE f32v load_i8(const int8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
TRIT_INLINE f32v load_bf16(const uint16_t* p) {
  const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return (f32v)_mm256_slli_epi32(bits, 16);
}
TRIT_INLINE f32v multiply_add(f32v a, f32v b, f32v c) {
  return _mm256_fmadd_ps(a, b, c);
}

constexpr uint32_t kQueriesAtOnce = 4;
#include "kernels/f32_ops.inl"

TRIT_INLINE words multiply_high(words a, uint16_t b) {
  return (words)_mm256_mulhi_epu16((__m256i)a, (__m256i)(words{} + b));
}
TRIT_INLINE u8v look_up(const uint8_t* table, u8v index) {
  const __m128i entries = _mm_load_si128(reinterpret_cast<const __m128i*>(table));
  return (u8v)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), (__m256i)index);
}
// vpshufb gives 0 where bit 7 of the index is set: here for index >= 16 and for index < 16.
TRIT_INLINE u8v look_up_32(const uint8_t* table, u8v index) {
  return look_up(table, index + 0x70) | look_up(table + 16, index - 16);
}
TRIT_INLINE u8v minimum(u8v a, u8v b) {
  return (u8v)_mm256_min_epu8((__m256i)a, (__m256i)b);
}
TRIT_INLINE words multiply_pairs(u8v codes, i32v x) {
  return (words)_mm256_maddubs_epi16((__m256i)codes, (__m256i)x);
}
TRIT_INLINE i32v add_pairs(words sum) {
  return (i32v)_mm256_madd_epi16((__m256i)sum, _mm256_set1_epi16(1));
}

#include "kernels/x86_digits.inl"

constexpr uint32_t kTokensAtOnce = 4, kFewTokens = 2;

}  // namespace ymm

namespace avx2 {
using namespace ymm;
#include "kernels/x86_folded_sums.inl"
#include "kernels/x86_maddubs.inl"
#include "kernels/x86_products.inl"
}  // namespace avx2
TRIT_TARGET_END

TRIT_TARGET_BEGIN("avx2,f16c,fma,avxvnni")
namespace avxvnni {
using namespace ymm;
#include "kernels/x86_dpbusd.inl"
TRIT_INLINE Sum add_dot(Sum sum, u8v codes, i32v x) {
  return (Sum)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)codes, (__m256i)x);
}
#include "kernels/x86_plane_sums.inl"
#include "kernels/x86_products.inl"
}  // namespace avxvnni
TRIT_TARGET_END

void install_avx2(KernelTable* table) {
  ymm::install_f32_ops(table);
  avx2::install_products(table);
}
void install_avxvnni(KernelTable* table) {
  avxvnni::install_products(table);
}

}  // namespace trit

#endif  // TRIT_X86
