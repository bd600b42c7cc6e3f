// The transformer once more, naive and in double: whole matrices as doubles, no cache, no chunks,
// no threads. Shares no code with runtime/; what the two must agree on is the arithmetic of the
// paper and, for trit planes, that inputs are rounded to int8 per group.
#ifndef TRITSTACK_TESTS_SUPPORT_REFERENCE_H_
#define TRITSTACK_TESTS_SUPPORT_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "model_format/reader.h"

namespace trit {

struct ReferenceResult {
  std::vector<double> logits;  // [tokens][vocab]
  // How near any input came to the middle between two int8 steps, in steps: an engine that sums in
  // another order, or in float, may round such an input the other way. 0.5 when nothing is rounded.
  double tie_distance = 0.5;
};

// planes, head_planes: use at most so many of each matrix; 0: all.
ReferenceResult reference_logits(const ModelReader& reader, const std::vector<int32_t>& ids,
                                 uint32_t planes = 0, uint32_t head_planes = 0);

// sum (a - b)^2 / sum b^2; infinity when a is not finite.
double nmse(const std::vector<float>& a, const std::vector<double>& b);

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_REFERENCE_H_
