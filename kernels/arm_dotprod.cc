// The level dotprod: Armv8.2 with sdot (Cortex-A55, A76 and later, Apple M1). One sdot adds to each
// of 4 rows the products of its 4 codes with 4 activations, taken from a lane of a register that
// holds 16.
#include "kernels/target.h"
#if TRIT_ARM_REGIONS
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "kernels/plane_walk.h"

TRIT_TARGET_BEGIN("arch=armv8.2-a+dotprod")

namespace trit {
namespace dotprod {

#include "kernels/arm_trits.inl"

namespace {

// 64 unpacked codes times the activations in lane kLane of each token's register.
template <uint32_t kTokens, int kLane>
TRIT_INLINE void add_step(const int8_t* codes, const int8x16_t in[kTokens],
                          int32x4_t sums[kTokens][kQuarters]) {
  TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) {
    const int8x16_t weights = vld1q_s8(codes + q * kQuarterBytes);
    TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) sums[t][q] =
        vdotq_laneq_s32(sums[t][q], weights, in[t], kLane);
  }
}

struct Dotprod {
  static constexpr uint32_t kBlock = 4;

  TRIT_INLINE void add_plane(const Tables& tables, const uint8_t* bytes, const int8_t* x,
                             uint32_t vectors, int32x4_t sums[kQuarters]) {
    for (uint32_t v = 0; v < vectors; ++v, bytes += kVectorBytes, x += kVectorCols) {
      __builtin_prefetch(bytes + kPrefetchBytes);
      const int8x16_t in = vld1q_s8(x), last = broadcast(x + 16);
      TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) {
        const Digits d = decode(tables, bytes + q * kQuarterBytes);
        sums[q] = vdotq_laneq_s32(sums[q], d.of[0], in, 0);
        sums[q] = vdotq_laneq_s32(sums[q], d.of[1], in, 1);
        sums[q] = vdotq_laneq_s32(sums[q], d.of[2], in, 2);
        sums[q] = vdotq_laneq_s32(sums[q], d.of[3], in, 3);
        sums[q] = vdotq_s32(sums[q], d.of[4], last);
      }
    }
  }

  template <uint32_t kTokens>
  TRIT_INLINE void dot_codes(const int8_t* codes, uint32_t, const int8_t* x, size_t x_stride,
                             uint32_t vectors, int32x4_t sums[kTokens][kQuarters]) {
    for (uint32_t v = 0; v < vectors; ++v, codes += kVectorCodes, x += kVectorCols) {
      int8x16_t in[kTokens];
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) in[t] = vld1q_s8(x + t * x_stride);
      add_step<kTokens, 0>(codes, in, sums);
      add_step<kTokens, 1>(codes + kVectorBytes, in, sums);
      add_step<kTokens, 2>(codes + 2 * kVectorBytes, in, sums);
      add_step<kTokens, 3>(codes + 3 * kVectorBytes, in, sums);
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) in[t] = broadcast(x + t * x_stride + 16);
      add_step<kTokens, 0>(codes + 4 * kVectorBytes, in, sums);
    }
  }

  TRIT_INLINE void arrange(const Strip&) {}
};

}  // namespace

static void trit_gemv(const TritView* w, const QuantizedActivations* x, uint32_t tile_begin,
                      uint32_t tile_end, float* y) {
  gemv<Dotprod>(w, x, tile_begin, tile_end, y);
}
static void trit_gemm(const TritView* w, const QuantizedActivations* x, uint32_t n_tokens,
                      uint32_t tile_begin, uint32_t tile_end, float* y, size_t y_stride,
                      void* scratch) {
  gemm<Dotprod>(w, x, n_tokens, tile_begin, tile_end, y, y_stride, scratch);
}

}  // namespace dotprod

void install_dotprod(KernelTable* table) {
  table->trit_gemv = dotprod::trit_gemv;
  table->trit_gemm = dotprod::trit_gemm;
}

}  // namespace trit

TRIT_TARGET_END
#endif  // TRIT_ARM_REGIONS
