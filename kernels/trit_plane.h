// THE layout of a trit plane: what the file stores, what mmap gives, what every kernel on every CPU
// reads. Here: its constants, its size formulas, the view that kernels take, and the reference
// pack/unpack (trit_plane.cc). Not here: arithmetic on planes (kernels.h), offsets in a file.
//
// The one idea: 16 rows (outputs) form a tile; a vector is 64 bytes = 16 lanes of 4 bytes, lane r =
// row r of the tile. A byte holds five trits (digits t in {-1, 0, 1} stored as u = t + 1):
//     byte = u0 + 3*u1 + 9*u2 + 27*u3 + 81*u4          always < 243
// Byte b of a lane, digit j, is column 20*v + 4*j + b of the group (v = vector index in the group),
// so digit j of a vector is, per row, one dword of 4 consecutive columns: one dot-product
// instruction against 4 activations broadcast to all lanes, and no horizontal sums anywhere.
//
// Columns are cut into groups of `group` columns (the last may be shorter); a group takes
// ceil(columns / 20) vectors. Order of a plane: tile by tile, in a tile group by group, in a group
// vector by vector. Padding (rows past `rows`, columns past the group) is digit 0, so a byte that
// is all padding is 121. Scales: tile by tile, group by group, 16 values (one per row of the tile).
//
// A malformed byte (>= 243) reads everywhere as u4 = 3: the digit 2, which no valid plane holds.
#ifndef TRITSTACK_KERNELS_TRIT_PLANE_H_
#define TRITSTACK_KERNELS_TRIT_PLANE_H_

#include <stddef.h>
#include <stdint.h>

namespace trit {

constexpr uint32_t kTileRows = 16;
constexpr uint32_t kStripTiles = 2;  // tiles that a kernel takes at once: odd ranges waste work
constexpr uint32_t kVectorBytes = 64;
constexpr uint32_t kVectorCols = 20;
constexpr uint32_t kTritsPerByte = 5;
constexpr uint32_t kByteCodes = 243;     // 3^5; a byte >= this is malformed
constexpr uint8_t kPaddingByte = 121;    // five digits 0
constexpr uint32_t kMaxPlanes = 4;       // 3^4 = 81 levels fold into one unsigned byte code
constexpr uint32_t kDefaultGroup = 160;  // exactly 8 vectors

// How planes and scales make a weight. Values are stored in files: never renumber.
enum class Encoding : uint8_t {
  kTied = 1,       // s * sum_p 3^(K-1-p) t_p; one f16 scale per (row, group)
  kFree = 2,       // sum_p a_p t_p; one f16 scale per (plane, row, group)
  kNative = 3,     // a * t; one plane, one f32 scale per row, the group is the whole row
  kDenseF32 = 4,   // row-major float32, no planes
  kDenseBf16 = 5,  // row-major bfloat16, no planes
};

static inline bool is_dense(Encoding e) {
  return e == Encoding::kDenseF32 || e == Encoding::kDenseBf16;
}

// Size formulas. All take rows, cols, group >= 1 and <= 2^24, so 64-bit products cannot overflow.
static inline uint64_t ceil_div(uint64_t a, uint64_t b) {
  return (a + b - 1) / b;
}
static inline uint64_t tile_count(uint64_t rows) {
  return ceil_div(rows, kTileRows);
}
static inline uint64_t group_count(uint64_t cols, uint64_t group) {
  return ceil_div(cols, group);
}
// Vectors that group number g of a row takes.
static inline uint64_t group_vectors(uint64_t cols, uint64_t group, uint64_t g) {
  const uint64_t left = cols - g * group;
  return ceil_div(left < group ? left : group, kVectorCols);
}
// Vectors of one tile: the sum of group_vectors over all groups of a row.
static inline uint64_t row_vectors(uint64_t cols, uint64_t group) {
  const uint64_t last = group_count(cols, group) - 1;
  return last * ceil_div(group, kVectorCols) + group_vectors(cols, group, last);
}
// Bytes of the digits of one plane.
static inline uint64_t digit_bytes(uint64_t rows, uint64_t cols, uint64_t group) {
  return tile_count(rows) * row_vectors(cols, group) * kVectorBytes;
}
// Bytes of one f16 scale array (tied, free), one entry per (padded row, group).
static inline uint64_t group_scale_bytes(uint64_t rows, uint64_t cols, uint64_t group) {
  return tile_count(rows) * kTileRows * group_count(cols, group) * 2;
}
// Bytes of the f32 scale array (native), one entry per padded row.
static inline uint64_t row_scale_bytes(uint64_t rows) {
  return tile_count(rows) * kTileRows * 4;
}

// A matrix as kernels see it: `rows` outputs, `cols` inputs, the first `planes` planes of it.
// Everything points into memory that outlives the call; nothing is owned.
struct TritView {
  const uint8_t* digits[kMaxPlanes];   // [plane] tile x vector x 64 bytes
  const uint16_t* scales[kMaxPlanes];  // f16, tile x group x 16; tied: only [0]; native: unused
  const float* row_scales;             // native only: one per padded row
  uint32_t rows, cols, group;
  uint32_t planes;      // resident ones of K, 1..kMaxPlanes
  float prefix_factor;  // tied: 3^(K - planes), exact; 1 otherwise
  Encoding encoding;    // kTied, kFree or kNative
};

// Reference pack: 16 rows of digits (row r at trits + r * stride, `cols` values in {-1, 0, 1}, rows
// past `rows` are padding and not read) to one tile, row_vectors(cols, group) * 64 bytes.
void pack_tile(const int8_t* trits, size_t stride, uint32_t rows, uint32_t cols, uint32_t group,
               uint8_t* out);

// Reference unpack, the inverse for one row r (0..15) of a tile: `cols` digits in {-1, 0, 1} (2
// from a malformed byte).
void unpack_row(const uint8_t* tile, uint32_t r, uint32_t cols, uint32_t group, int8_t* trits);

// Values of row `row` of the matrix (an embedding lookup): out[cols]. Each value is the exact
// integer code (tied) times the f32 product scale * prefix_factor; free: planes added in order.
void dequantize_row(const TritView* w, uint32_t row, float* out);

}  // namespace trit

#endif  // TRITSTACK_KERNELS_TRIT_PLANE_H_
