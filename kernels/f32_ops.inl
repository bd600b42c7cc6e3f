// Everything of the kernel table that is float arithmetic: one source, included by each instruction
// set's file inside its target region and namespace. The file says how wide a register is by the
// type f32v, converts with load_f16, store_f16, load_bf16, load_i8, has multiply_add(a, b, c),
// a * b + c rounded once, and kQueriesAtOnce, heads that attend together (1: less code). The
// arithmetic here then has the same bits for every width, because sums run over 16 fixed lanes
// (`Lanes`: one or more registers), or each lane is a sum of its own, and all else is element by
// element. No libm: exp is our own.

namespace {

constexpr uint32_t kLanes = 16;
constexpr uint32_t kPartLanes = sizeof(f32v) / sizeof(float);
constexpr uint32_t kParts = kLanes / kPartLanes;
typedef int32_t i32v __attribute__((vector_size(sizeof(f32v))));
typedef uint32_t u32v __attribute__((vector_size(sizeof(f32v))));
typedef int8_t i8v __attribute__((vector_size(sizeof(f32v) / 4)));

struct Lanes {
  f32v part[kParts];
};
struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

// Into the L2 cache: on a Zen 4 fetches into L1 wait for its 24 miss buffers, which hold one thread
// to 14 GB/s; these do not (20).
TRIT_INLINE void prefetch(const void* p) {
  __builtin_prefetch(p, 0, 2);
}
TRIT_INLINE f32v splat(float x) {
  return x - f32v{};
}
TRIT_INLINE f32v load_part(const float* p) {
  f32v x;
  memcpy(&x, p, sizeof(x));
  return x;
}
TRIT_INLINE f32v load_part(const Bf16* p) {
  return load_bf16(&p->bits);
}
TRIT_INLINE f32v load_part(const F16* p) {
  return load_f16(&p->bits);
}

template <typename T>
TRIT_INLINE Lanes load(const T* p) {
  Lanes x;
  TRIT_UNROLL for (uint32_t i = 0; i < kParts; ++i) x.part[i] = load_part(p + i * kPartLanes);
  return x;
}
// The first n < 16 lanes from memory, never reading past them; the rest `fill`. Tails are rare and
// everywhere, so they are calls.
template <typename T>
__attribute__((noinline)) void load_some(const T* p, uint32_t n, T fill, Lanes* x) {
  T whole[kLanes];
  TRIT_UNROLL for (uint32_t i = 0; i < kLanes; ++i) whole[i] = fill;
  memcpy(whole, p, n * sizeof(T));
  *x = load(whole);
}
// Lanes [i, n) of an array, at most 16.
template <typename T>
TRIT_INLINE Lanes load_at(const T* p, uint32_t i, uint32_t n, T fill = T{}) {
  if (n - i >= kLanes) return load(p + i);
  Lanes x;
  load_some(p + i, n - i, fill, &x);
  return x;
}
TRIT_INLINE void store(float* p, const Lanes& x) {
  memcpy(p, x.part, sizeof(x.part));
}
TRIT_INLINE void store_at(float* p, uint32_t i, uint32_t n, const Lanes& x) {
  if (n - i >= kLanes) return store(p + i, x);
  float whole[kLanes];
  store(whole, x);
  memcpy(p + i, whole, (n - i) * sizeof(float));
}

// acc += a * b, lane by lane, each rounded once.
TRIT_INLINE void add_products(Lanes* acc, const Lanes& a, const Lanes& b) {
  TRIT_UNROLL for (uint32_t i = 0; i < kParts; ++i) acc->part[i] =
      multiply_add(a.part[i], b.part[i], acc->part[i]);
}
TRIT_INLINE Lanes splat_lanes(float x) {
  Lanes all;
  TRIT_UNROLL for (uint32_t i = 0; i < kParts; ++i) all.part[i] = splat(x);
  return all;
}
// The one order in which lanes are added: l += l + 8, l + 4, l + 2, l + 1. The first two steps:
typedef float quad __attribute__((vector_size(16)));
template <typename V>
TRIT_INLINE quad to_quad(const V& x) {
  if constexpr (sizeof(V) == 64)
    return to_quad(__builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
                   __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15));
  else if constexpr (sizeof(V) == 32)
    return __builtin_shufflevector(x, x, 0, 1, 2, 3) + __builtin_shufflevector(x, x, 4, 5, 6, 7);
  else
    return x;
}
TRIT_INLINE f32v add_parts(Lanes x) {
  TRIT_UNROLL for (uint32_t half = kParts / 2; half > 0; half /= 2)
      TRIT_UNROLL for (uint32_t i = 0; i < half; ++i) x.part[i] += x.part[i + half];
  return x.part[0];
}
TRIT_INLINE float add_quad(quad x) {
  return (x[0] + x[2]) + (x[1] + x[3]);
}
TRIT_INLINE float add_lanes(const Lanes& x) {
  return add_quad(to_quad(add_parts(x)));
}
template <int... kLane>
struct LaneList {};
template <int kCount, int... kLane>
struct FirstLanes : FirstLanes<kCount - 1, kCount - 1, kLane...> {};
template <int... kLane>
struct FirstLanes<0, kLane...> {
  typedef LaneList<kLane...> List;
};
template <int kHalf, typename V, int... kLane>
TRIT_INLINE V swap_halves(V x, LaneList<kLane...>) {
  return __builtin_shufflevector(x, x, (kLane ^ kHalf)...);
}
typedef FirstLanes<kPartLanes>::List AllLanes;
TRIT_INLINE f32v larger(f32v a, f32v b) {  // b where either is NaN
  return a > b ? a : b;
}
TRIT_INLINE float max_lanes(Lanes x) {  // none of them NaN
  TRIT_UNROLL for (uint32_t half = kParts / 2; half > 0; half /= 2)
      TRIT_UNROLL for (uint32_t i = 0; i < half; ++i)
          x.part[i] = larger(x.part[i], x.part[i + half]);
  f32v max = x.part[0];
  if constexpr (kPartLanes > 8) max = larger(max, swap_halves<8>(max, AllLanes()));
  if constexpr (kPartLanes > 4) max = larger(max, swap_halves<4>(max, AllLanes()));
  max = larger(max, swap_halves<2>(max, AllLanes()));
  return larger(max, swap_halves<1>(max, AllLanes()))[0];
}

// e^x to within 1 ulp. x = n ln 2 + r, |r| <= ln 2 / 2 (ln 2 in two pieces, the first short enough
// that n * it is exact); e^r by a polynomial; 2^n as two factors, so that results below the normal
// range are rounded once and those above it overflow to infinity. NaN stays NaN: nothing here is
// undefined for it, because the integer n is read from the bits of a sum.
TRIT_INLINE f32v exp_part(f32v x) {
  const f32v low = splat(-104.0f), high = splat(89.0f);  // e^x is 0 and infinity beyond
  x = x < low ? low : x;
  x = x > high ? high : x;
  const f32v round = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const f32v shifted = multiply_add(x, splat(1.44269504f), round);
  const f32v n = shifted - round;
  const f32v r =
      multiply_add(n, splat(-1.42860677e-6f), multiply_add(n, splat(-0.693145751953125f), x));
  f32v q = multiply_add(r, splat(1.9790321e-4f), splat(1.39446731e-3f));
  q = multiply_add(q, r, splat(8.3334967e-3f));
  q = multiply_add(q, r, splat(4.16662954e-2f));
  q = multiply_add(q, r, splat(1.66666657e-1f));
  q = multiply_add(q, r, splat(0.5f));
  const f32v e = multiply_add(q, r * r, r) + 1.0f;
  const i32v power = (i32v)((u32v)shifted - (u32v)round);
  const i32v half = power >> 1;
  const u32v first = ((u32v)half + 127) << 23, second = ((u32v)(power - half) + 127) << 23;
  return (e * (f32v)first) * (f32v)second;
}

// row . x for any n, with one accumulator.
template <typename T>
__attribute__((noinline)) float dot_row(const T* row, const float* x, uint32_t n) {
  Lanes acc = splat_lanes(0);
  for (uint32_t i = 0; i < n; i += kLanes) add_products(&acc, load_at(row, i, n), load_at(x, i, n));
  return add_lanes(acc);
}

float dot(const float* a, const float* b, uint32_t n) {
  return dot_row(a, b, n);
}

// y[t * y_stride + r] = rows[r] . x[t]. Each (row, token) has its accumulator of 16 lanes, all of
// them in flight to hide the latency of additions. Rows with a tail go one by one.
template <typename T, uint32_t kRows, uint32_t kTokens>
TRIT_INLINE void dot_block(const T* rows, size_t row_stride, const float* x, size_t x_stride,
                           uint32_t n, float* y, size_t y_stride) {
  if (n % kLanes) {
    for (uint32_t t = 0; t < kTokens; ++t)
      for (uint32_t r = 0; r < kRows; ++r)
        y[t * y_stride + r] = dot_row(rows + r * row_stride, x + t * x_stride, n);
    return;
  }
  Lanes acc[kTokens][kRows];
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) TRIT_UNROLL for (Lanes& a : acc[t]) a =
      splat_lanes(0);
  for (size_t i = 0; i < n; i += kLanes) {
    Lanes in[kTokens];
    TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) in[t] = load(x + t * x_stride + i);
    TRIT_UNROLL for (uint32_t r = 0; r < kRows; ++r) {
      const Lanes row = load(rows + r * row_stride + i);
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) add_products(&acc[t][r], row, in[t]);
    }
  }
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
      TRIT_UNROLL for (uint32_t r = 0; r < kRows; ++r) y[t * y_stride + r] = add_lanes(acc[t][r]);
}

// As many accumulators as fit in registers, with their operands.
constexpr uint32_t kBlockRows = kParts == 1 ? 4 : kParts == 2 ? 2 : 1;
constexpr uint32_t kBlockTokens = kParts == 1 ? 4 : 2;

template <typename T, uint32_t kRows>
void dense_rows(const T* rows, uint32_t cols, const float* x, size_t x_stride, uint32_t n_tokens,
                float* y, size_t y_stride) {
  uint32_t t = 0;
  for (; t + kBlockTokens <= n_tokens; t += kBlockTokens)
    dot_block<T, kRows, kBlockTokens>(rows, cols, x + t * x_stride, x_stride, cols,
                                      y + t * y_stride, y_stride);
  for (; t < n_tokens; ++t)
    dot_block<T, kRows, 1>(rows, cols, x + t * x_stride, x_stride, cols, y + t * y_stride,
                           y_stride);
}

template <typename T>
void dense_matrix(const T* w, uint32_t cols, const float* x, size_t x_stride, uint32_t n_tokens,
                  uint32_t row_begin, uint32_t row_end, float* y, size_t y_stride) {
  uint32_t row = row_begin;
  for (; row + kBlockRows <= row_end; row += kBlockRows)
    dense_rows<T, kBlockRows>(w + static_cast<size_t>(row) * cols, cols, x, x_stride, n_tokens,
                              y + row, y_stride);
  for (; row < row_end; ++row)
    dense_rows<T, 1>(w + static_cast<size_t>(row) * cols, cols, x, x_stride, n_tokens, y + row,
                     y_stride);
}

void dense_gemm(const void* w, Encoding type, uint32_t cols, const float* x, size_t x_stride,
                uint32_t n_tokens, uint32_t row_begin, uint32_t row_end, float* y,
                size_t y_stride) {
  if (type == Encoding::kDenseBf16)
    dense_matrix(static_cast<const Bf16*>(w), cols, x, x_stride, n_tokens, row_begin, row_end, y,
                 y_stride);
  else
    dense_matrix(static_cast<const float*>(w), cols, x, x_stride, n_tokens, row_begin, row_end, y,
                 y_stride);
}

// Largest |x|, NaN left out.
TRIT_INLINE float largest_magnitude(const float* x, uint32_t n) {
  Lanes max = splat_lanes(0);
  for (uint32_t i = 0; i < n; i += kLanes) {
    const Lanes in = load_at(x, i, n);
    TRIT_UNROLL for (uint32_t p = 0; p < kParts; ++p) max.part[p] =
        larger((f32v)((u32v)in.part[p] & 0x7fffffffu), max.part[p]);
  }
  return max_lanes(max);
}

// One group: codes, and their sum.
TRIT_INLINE int32_t quantize_group(const float* x, uint32_t n, float inverse, int8_t* codes) {
  const f32v round = splat(12582912.0f), limit = splat(127.0f);
  i32v sums = {};
  for (uint32_t i = 0; i < n; i += kLanes) {
    const Lanes in = load_at(x, i, n);
    int8_t whole[kLanes];
    TRIT_UNROLL for (uint32_t p = 0; p < kParts; ++p) {
      f32v scaled = in.part[p] * inverse;
      scaled = scaled > limit ? limit : scaled;
      scaled = scaled < -limit ? -limit : scaled;
      scaled = scaled == scaled ? scaled : f32v{};
      const i32v code = (i32v)(scaled + round) - (i32v)round;
      sums += code;
      const i8v narrow = __builtin_convertvector(code, i8v);
      memcpy(whole + p * kPartLanes, &narrow, sizeof(narrow));
    }
    if (n - i >= kLanes)
      memcpy(codes + i, whole, kLanes);
    else
      memcpy(codes + i, whole, n - i);
  }
  if constexpr (kPartLanes > 8) sums += swap_halves<8>(sums, AllLanes());
  if constexpr (kPartLanes > 4) sums += swap_halves<4>(sums, AllLanes());
  sums += swap_halves<2>(sums, AllLanes());
  return sums[0] + sums[1];
}

void quantize_activations(const float* x, uint32_t cols, uint32_t group, float min_amax,
                          const QuantizedActivations* out, uint32_t token) {
  int8_t* codes = out->codes + token * out->code_stride;
  size_t at = token;
  for (uint64_t begin = 0; begin < cols; begin += group, at += out->group_stride) {
    const uint32_t n = static_cast<uint32_t>(cols - begin < group ? cols - begin : group);
    float amax = largest_magnitude(x + begin, n);
    amax = amax < min_amax ? min_amax : amax;
    const uint32_t padded = static_cast<uint32_t>(ceil_div(n, kVectorCols)) * kVectorCols;
    if (padded > n) memset(codes + n, 0, padded - n);
    if (amax > 0) {
      out->scales[at] = amax / 127.0f;
      out->sums[at] = quantize_group(x + begin, n, 127.0f / amax, codes);
    } else {
      memset(codes, 0, n);
      out->scales[at] = 0;
      out->sums[at] = 0;
    }
    codes += padded;
  }
}

void rmsnorm(const float* x, const float* weight, uint32_t n, float eps, float* out) {
  const float mean = dot(x, x, n) / static_cast<float>(n);
  const float factor = 1.0f / f32_sqrt(mean + eps);
  for (uint32_t i = 0; i < n; i += kLanes) {
    Lanes in = load_at(x, i, n);
    const Lanes w = load_at(weight, i, n);
    TRIT_UNROLL for (uint32_t p = 0; p < kParts; ++p) in.part[p] = in.part[p] * factor * w.part[p];
    store_at(out, i, n, in);
  }
}

void rope(float* x, const float* cos, const float* sin, uint32_t half) {
  for (uint32_t i = 0; i < half; i += kLanes) {
    Lanes a = load_at(x, i, half), b = load_at(x + half, i, half);
    const Lanes c = load_at(cos, i, half), s = load_at(sin, i, half);
    TRIT_UNROLL for (uint32_t p = 0; p < kParts; ++p) {
      const f32v first = a.part[p], second = b.part[p];
      a.part[p] = first * c.part[p] - second * s.part[p];
      b.part[p] = second * c.part[p] + first * s.part[p];
    }
    store_at(x, i, half, a);
    store_at(x + half, i, half, b);
  }
}

void add_multiple(float* x, float factor, const float* y, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) x[i] += factor * y[i];
}

void multiply(float* x, float factor, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) x[i] *= factor;
}

void silu_mul(float* gate, const float* up, uint32_t n) {
  for (uint32_t i = 0; i < n; i += kLanes) {
    Lanes x = load_at(gate, i, n);
    const Lanes factor = load_at(up, i, n);
    TRIT_UNROLL for (uint32_t p = 0; p < kParts; ++p) {
      const f32v low = splat(-120.0f);  // -inf / (1 + inf) would be NaN
      const f32v z = x.part[p] < low ? low : x.part[p];
      x.part[p] = z / (exp_part(-z) + 1.0f) * factor.part[p];
    }
    store_at(gate, i, n, x);
  }
}

void relu2_mul(float* gate, const float* up, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) {
    const float x = gate[i] < 0 ? 0 : gate[i];
    gate[i] = x * x * up[i];
  }
}

void softmax(float* x, uint32_t n) {
  const float lowest = -__builtin_inff();
  Lanes max = splat_lanes(lowest), sum = splat_lanes(0);
  for (uint32_t i = 0; i < n; i += kLanes) {
    const Lanes in = load_at(x, i, n, lowest);
    TRIT_UNROLL for (uint32_t p = 0; p < kParts; ++p) max.part[p] = larger(in.part[p], max.part[p]);
  }
  const float top = max_lanes(max);
  for (uint32_t i = 0; i < n; i += kLanes) {
    Lanes in = load_at(x, i, n, lowest);
    TRIT_UNROLL for (uint32_t p = 0; p < kParts; ++p) {
      in.part[p] = exp_part(in.part[p] - top);
      sum.part[p] += in.part[p];
    }
    store_at(x, i, n, in);
  }
  multiply(x, 1.0f / add_lanes(sum), n);
}

#include "kernels/attention.inl"
#include "kernels/panel_products.inl"
#include "kernels/prefill_attention.inl"

void convert_to_f16(const float* x, uint32_t n, uint16_t* out) {
  uint32_t i = 0;
  for (; i + kPartLanes <= n; i += kPartLanes) store_f16(load_part(x + i), out + i);
  for (; i < n; ++i) out[i] = f32_to_f16(x[i]);
}

void convert_to_f32(const uint16_t* x, uint32_t n, float* out) {
  uint32_t i = 0;
  for (; i + kPartLanes <= n; i += kPartLanes) {
    const f32v part = load_f16(x + i);
    memcpy(out + i, &part, sizeof(part));
  }
  for (; i < n; ++i) out[i] = f16_to_f32(x[i]);
}

void install_f32_ops(KernelTable* table) {
  table->quantize_activations = quantize_activations;
  table->dense_gemm = dense_gemm;
  table->dot = dot;
  table->panel_products = panel_products<float>;
  table->panel_products_f64 = panel_products<double>;
  table->rmsnorm = rmsnorm;
  table->rope = rope;
  table->add_multiple = add_multiple;
  table->multiply = multiply;
  table->silu_mul = silu_mul;
  table->relu2_mul = relu2_mul;
  table->softmax = softmax;
  table->attention = attention;
  table->prefill_attention = prefill_attention;
  table->f32_to_q8 = convert_to_q8;
  table->f32_to_f16 = convert_to_f16;
  table->f16_to_f32 = convert_to_f32;
}

}  // namespace
