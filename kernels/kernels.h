// The kernel table: every computation whose speed depends on the CPU, as pure functions over raw
// pointers and ranges. No threads, no allocation, no I/O, no C++ library: rooms above decide who
// computes which range. Scalar fills every entry, better instruction sets paint over what they
// improve (dispatch.cc), and every level gives the same bits as scalar: integer sums are exact,
// float sums have a fixed order, and where a product and its sum are rounded together is written
// here, not left to the compiler.
//
// Contracts common to all entries: input and output ranges do not overlap unless said; a kernel
// writes only the elements named in its range; results for one row or token depend neither on how
// ranges are cut nor on how many tokens are passed at once (so threads and prefill chunks cannot
// change bits); non-finite input gives the same defined bits everywhere and never traps (but which
// NaN a result is, is defined only for the f16 conversions).
#ifndef TRITSTACK_KERNELS_KERNELS_H_
#define TRITSTACK_KERNELS_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/head_cache.h"
#include "kernels/trit_plane.h"

namespace trit {

// Int8 inputs of n_tokens tokens for one (cols, group) cut: the same cut as the planes.
// Codes of a token: row_vectors(cols, group) * 20 bytes in vector order, padding columns 0.
struct QuantizedActivations {
  int8_t* codes;        // token t at codes + t * code_stride
  float* scales;        // group g of token t at g * group_stride + t: value = code * scale
  int32_t* sums;        // likewise: sum of the codes of the group
  size_t code_stride;   // >= row_vectors * 20, a multiple of 64
  size_t group_stride;  // >= group_stride_of(n_tokens)
};

// Tokens from a multiple of this on whose scales of a group may be read together.
constexpr uint32_t kTokenBlock = 8;
static inline size_t group_stride_of(uint64_t n_tokens) {
  return n_tokens == 1 ? 1 : ceil_div(n_tokens, kTokenBlock) * kTokenBlock;
}

// Floats of scratch for prefill_attention: n_queries of all tokens together, the last of which sees
// n_positions positions.
static inline uint64_t prefill_attention_floats(uint64_t n_queries, uint64_t n_positions,
                                                uint32_t head_dim) {
  return (2 * n_queries + kKeyRun) * ceil_div(head_dim, 16) * 16 +
         n_queries * padded_positions(n_positions);
}

constexpr uint32_t kPanelBytes = 64;  // of a row of a panel: see panel_products

struct KernelTable {
  const char* isa;  // the level that painted last: "scalar", "avx2", "avx512vbmi", ...

  // Token number `token` of `out`: for each group, amax = max |x|, at least min_amax; scale = amax
  // / 127; code = round half to even of x * (127 / amax), clamped to [-127, 127]. amax 0 gives
  // codes and scale 0. NaN counts as 0 for amax and gives code 0. x: [cols].
  void (*quantize_activations)(const float* x, uint32_t cols, uint32_t group, float min_amax,
                               const QuantizedActivations* out, uint32_t token);

  // y = W x for token 0, rows of tiles [tile_begin, tile_end), rows past w->rows not written.
  // Per row, acc (f32) starts at 0, then groups in order:
  //   tied, native:  n = sum_p 3^(planes-1-p) * (digits_p . codes)
  //                  acc = f32(n) * (scale * prefix_factor * sx) + acc
  //   free:          for each plane p in order: acc = f32(digits_p . codes) * (scale_p * sx) + acc
  // The integers are int32 (they wrap, at sizes that no model has); f32(n) rounds to nearest even;
  // products in parentheses are formed first, left to right; product and sum are rounded together.
  // y: [rows], indexed by absolute row.
  void (*trit_gemv)(const TritView* w, const QuantizedActivations* x, uint32_t tile_begin,
                    uint32_t tile_end, float* y);

  // The same for n_tokens tokens at once: y[t * y_stride + row], bit-identical to trit_gemv per
  // token. scratch: gemm_scratch_bytes(w) bytes, aligned to 64, one per calling thread.
  void (*trit_gemm)(const TritView* w, const QuantizedActivations* x, uint32_t n_tokens,
                    uint32_t tile_begin, uint32_t tile_end, float* y, size_t y_stride,
                    void* scratch);

  // Dense rows [row_begin, row_end) of a row-major matrix (f32 or bf16) times n_tokens f32 inputs:
  // y[t * y_stride + row] = dot(w row, x + t * x_stride). See the fixed order at `dot`.
  void (*dense_gemm)(const void* w, Encoding type, uint32_t cols, const float* x, size_t x_stride,
                     uint32_t n_tokens, uint32_t row_begin, uint32_t row_end, float* y,
                     size_t y_stride);

  // Fixed-order dot: lane l of 16 sums a[i] * b[i] for i = l, l + 16, ..., each product and sum
  // rounded once, together; the lanes are then added as a tree: l += l + 8, l + 4, l + 2, l + 1.
  float (*dot)(const float* a, const float* b, uint32_t n);

  // A product of matrices, one panel of `width` columns of it, kPanelBytes: for i < rows and
  // j < cols <= width, sums[i * sums_stride + j] += s, where s begins at 0 and takes the products
  // a[i * a_row + t * a_step] * b[t * width + j], t < n, one by one.
  void (*panel_products)(const float* a, size_t a_row, size_t a_step, const float* b, uint32_t n,
                         uint32_t rows, uint32_t cols, float* sums, size_t sums_stride);
  void (*panel_products_f64)(const double* a, size_t a_row, size_t a_step, const double* b,
                             uint32_t n, uint32_t rows, uint32_t cols, double* sums,
                             size_t sums_stride);

  // out = x * (1 / sqrt(mean(x^2) + eps)) * weight. The sum of squares as `dot`. out may be x.
  void (*rmsnorm)(const float* x, const float* weight, uint32_t n, float eps, float* out);

  // Half-split rotation in place: for i < half, with cos[i], sin[i]:
  // (a, b) = (x[i], x[i + half]) becomes (a * cos - b * sin, b * cos + a * sin).
  void (*rope)(float* x, const float* cos, const float* sin, uint32_t half);

  void (*add_multiple)(float* x, float factor, const float* y, uint32_t n);  // x += factor * y
  void (*multiply)(float* x, float factor, uint32_t n);                      // x *= factor

  // gate = act(gate) * up, act = x / (1 + exp(-x)) or max(x, 0)^2. NaN stays NaN.
  void (*silu_mul)(float* gate, const float* up, uint32_t n);
  void (*relu2_mul)(float* gate, const float* up, uint32_t n);

  // In place: max, exp(x - max), sum over 16 fixed lanes and the tree of `dot`, then each times
  // 1 / sum. -inf gives 0; NaN anywhere, or nothing but -inf, gives NaN everywhere. n >= 1.
  void (*softmax)(float* x, uint32_t n);

  // The query heads that share one kv head over positions [0, n_positions), each by itself:
  // out = softmax((q * scale) . k) v. Dot products are summed in the order of dimensions, weighted
  // values in that of positions, each product and sum rounded together. query, out:
  // [n_queries][head_dim]. scores: scratch of n_queries * n_positions floats.
  void (*attention)(const float* query, uint32_t n_queries, const HeadCache* cache,
                    uint32_t head_dim, uint32_t n_positions, float scale, float* scores,
                    float* out);

  // `attention` for n_tokens tokens in a row, of which the first sees n_positions positions and
  // each next one more. Those of token t begin t * token_stride floats after query and out.
  // scratch: prefill_attention_floats() floats.
  void (*prefill_attention)(const float* query, size_t token_stride, uint32_t n_tokens,
                            uint32_t n_queries, const HeadCache* cache, uint32_t head_dim,
                            uint32_t n_positions, float scale, float* scratch, float* out);

  // n values to cache_bytes(kQ8, n): scale = f16(amax / 127), at most 65504; code = half-even
  // rounding of x * (1 / scale), clamped to [-127, 127]. NaN counts as 0.
  void (*f32_to_q8)(const float* x, uint32_t n, uint8_t* out);
  void (*f32_to_f16)(const float* x, uint32_t n, uint16_t* out);  // nearest even; overflow to inf
  void (*f16_to_f32)(const uint16_t* x, uint32_t n, float* out);
};

// Scratch that trit_gemm needs for this matrix, per thread (the same for every level).
size_t gemm_scratch_bytes(const TritView* w);

// The levels this build and this CPU (and its operating system) can run, slowest first; the names
// are those of TRIT_ISA: scalar avx2 avxvnni avx512 avx512vnni avx512vbmi neon dotprod i8mm.
// `count` receives how many. The array and its strings are static.
const char* const* available_isas(uint32_t* count);

// The table of one level, NULL when `isa` is not among available_isas(). Thread-safe.
const KernelTable* kernels_for(const char* isa);

// The best level, or the one TRIT_ISA names; NULL when TRIT_ISA names one that is not available.
// Chosen at the first call, then fixed. Thread-safe.
const KernelTable* default_kernels();

}  // namespace trit

#endif  // TRITSTACK_KERNELS_KERNELS_H_
