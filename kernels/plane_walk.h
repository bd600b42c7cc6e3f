// What trit_gemv and trit_gemm of every instruction set share: the shape of a matrix's groups, and
// where a group's digits and scales are. No arithmetic on digits, which is each level's own.
//
// A part is what one integer sum runs over: all planes of a tied or native matrix, folded to one
// code sum_p 3^(planes-1-p) * u_p per weight (u = t + 1), or one plane of a free matrix. A code is
// unsigned; the digits are code - offset, so digits . x = code . x - offset * sum(x).
#ifndef TRITSTACK_KERNELS_PLANE_WALK_H_
#define TRITSTACK_KERNELS_PLANE_WALK_H_

#include <string.h>

#include "kernels/half.h"
#include "kernels/trit_plane.h"

namespace trit {

constexpr uint32_t kVectorCodes = kVectorBytes * kTritsPerByte;  // one u8 code per weight

struct PlaneWalk {
  uint64_t row_vectors;  // of one tile
  uint32_t groups, group_vectors, last_vectors;
  uint32_t parts, part_planes;
  uint32_t offset;  // of a part's codes: (3^part_planes - 1) / 2
};

static inline PlaneWalk plane_walk(const TritView* w) {
  const uint64_t groups = group_count(w->cols, w->group);
  PlaneWalk walk;
  walk.row_vectors = row_vectors(w->cols, w->group);
  walk.groups = static_cast<uint32_t>(groups);
  walk.group_vectors = static_cast<uint32_t>(group_vectors(w->cols, w->group, 0));
  walk.last_vectors = static_cast<uint32_t>(group_vectors(w->cols, w->group, groups - 1));
  walk.parts = w->encoding == Encoding::kFree ? w->planes : 1;
  walk.part_planes = w->planes / walk.parts;
  walk.offset = 0;
  for (uint32_t p = 0; p < walk.part_planes; ++p) walk.offset = walk.offset * 3 + 1;
  return walk;
}

static inline uint32_t vectors_of(const PlaneWalk& walk, uint32_t g) {
  return g + 1 < walk.groups ? walk.group_vectors : walk.last_vectors;
}
static inline uint64_t first_vector(const PlaneWalk& walk, uint32_t g) {
  return static_cast<uint64_t>(g) * walk.group_vectors;
}

// The 16 f16 scales of a part in a group of a tile (not for native).
static inline const uint16_t* group_scales(const TritView* w, const PlaneWalk& walk, uint32_t part,
                                           uint64_t tile, uint32_t g) {
  return w->scales[part] + (tile * walk.groups + g) * kTileRows;
}

// Rows of a tile that exist: 16, fewer in the last tile.
static inline uint32_t tile_rows(const TritView* w, uint64_t tile) {
  const uint64_t left = w->rows - tile * kTileRows;
  return static_cast<uint32_t>(left < kTileRows ? left : kTileRows);
}

// Four activations as one dword, for kernels that broadcast it to all lanes.
static inline int32_t load_dword(const int8_t* x) {
  int32_t dword;
  memcpy(&dword, x, 4);
  return dword;
}

}  // namespace trit

#endif  // TRITSTACK_KERNELS_PLANE_WALK_H_
