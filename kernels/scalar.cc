// The level that every CPU runs and every other level equals bit for bit: plain C, written so that
// a compiler may use whatever vectors the build's baseline has. Floats are f32_ops.inl on registers
// of 16 bytes (where the CPU has none, the compiler makes them of scalars).
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "kernels/plane_walk.h"
#include "kernels/target.h"

namespace trit {
namespace scalar {

typedef float f32v __attribute__((vector_size(16)));

// Attention converts whole caches: f16_to_f32 on four values at once. Moving the bits up and
// multiplying by 2^112 is exact for normal and subnormal values; infinity and NaN are patched.
TRIT_INLINE f32v load_f16(const uint16_t* p) {
  typedef int32_t i32v __attribute__((vector_size(16)));
  const i32v bits = {p[0], p[1], p[2], p[3]};
  const i32v magnitude = (bits & 0x7fff) << 13, infinity = i32v{} + (31 << 23);
  const i32v value = (i32v)((f32v)magnitude * bits_to_f32(0x77800000u));
  const i32v exponent = (magnitude >= infinity) & 0x7f800000;
  const i32v quiet = (magnitude > infinity) & 0x400000;
  return (f32v)(value | exponent | quiet | ((bits & 0x8000) << 16));
}
TRIT_INLINE void store_f16(f32v x, uint16_t* out) {
  for (int i = 0; i < 4; ++i) out[i] = f32_to_f16(x[i]);
}
TRIT_INLINE f32v load_i8(const int8_t* p) {
  typedef int32_t i32v __attribute__((vector_size(16)));
  return __builtin_convertvector((i32v{p[0], p[1], p[2], p[3]}), f32v);
}
TRIT_INLINE f32v load_bf16(const uint16_t* p) {
  typedef uint32_t u32v __attribute__((vector_size(16)));
  return (f32v)(u32v{p[0], p[1], p[2], p[3]} << 16);
}

// For a CPU without the instruction: in double the product is exact, and the sum, where it is not,
// is rounded to odd, which leaves enough bits to round once more (Boldo and Melquiond, Emulation of
// FMA and correctly rounded sums, 2008). Not inlined: it is in every sum, and long.
static __attribute__((noinline)) f32v multiply_add(f32v a, f32v b, f32v c) {
  typedef double f64v __attribute__((vector_size(32)));
  typedef int64_t i64v __attribute__((vector_size(32)));
  const f64v product = __builtin_convertvector(a, f64v) * __builtin_convertvector(b, f64v);
  const f64v addend = __builtin_convertvector(c, f64v), sum = product + addend;
  const f64v part = sum - product, lost = (product - (sum - part)) + (addend - part);
  const i64v inexact = (i64v)((lost > 0.0) | (lost < 0.0)), even = ((i64v)sum & 1) - 1;
  const i64v away = 1 - (((i64v)((i64v)sum ^ (i64v)lost) < 0) & 2);  // from zero: 1, towards it: -1
  return __builtin_convertvector((f64v)((i64v)sum + (away & inexact & even)), f32v);
}

constexpr uint32_t kQueriesAtOnce = 1;
#include "kernels/f32_ops.inl"

// Codes of one vector of a part, [digit][64 bytes].
static void unpack_vector(const TritView* w, const PlaneWalk& walk, uint32_t part, uint64_t vector,
                          uint8_t* codes) {
  memset(codes, 0, kVectorCodes);
  for (uint32_t p = part; p < part + walk.part_planes; ++p) {
    const uint8_t* bytes = w->digits[p] + vector * kVectorBytes;
    for (uint32_t i = 0; i < kVectorBytes; ++i) {
      uint32_t left = bytes[i];
      TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) {
        const uint32_t digit = j + 1 < kTritsPerByte ? left % 3 : left;
        uint8_t* code = &codes[j * kVectorBytes + i];
        *code = static_cast<uint8_t>(*code * 3 + digit);
        left /= 3;
      }
    }
  }
}

// sums[row] += codes . x over the 20 columns of one vector. Unsigned, so that sums beyond any real
// matrix wrap, as they do in vector registers.
static void dot_vector(const uint8_t* codes, const int8_t* x, uint32_t* sums) {
  for (uint32_t j = 0; j < kTritsPerByte; ++j, codes += kVectorBytes, x += 4)
    for (uint32_t r = 0; r < kTileRows; ++r) {
      int32_t sum = 0;
      TRIT_UNROLL for (uint32_t b = 0; b < 4; ++b) sum += codes[r * 4 + b] * x[b];
      sums[r] += static_cast<uint32_t>(sum);
    }
}

// y += f32(digits . x) * (scale * sx) for the rows of a tile, where sums = codes . x.
static void add_scaled(const TritView* w, const PlaneWalk& walk, uint32_t part, uint64_t tile,
                       uint32_t g, const uint32_t* sums, int32_t x_sum, float x_scale, float* y) {
  for (uint32_t r = 0; r < tile_rows(w, tile); ++r) {
    const uint32_t sum = sums[r] - walk.offset * static_cast<uint32_t>(x_sum);
    const float scale = w->encoding == Encoding::kNative
                            ? w->row_scales[tile * kTileRows + r]
                            : f16_to_f32(group_scales(w, walk, part, tile, g)[r]);
    const float n = static_cast<float>(static_cast<int32_t>(sum));
    y[r] = multiply_add(splat(n), splat(scale * w->prefix_factor * x_scale), splat(y[r]))[0];
  }
}

static void trit_gemv(const TritView* w, const QuantizedActivations* x, uint32_t tile_begin,
                      uint32_t tile_end, float* y) {
  const PlaneWalk walk = plane_walk(w);
  for (uint64_t tile = tile_begin; tile < tile_end; ++tile) {
    float* rows = y + tile * kTileRows;
    memset(rows, 0, tile_rows(w, tile) * sizeof(float));
    for (uint32_t g = 0; g < walk.groups; ++g)
      for (uint32_t part = 0; part < walk.parts; ++part) {
        uint32_t sums[kTileRows] = {};
        for (uint64_t v = first_vector(walk, g), end = v + vectors_of(walk, g); v < end; ++v) {
          uint8_t codes[kVectorCodes];
          unpack_vector(w, walk, part, tile * walk.row_vectors + v, codes);
          dot_vector(codes, x->codes + v * kVectorCols, sums);
        }
        const size_t at = g * x->group_stride;
        add_scaled(w, walk, part, tile, g, sums, x->sums[at], x->scales[at], rows);
      }
  }
}

static void trit_gemm(const TritView* w, const QuantizedActivations* x, uint32_t n_tokens,
                      uint32_t tile_begin, uint32_t tile_end, float* y, size_t y_stride,
                      void* scratch) {
  const PlaneWalk walk = plane_walk(w);
  uint8_t* codes = static_cast<uint8_t*>(scratch);  // of one part of a group
  for (uint64_t tile = tile_begin; tile < tile_end; ++tile) {
    float* rows = y + tile * kTileRows;
    for (uint32_t t = 0; t < n_tokens; ++t)
      memset(rows + t * y_stride, 0, tile_rows(w, tile) * sizeof(float));
    for (uint32_t g = 0; g < walk.groups; ++g)
      for (uint32_t part = 0; part < walk.parts; ++part) {
        const uint64_t first = first_vector(walk, g), vectors = vectors_of(walk, g);
        for (uint64_t v = 0; v < vectors; ++v)
          unpack_vector(w, walk, part, tile * walk.row_vectors + first + v,
                        codes + v * kVectorCodes);
        for (uint32_t t = 0; t < n_tokens; ++t) {
          const int8_t* in = x->codes + t * x->code_stride + first * kVectorCols;
          const size_t at = g * x->group_stride + t;
          uint32_t sums[kTileRows] = {};
          for (uint64_t v = 0; v < vectors; ++v)
            dot_vector(codes + v * kVectorCodes, in + v * kVectorCols, sums);
          add_scaled(w, walk, part, tile, g, sums, x->sums[at], x->scales[at], rows + t * y_stride);
        }
      }
  }
}

}  // namespace scalar

void install_scalar(KernelTable* table) {
  scalar::install_f32_ops(table);
  table->trit_gemv = scalar::trit_gemv;
  table->trit_gemm = scalar::trit_gemm;
}

}  // namespace trit
