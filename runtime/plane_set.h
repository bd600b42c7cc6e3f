// The weights at one moment: views of the blocks that one selection of planes holds. A forward pass
// takes one set and keeps it to its end; sets never change.
// Not here: which one is in use, and whether its pages are there (plane_stack.h).
#ifndef TRITSTACK_RUNTIME_PLANE_SET_H_
#define TRITSTACK_RUNTIME_PLANE_SET_H_

#include <cstdint>

#include "model_format/mapped_file.h"
#include "model_format/reader.h"
#include "runtime/memory_plan.h"
#include "runtime/weights.h"

namespace trit {

// Planes of one kind of matrix that are in use: the most and the fewest of any, 0 when all are
// dense.
struct ResidentPlanes {
  uint32_t layers = 0, head = 0;
  uint32_t fewest_layers = 0, fewest_head = 0;
  uint64_t blocks = 0;
  uint64_t weight_bytes = 0;  // that one token reads: without a separate embedding
  uint64_t parameters = 0;    // weights of all matrices
};

struct PlaneSet {
  PlaneSelection selection;
  Weights weights;
  ResidentPlanes resident;
  uint64_t file_end = 0;  // byte of the file behind the last block of it
};

// The first `planes` planes of a matrix, from where their blocks are.
TritView trit_view(const MatrixInfo& info, uint32_t planes, const uint8_t* const* blocks);
// Those of a view that has as many or more.
TritView first_planes(TritView view, const MatrixInfo& info, uint32_t planes);

// `blocks`: addresses of the file's blocks. The selection holds the base at least.
PlaneSet make_plane_set(const ModelReader& reader, const MappedFile& blocks,
                        const PlaneSelection& selection);

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_PLANE_SET_H_
