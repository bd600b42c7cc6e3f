// The level i8mm: Armv8.6 or 8.2 with smmla (Neoverse V1, N2, Cortex-A510, X2, Apple M2 and later).
// One smmla adds the products of 2 rows with 2 tokens over 8 columns, twice the work of sdot, so it
// takes over trit_gemm. Its registers hold 8 columns of a row: two steps (of 4 columns) side by
// side.
#include "kernels/target.h"
#if TRIT_ARM_REGIONS
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "kernels/plane_walk.h"

TRIT_TARGET_BEGIN("arch=armv8.2-a+dotprod+i8mm")

namespace trit {
namespace i8mm {

#include "kernels/arm_trits.inl"

namespace {

constexpr uint32_t kRowPairs = kTileRows / 2;

// 4 rows of two steps, 4 columns each, as two registers of 2 rows by 8 columns.
TRIT_INLINE int8x16x2_t pair_up(int8x16_t first, int8x16_t second) {
  const int32x4_t a = vreinterpretq_s32_s8(first), b = vreinterpretq_s32_s8(second);
  return {{vreinterpretq_s8_s32(vzip1q_s32(a, b)), vreinterpretq_s8_s32(vzip2q_s32(a, b))}};
}

// The activations of two tokens for a pair of steps, and for a step paired with zeros.
TRIT_INLINE int8x16_t load_tokens(const int8_t* first, const int8_t* second) {
  return vcombine_s8(vld1_s8(first), vld1_s8(second));
}
TRIT_INLINE int8x16_t load_odd_tokens(const int8_t* first, const int8_t* second) {
  return vcombine_s8(vcreate_s8(static_cast<uint32_t>(load_dword(first))),
                     vcreate_s8(static_cast<uint32_t>(load_dword(second))));
}

struct I8mm {
  static constexpr uint32_t kBlock = 4;

  // Pairs the steps of each group, in place; the last of an odd number stays as it is.
  TRIT_INLINE void arrange(const Strip& s) {
    for (uint32_t part = 0; part < s.walk.parts; ++part)
      for (uint32_t g = 0; g < s.walk.groups; ++g) {
        int8_t* codes = group_codes(s, part, g);
        const uint32_t steps = vectors_of(s.walk, g) * kTritsPerByte;
        for (uint32_t k = 0; k + 2 <= steps; k += 2, codes += 2 * kVectorBytes) {
          int8x16x2_t pairs[kQuarters];
          TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) pairs[q] =
              pair_up(vld1q_s8(codes + q * kQuarterBytes),
                      vld1q_s8(codes + kVectorBytes + q * kQuarterBytes));
          TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) {
            vst1q_s8(codes + 2 * q * kQuarterBytes, pairs[q].val[0]);
            vst1q_s8(codes + (2 * q + 1) * kQuarterBytes, pairs[q].val[1]);
          }
        }
      }
  }

  // A block is 2 rows times 2 tokens: lanes row 0 with tokens 0 and 1, row 1 with tokens 0 and 1.
  template <uint32_t kTokens>
  TRIT_INLINE void dot_codes(const int8_t* codes, uint32_t, const int8_t* x, size_t x_stride,
                             uint32_t vectors, int32x4_t sums[kTokens][kQuarters]) {
    constexpr uint32_t kTokenPairs = (kTokens + 1) / 2;
    const size_t next = kTokens > 1 ? x_stride : 0;  // a lone token is its own neighbour
    const uint32_t steps = vectors * kTritsPerByte;
    int32x4_t blocks[kTokenPairs][kRowPairs] = {};
    for (uint32_t k = 0; k + 2 <= steps; k += 2, codes += 2 * kVectorBytes, x += 8) {
      int8x16_t in[kTokenPairs];
      TRIT_UNROLL for (uint32_t p = 0; p < kTokenPairs; ++p) in[p] =
          load_tokens(x + 2 * p * x_stride, x + 2 * p * x_stride + next);
      TRIT_UNROLL for (uint32_t r = 0; r < kRowPairs; ++r)
          TRIT_UNROLL for (uint32_t p = 0; p < kTokenPairs; ++p) blocks[p][r] =
              vmmlaq_s32(blocks[p][r], vld1q_s8(codes + r * kQuarterBytes), in[p]);
    }
    if (steps % 2)
      for (uint32_t q = 0; q < kQuarters; ++q) {
        const int8x16x2_t weights = pair_up(vld1q_s8(codes + q * kQuarterBytes), vdupq_n_s8(0));
        for (uint32_t p = 0; p < kTokenPairs; ++p) {
          const int8_t* first = x + 2 * p * x_stride;
          const int8x16_t in = load_odd_tokens(first, first + next);
          blocks[p][2 * q] = vmmlaq_s32(blocks[p][2 * q], weights.val[0], in);
          blocks[p][2 * q + 1] = vmmlaq_s32(blocks[p][2 * q + 1], weights.val[1], in);
        }
      }
    TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
        TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) {
      const int32x4_t a = blocks[t / 2][2 * q], b = blocks[t / 2][2 * q + 1];
      sums[t][q] = t % 2 ? vuzp2q_s32(a, b) : vuzp1q_s32(a, b);
    }
  }
};

}  // namespace

static void trit_gemm(const TritView* w, const QuantizedActivations* x, uint32_t n_tokens,
                      uint32_t tile_begin, uint32_t tile_end, float* y, size_t y_stride,
                      void* scratch) {
  gemm<I8mm>(w, x, n_tokens, tile_begin, tile_end, y, y_stride, scratch);
}

}  // namespace i8mm

void install_i8mm(KernelTable* table) {
  table->trit_gemm = i8mm::trit_gemm;
}

}  // namespace trit

TRIT_TARGET_END
#endif  // TRIT_ARM_REGIONS
