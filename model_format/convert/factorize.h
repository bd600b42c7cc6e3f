// The factor that lets columns of a matrix be rounded one after the other, each making up for those
// before it: second moments H of the inputs, damped, as M D M', M upper triangular with ones on its
// diagonal. In double and in blocks; the same bits for any number of threads.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_FACTORIZE_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_FACTORIZE_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "model_format/span.h"
#include "model_format/status.h"

namespace trit {

struct Factor {
  float damping = 0;          // what was added to the diagonal of H
  std::vector<float> m;       // [n][n] M and its mirror image, so that rows and columns lie in rows
  std::vector<float> pivots;  // [n] the diagonal of D
};

// The best level that this CPU has, also where TRIT_ISA names none.
const KernelTable& any_kernels();

// moments: [n][n] symmetric. kUnsupported when they are not the finite moments of anything.
Result<Factor> factorize(Span<const float> moments, uint32_t n, uint32_t threads,
                         const std::atomic<bool>& cancel);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_FACTORIZE_H_
