// The reference for the layout of trit_plane.h, one digit at a time: what the writer packs with,
// what tests hold the fast kernels against, and the embedding lookup. Not the speed of decode: that
// is trit_gemv in the files of the instruction sets.
#include "kernels/trit_plane.h"

#include "kernels/half.h"

namespace trit {

static const int kPowers[kTritsPerByte] = {1, 3, 9, 27, 81};

// The digit in place j of a byte, as stored: 0..2, or 3 in the top place of a malformed byte.
static int digit_code(uint8_t byte, uint32_t j) {
  return j == kTritsPerByte - 1 ? byte / 81 : byte / kPowers[j] % 3;
}

// Where column `col` of a group lies: the byte within the group's vectors (of lane 0), the digit.
static size_t column_byte(uint32_t col) {
  return static_cast<size_t>(col / kVectorCols) * kVectorBytes + col % 4;
}
static uint32_t column_digit(uint32_t col) {
  return col % kVectorCols / 4;
}

void pack_tile(const int8_t* trits, size_t stride, uint32_t rows, uint32_t cols, uint32_t group,
               uint8_t* out) {
  const uint64_t groups = group_count(cols, group);
  for (uint64_t g = 0; g < groups; ++g) {
    const uint64_t first = g * group, size = group_vectors(cols, group, g) * kVectorBytes;
    const uint64_t left = cols - first, count = left < group ? left : group;
    for (uint64_t i = 0; i < size; ++i) out[i] = kPaddingByte;
    for (uint32_t r = 0; r < rows && r < kTileRows; ++r)
      for (uint32_t c = 0; c < count; ++c) {
        uint8_t* byte = &out[column_byte(c) + r * 4];
        *byte =
            static_cast<uint8_t>(*byte + trits[r * stride + first + c] * kPowers[column_digit(c)]);
      }
    out += size;
  }
}

void unpack_row(const uint8_t* tile, uint32_t r, uint32_t cols, uint32_t group, int8_t* trits) {
  for (uint64_t g = 0; g * group < cols; ++g) {
    const uint64_t first = g * group, left = cols - first, count = left < group ? left : group;
    for (uint32_t c = 0; c < count; ++c) {
      const uint8_t byte = tile[column_byte(c) + r * 4];
      trits[first + c] = static_cast<int8_t>(digit_code(byte, column_digit(c)) - 1);
    }
    tile += group_vectors(cols, group, g) * kVectorBytes;
  }
}

void dequantize_row(const TritView* w, uint32_t row, float* out) {
  const uint64_t tile = row / kTileRows, r = row % kTileRows;
  const uint64_t groups = group_count(w->cols, w->group);
  uint64_t at = tile * row_vectors(w->cols, w->group) * kVectorBytes + r * 4;
  for (uint64_t g = 0; g < groups; ++g) {
    const uint64_t first = g * w->group, left = w->cols - first;
    const uint64_t count = left < w->group ? left : w->group;
    float scales[kMaxPlanes];
    for (uint32_t p = 0; p < w->planes; ++p) {
      const uint32_t owner = w->encoding == Encoding::kFree ? p : 0;
      scales[p] = w->encoding == Encoding::kNative
                      ? w->row_scales[row]
                      : f16_to_f32(w->scales[owner][(tile * groups + g) * kTileRows + r]);
      scales[p] *= w->prefix_factor;
    }
    for (uint32_t c = 0; c < count; ++c) {
      int code = 0;
      float sum = 0;
      for (uint32_t p = 0; p < w->planes; ++p) {
        const int digit = digit_code(w->digits[p][at + column_byte(c)], column_digit(c)) - 1;
        code = code * 3 + digit;
        sum += static_cast<float>(digit) * scales[p];
      }
      out[first + c] = w->encoding == Encoding::kFree ? sum : static_cast<float>(code) * scales[0];
    }
    at += group_vectors(w->cols, w->group, g) * kVectorBytes;
  }
}

}  // namespace trit
