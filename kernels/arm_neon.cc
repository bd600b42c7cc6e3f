// The level neon: every 64-bit Arm (ARMv8.0: Cortex-A53, A72 and later). No instruction sums
// products of bytes, so smlal adds them up in int16, one sum per byte of a row, and pairs are added
// when the sums are widened.
#include "kernels/target.h"
#if TRIT_ARM
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "kernels/plane_walk.h"

namespace trit {
namespace neon {

typedef float f32v __attribute__((vector_size(16)));

TRIT_INLINE f32v load_f16(const uint16_t* p) {
  return (f32v)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
TRIT_INLINE void store_f16(f32v x, uint16_t* out) {
  vst1_u16(out, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)x)));
}
TRIT_INLINE f32v load_i8(const int8_t* p) {
  int32_t bytes;
  memcpy(&bytes, p, sizeof(bytes));
  const int16x8_t words = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(bytes)));
  return (f32v)vcvtq_f32_s32(vmovl_s16(vget_low_s16(words)));
}
TRIT_INLINE f32v load_bf16(const uint16_t* p) {
  return (f32v)vshll_n_u16(vld1_u16(p), 16);
}
TRIT_INLINE f32v multiply_add(f32v a, f32v b, f32v c) {
  return (f32v)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

#include "kernels/arm_trits.inl"
constexpr uint32_t kQueriesAtOnce = 4;
#include "kernels/f32_ops.inl"

namespace {

// int16 sums of a quarter: rows 0 and 1, rows 2 and 3, one sum per byte of a row.
struct ByteSums {
  int16x8_t low, high;
};

TRIT_INLINE void add_codes(ByteSums* s, int8x16_t codes, int8x16_t x) {
  s->low = vmlal_s8(s->low, vget_low_s8(codes), vget_low_s8(x));
  s->high = vmlal_high_s8(s->high, codes, x);
}
TRIT_INLINE int32x4_t widen(const ByteSums& s) {
  return vpaddq_s32(vpaddlq_s16(s.low), vpaddlq_s16(s.high));
}

// Vectors that int16 has room for: inputs reach -128, the digits of a byte position the largest
// code and once in a vector, where the byte is malformed, twice that.
TRIT_INLINE uint32_t max_run(uint32_t largest_code) {
  return 32767 / ((kTritsPerByte + 1) * 128 * largest_code);
}

struct Neon {
  static constexpr uint32_t kBlock = 2;

  TRIT_INLINE void add_plane(const Tables& tables, const uint8_t* bytes, const int8_t* x,
                             uint32_t vectors, int32x4_t sums[kQuarters]) {
    while (vectors > 0) {
      const uint32_t run = vectors < max_run(1) ? vectors : max_run(1);
      ByteSums s[kQuarters] = {};
      for (uint32_t v = 0; v < run; ++v, bytes += kVectorBytes, x += kVectorCols) {
        __builtin_prefetch(bytes + kPrefetchBytes);
        TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) {
          const Digits d = decode(tables, bytes + q * kQuarterBytes);
          TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j)
              add_codes(&s[q], d.of[j], broadcast(x + j * 4));
        }
      }
      TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) sums[q] =
          vaddq_s32(sums[q], widen(s[q]));
      vectors -= run;
    }
  }

  template <uint32_t kTokens>
  TRIT_INLINE void dot_codes(const int8_t* codes, uint32_t largest_code, const int8_t* x,
                             size_t x_stride, uint32_t vectors,
                             int32x4_t sums[kTokens][kQuarters]) {
    const uint32_t limit = max_run(largest_code);
    while (vectors > 0) {
      const uint32_t run = vectors < limit ? vectors : limit;
      ByteSums s[kTokens][kQuarters] = {};
      for (uint32_t k = 0; k < run * kTritsPerByte; ++k, codes += kVectorBytes, x += 4)
        TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) {
          const int8x16_t in = broadcast(x + t * x_stride);
          TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q)
              add_codes(&s[t][q], vld1q_s8(codes + q * kQuarterBytes), in);
        }
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
          TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) sums[t][q] =
              vaddq_s32(sums[t][q], widen(s[t][q]));
      vectors -= run;
    }
  }

  TRIT_INLINE void arrange(const Strip&) {}
};

}  // namespace

static void trit_gemv(const TritView* w, const QuantizedActivations* x, uint32_t tile_begin,
                      uint32_t tile_end, float* y) {
  gemv<Neon>(w, x, tile_begin, tile_end, y);
}
static void trit_gemm(const TritView* w, const QuantizedActivations* x, uint32_t n_tokens,
                      uint32_t tile_begin, uint32_t tile_end, float* y, size_t y_stride,
                      void* scratch) {
  gemm<Neon>(w, x, n_tokens, tile_begin, tile_end, y, y_stride, scratch);
}

}  // namespace neon

void install_neon(KernelTable* table) {
  neon::install_f32_ops(table);
  table->trit_gemv = neon::trit_gemv;
  table->trit_gemm = neon::trit_gemm;
}

}  // namespace trit

#endif  // TRIT_ARM
