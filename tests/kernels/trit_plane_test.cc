// The layout of a trit plane against its sentences in trit_plane.h, written down again naively.
#include "kernels/trit_plane.h"

#include <doctest/doctest.h>

#include <vector>

#include "kernels/half.h"
#include "tests/kernels/guarded_buffer.h"
#include "tests/kernels/kernel_levels.h"

namespace trit {
namespace {

// "Byte b of a lane, digit j, is column 20 v + 4 j + b of the group", digit 0 where there is none.
std::vector<uint8_t> naive_tile(const std::vector<int8_t>& trits, uint32_t rows, uint32_t cols,
                                uint32_t group) {
  std::vector<uint8_t> out;
  for (uint32_t first = 0; first < cols; first += group) {
    const uint32_t count = cols - first < group ? cols - first : group;
    for (uint32_t v = 0; v * 20 < count; ++v)
      for (uint32_t lane = 0; lane < 16; ++lane)
        for (uint32_t b = 0; b < 4; ++b) {
          int byte = 0, power = 1;
          for (uint32_t j = 0; j < 5; ++j, power *= 3) {
            const uint32_t col = 20 * v + 4 * j + b;
            const bool there = lane < rows && col < count;
            byte += power * (1 + (there ? trits[lane * cols + first + col] : 0));
          }
          out.push_back(static_cast<uint8_t>(byte));
        }
  }
  return out;
}

std::vector<int8_t> random_trits(Random* random, size_t n) {
  std::vector<int8_t> trits(n);
  for (int8_t& t : trits) t = static_cast<int8_t>(static_cast<int>(random->below(3)) - 1);
  return trits;
}

TEST_CASE("pack_tile writes the layout that trit_plane.h describes, and unpack_row reads it back") {
  Random random(1);
  for (uint32_t group : {20u, 40u, 128u, 160u, 1000u})
    for (uint32_t cols = 1; cols <= 360; cols += 1 + random.below(13)) {
      const uint32_t rows = 1 + random.below(16);
      const std::vector<int8_t> trits = random_trits(&random, size_t{rows} * cols);
      const std::vector<uint8_t> expected = naive_tile(trits, rows, cols, group);
      REQUIRE(digit_bytes(16, cols, group) == expected.size());
      GuardedBuffer<uint8_t> tile(expected.size());
      pack_tile(trits.data(), cols, rows, cols, group, tile.data());
      REQUIRE(std::vector<uint8_t>(tile.begin(), tile.end()) == expected);
      GuardedBuffer<int8_t> row(cols);
      for (uint32_t r = 0; r < 16; ++r) {
        unpack_row(tile.data(), r, cols, group, row.data());
        for (uint32_t c = 0; c < cols; ++c)
          REQUIRE(row[c] == (r < rows ? trits[size_t{r} * cols + c] : 0));
      }
    }
}

TEST_CASE("a byte that is all padding is 121") {
  const int8_t trit = 1;
  uint8_t tile[64];
  pack_tile(&trit, 1, 1, 1, 160, tile);
  CHECK(tile[0] == 122);
  for (int i = 1; i < 64; ++i) CHECK(tile[i] == kPaddingByte);
}

TEST_CASE("a malformed byte reads as top digit 2 and valid digits below it") {
  uint8_t tile[64];
  for (int byte = 243; byte < 256; ++byte) {
    for (uint8_t& b : tile) b = static_cast<uint8_t>(byte);
    int8_t row[20];
    unpack_row(tile, 15, 20, 20, row);
    int left = byte - 243;
    for (int j = 0; j < 4; ++j, left /= 3) CHECK(row[4 * j] == left % 3 - 1);
    CHECK(row[16] == 2);
  }
}

TEST_CASE("dequantize_row gives each encoding's sum of planes") {
  Random random(2);
  const uint32_t rows = 19, cols = 97, group = 40, groups = 3, tiles = 2;
  std::vector<int8_t> trits[3];
  std::vector<uint8_t> digits[3];
  std::vector<uint16_t> scales[3];
  TritView w = {};
  for (int p = 0; p < 3; ++p) {
    trits[p] = random_trits(&random, rows * cols);
    digits[p].resize(digit_bytes(rows, cols, group));
    for (uint32_t tile = 0; tile < tiles; ++tile)
      pack_tile(&trits[p][tile * 16 * cols], cols, tile ? rows - 16 : 16, cols, group,
                &digits[p][tile * digits[p].size() / tiles]);
    for (uint32_t i = 0; i < tiles * groups * 16; ++i)
      scales[p].push_back(f32_to_f16(random.uniform(0.5f, 2.0f)));
    w.digits[p] = digits[p].data();
    w.scales[p] = scales[p].data();
  }
  std::vector<float> row_scales(tiles * 16);
  for (float& s : row_scales) s = random.uniform(0.5f, 2.0f);
  w.rows = rows, w.cols = cols, w.group = group, w.planes = 3, w.row_scales = row_scales.data();

  GuardedBuffer<float> out(cols);
  for (uint32_t row = 0; row < rows; ++row) {
    const auto digit = [&](int p, uint32_t c) { return float(trits[p][row * cols + c]); };
    const auto scale = [&](int p, uint32_t c) {
      return f16_to_f32(scales[p][(row / 16 * groups + c / group) * 16 + row % 16]);
    };
    w.encoding = Encoding::kTied, w.prefix_factor = 3;
    dequantize_row(&w, row, out.data());
    for (uint32_t c = 0; c < cols; ++c)
      CHECK(out[c] == (9 * digit(0, c) + 3 * digit(1, c) + digit(2, c)) * (scale(0, c) * 3));
    w.encoding = Encoding::kFree, w.prefix_factor = 1;
    dequantize_row(&w, row, out.data());
    for (uint32_t c = 0; c < cols; ++c) {
      const float first = scale(0, c) * digit(0, c), second = scale(1, c) * digit(1, c);
      CHECK(out[c] == (first + second) + scale(2, c) * digit(2, c));
    }
    TritView native = w;
    native.encoding = Encoding::kNative, native.planes = 1;
    dequantize_row(&native, row, out.data());
    for (uint32_t c = 0; c < cols; ++c) CHECK(out[c] == row_scales[row] * digit(0, c));
  }
}

}  // namespace
}  // namespace trit
