// trit_gemv and trit_gemm: scalar against the contract of kernels.h worked out naively, every level
// against scalar bit for bit, on odd sizes, all byte values and buffers that end at a guard page.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "tests/kernels/guarded_buffer.h"
#include "tests/kernels/kernel_levels.h"

namespace trit {
namespace {

struct Shape {
  Encoding encoding;
  uint32_t rows, cols, group, planes, tokens;
};

enum class Fill { kValid, kAnyByte, kLargest };

// A random matrix and inputs for it.
struct Case {
  TritView w = {};
  QuantizedActivations x = {};
  uint32_t tokens;
  std::vector<GuardedBuffer<uint8_t>> digits;
  std::vector<GuardedBuffer<uint16_t>> scales;
  GuardedBuffer<float> row_scales;
  GuardedBuffer<int8_t> codes;  // the last token's end at the guard
  GuardedBuffer<float> x_scales;
  GuardedBuffer<int32_t> x_sums;

  Case(const Shape& s, Fill fill, Random* random);
};

size_t code_bytes(const Shape& s) {
  return row_vectors(s.cols, s.group) * kVectorCols;
}
size_t code_stride(const Shape& s) {
  return (code_bytes(s) + 63) / 64 * 64;
}

// The largest: all digits at their top, now and then the top digit of a malformed byte.
uint8_t random_byte(Fill fill, Random* random) {
  if (fill == Fill::kLargest) return random->below(16) ? 242 : 251;
  return static_cast<uint8_t>(random->below(fill == Fill::kValid ? 243 : 256));
}

Case::Case(const Shape& s, Fill fill, Random* random)
    : tokens(s.tokens),
      row_scales(tile_count(s.rows) * kTileRows),
      codes((s.tokens - 1) * code_stride(s) + code_bytes(s)),
      x_scales(group_stride_of(s.tokens) * group_count(s.cols, s.group)),
      x_sums(group_stride_of(s.tokens) * group_count(s.cols, s.group)) {
  w.rows = s.rows, w.cols = s.cols, w.group = s.group, w.planes = s.planes;
  w.encoding = s.encoding, w.row_scales = row_scales.data();
  w.prefix_factor = s.encoding == Encoding::kTied && random->below(2) ? 9.0f : 1.0f;
  for (float& scale : row_scales) scale = random->uniform(-1, 1);
  for (uint32_t p = 0; p < s.planes; ++p) {
    digits.emplace_back(digit_bytes(s.rows, s.cols, s.group));
    for (uint8_t& b : digits[p]) b = random_byte(fill, random);
    scales.emplace_back(group_scale_bytes(s.rows, s.cols, s.group) / 2);
    for (uint16_t& scale : scales[p]) scale = f32_to_f16(random->uniform(-1, 1));
    w.digits[p] = digits[p].data();
    w.scales[p] = scales[p].data();
  }
  const uint32_t groups = static_cast<uint32_t>(group_count(s.cols, s.group));
  x = {codes.data(), x_scales.data(), x_sums.data(), code_stride(s), group_stride_of(s.tokens)};
  for (uint32_t t = 0; t < tokens; ++t)
    for (uint32_t g = 0; g < groups; ++g) {
      const uint32_t first = g * s.group, left = s.cols - first;
      const uint32_t count = left < s.group ? left : s.group;
      int8_t* group_codes =
          x.codes + t * x.code_stride + g * group_vectors(s.cols, s.group, 0) * kVectorCols;
      int32_t* sum = &x.sums[g * x.group_stride + t];
      for (uint32_t c = 0; c < count; ++c) {
        const int extreme = (fill == Fill::kLargest ? t : random->below(2)) % 2 ? 127 : -128;
        const bool any = fill != Fill::kLargest && random->below(4) > 0;
        group_codes[c] = static_cast<int8_t>(any ? int(random->below(256)) - 128 : extreme);
        *sum += group_codes[c];
      }
      x.scales[g * x.group_stride + t] = random->uniform(0, 2);
    }
}

// The contract of trit_gemv for one row and token, from digits that unpack_row reads.
float expected(const Case& c, uint32_t row, uint32_t token) {
  const TritView& w = c.w;
  const size_t tile_bytes = row_vectors(w.cols, w.group) * kVectorBytes;
  const uint32_t tile = row / kTileRows, r = row % kTileRows;
  const uint32_t groups = static_cast<uint32_t>(group_count(w.cols, w.group));
  std::vector<std::vector<int8_t>> trits(w.planes, std::vector<int8_t>(w.cols));
  for (uint32_t p = 0; p < w.planes; ++p)
    unpack_row(w.digits[p] + tile * tile_bytes, r, w.cols, w.group, trits[p].data());
  float acc = 0;
  for (uint32_t g = 0; g < groups; ++g) {
    const int8_t* x =
        c.x.codes + token * c.x.code_stride + g * group_vectors(w.cols, w.group, 0) * kVectorCols;
    const float sx = c.x.scales[g * c.x.group_stride + token];
    int64_t folded = 0;
    for (uint32_t p = 0; p < w.planes; ++p) {
      int64_t n = 0;
      for (uint32_t i = g * w.group; i < w.cols && i < (g + 1) * w.group; ++i)
        n += trits[p][i] * x[i - g * w.group];
      folded = folded * 3 + n;
      const float a = f16_to_f32(w.scales[p][(tile * groups + g) * kTileRows + r]);
      if (w.encoding == Encoding::kFree) acc = std::fma(static_cast<float>(n), a * sx, acc);
    }
    const float s = f16_to_f32(w.scales[0][(tile * groups + g) * kTileRows + r]);
    if (w.encoding == Encoding::kTied)
      acc = std::fma(static_cast<float>(folded), s * w.prefix_factor * sx, acc);
    if (w.encoding == Encoding::kNative)
      acc = std::fma(static_cast<float>(folded), w.row_scales[row] * sx, acc);
  }
  return acc;
}

uint32_t tiles_of(const Case& c) {
  return static_cast<uint32_t>(tile_count(c.w.rows));
}

// y[token][row] by trit_gemv, one token at a time, the tiles cut in two at `cut`.
std::vector<float> gemv_all(const KernelTable& k, const Case& c, uint32_t cut) {
  std::vector<float> all;
  for (uint32_t t = 0; t < c.tokens; ++t) {
    GuardedBuffer<float> y(c.w.rows);
    y.canary();
    const QuantizedActivations x = {c.x.codes + t * c.x.code_stride, c.x.scales + t, c.x.sums + t,
                                    c.x.code_stride, c.x.group_stride};
    if (cut > 0) k.trit_gemv(&c.w, &x, 0, cut, y.data());
    if (cut < tiles_of(c)) k.trit_gemv(&c.w, &x, cut, tiles_of(c), y.data());
    all.insert(all.end(), y.begin(), y.end());
  }
  return all;
}

std::vector<float> gemm_all(const KernelTable& k, const Case& c, uint32_t cut) {
  const size_t stride = c.w.rows + 3;
  GuardedBuffer<float> y((c.tokens - 1) * stride + c.w.rows);
  const size_t scratch_bytes = (gemm_scratch_bytes(&c.w) + 63) / 64 * 64;
  GuardedBuffer<uint8_t> scratch(scratch_bytes);
  y.canary();
  if (cut > 0) k.trit_gemm(&c.w, &c.x, c.tokens, 0, cut, y.data(), stride, scratch.data());
  if (cut < tiles_of(c))
    k.trit_gemm(&c.w, &c.x, c.tokens, cut, tiles_of(c), y.data(), stride, scratch.data());
  std::vector<float> all;
  for (uint32_t t = 0; t < c.tokens; ++t) {
    const float* rows = y.data() + t * stride;
    all.insert(all.end(), rows, rows + c.w.rows);
    for (uint32_t i = 0; t + 1 < c.tokens && i < 3; ++i)
      REQUIRE(f32_to_bits(rows[c.w.rows + i]) == 0x5a5a5a5a);
  }
  return all;
}

void check_case(const Shape& s, Fill fill, Random* random) {
  CAPTURE(int(s.encoding));
  CAPTURE(s.rows);
  CAPTURE(s.cols);
  CAPTURE(s.group);
  CAPTURE(s.planes);
  CAPTURE(s.tokens);
  const Case c(s, fill, random);
  std::vector<float> reference;
  for (uint32_t t = 0; t < s.tokens; ++t)
    for (uint32_t row = 0; row < s.rows; ++row) reference.push_back(expected(c, row, t));
  const size_t n = reference.size();
  for (const KernelTable* level : all_levels()) {
    CAPTURE(level->isa);
    const uint32_t cut = random->below(tiles_of(c) + 1);
    REQUIRE(same_floats(gemv_all(*level, c, cut).data(), reference.data(), n));
    REQUIRE(same_floats(gemm_all(*level, c, cut).data(), reference.data(), n));
  }
}

TEST_CASE("every level's trit_gemv and trit_gemm give the bits of the contract on odd sizes") {
  Random random(5);
  const Encoding encodings[] = {Encoding::kTied, Encoding::kFree, Encoding::kNative};
  const uint32_t groups[] = {20, 40, 128, 160};
  for (int i = 0; i < 240; ++i) {
    Shape s;
    s.encoding = encodings[random.below(3)];
    const bool native = s.encoding == Encoding::kNative;
    s.rows = 1 + random.below(33);
    s.group = groups[random.below(4)];
    s.cols = s.group * random.below(4) + 1 + random.below(20);
    if (native) s.group = s.cols;
    s.planes = native ? 1 : 1 + random.below(kMaxPlanes);
    s.tokens = 1 + random.below(9);
    check_case(s, i % 2 ? Fill::kValid : Fill::kAnyByte, &random);
  }
}

TEST_CASE("every tail of 1 to 20 columns is computed within its buffers") {
  Random random(6);
  for (uint32_t tail = 1; tail <= 20; ++tail)
    check_case({Encoding::kTied, 17, 160 + tail, 160, 1 + tail % kMaxPlanes, 2}, Fill::kAnyByte,
               &random);
}

TEST_CASE("twelve and thirteen tokens take every block size of a gemm") {
  Random random(7);
  for (uint32_t tokens : {12u, 13u})
    for (uint32_t planes = 1; planes <= kMaxPlanes; ++planes)
      check_case({Encoding::kTied, 48, 320, 160, planes, tokens}, Fill::kValid, &random);
}

TEST_CASE("rows longer than what is unpacked at once add up, whole tiles and not") {
  Random random(12);
  for (uint32_t tokens : {1u, 2u, 3u, 7u, 9u}) {
    check_case({Encoding::kTied, 37, 2900, 160, 2, tokens}, Fill::kAnyByte, &random);
    check_case({Encoding::kTied, 17, 5300, 160, 1, tokens}, Fill::kAnyByte, &random);
    check_case({Encoding::kFree, 21, 2900, 128, 3, tokens}, Fill::kValid, &random);
  }
}

TEST_CASE("the largest digits and inputs overflow no partial sum") {
  Random random(8);
  for (uint32_t planes = 1; planes <= kMaxPlanes; ++planes)
    for (uint32_t group : {160u, 2000u})
      check_case({Encoding::kTied, 16, 4000, group, planes, 5}, Fill::kLargest, &random);
  check_case({Encoding::kNative, 16, 180001, 180001, 1, 2}, Fill::kLargest, &random);
  check_case({Encoding::kNative, 3, 6912, 6912, 1, 4}, Fill::kAnyByte, &random);
}

TEST_CASE("inputs may start at any address") {
  Random random(9);
  const Case c({Encoding::kTied, 16, 340, 160, 2, 1}, Fill::kValid, &random);
  std::vector<int8_t> shifted(c.codes.size() + 1);
  std::memcpy(shifted.data() + 1, c.codes.data(), c.codes.size());
  QuantizedActivations x = c.x;
  x.codes = shifted.data() + 1;
  for (const KernelTable* level : all_levels()) {
    float a[16], b[16];
    level->trit_gemv(&c.w, &c.x, 0, 1, a);
    level->trit_gemv(&c.w, &x, 0, 1, b);
    CHECK(same_floats(a, b, 16));
  }
}

TEST_CASE("scales that are not finite give the same bits on every level") {
  Random random(10);
  Case c({Encoding::kTied, 16, 160, 160, 2, 1}, Fill::kValid, &random);
  c.scales[0][0] = 0x7c00, c.scales[0][1] = 0xfc00, c.scales[0][2] = 0x7e01, c.scales[0][3] = 1;
  float reference[16], y[16];
  scalar_kernels().trit_gemv(&c.w, &c.x, 0, 1, reference);
  CHECK(std::isinf(reference[0]));
  CHECK(std::isnan(reference[2]));
  for (const KernelTable* level : all_levels()) {
    level->trit_gemv(&c.w, &c.x, 0, 1, y);
    CHECK(same_floats(y, reference, 16));
  }
}

TEST_CASE("a quantized product is near the product of the floats it stands for") {
  Random random(11);
  const uint32_t cols = 500;
  Case c({Encoding::kTied, 16, cols, 160, 3, 1}, Fill::kValid, &random);
  std::vector<float> x(cols), row(cols);
  for (float& v : x) v = random.uniform(-3, 3);
  const KernelTable& k = scalar_kernels();
  k.quantize_activations(x.data(), cols, 160, 0, &c.x, 0);
  float y[16];
  k.trit_gemv(&c.w, &c.x, 0, 1, y);
  for (uint32_t r = 0; r < 16; ++r) {
    dequantize_row(&c.w, r, row.data());
    double sum = 0, bound = 0;
    for (uint32_t i = 0; i < cols; ++i) {
      sum += double{row[i]} * x[i];
      bound += std::fabs(row[i]) * (3.0 / 127 / 2);
    }
    CHECK(std::fabs(y[r] - sum) <= bound * 1.001);
  }
}

}  // namespace
}  // namespace trit
