// The order of residual planes in a file: most valuable per byte first. The value of a plane is
// what it takes off the model's expected loss: by estimate (expected_loss.h), or as measured
// (cmd/measured_order.h), and then a finished file is copied in the better order.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_PLANE_ORDER_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_PLANE_ORDER_H_

#include <array>
#include <atomic>
#include <string>
#include <vector>

#include "model_format/model_config.h"
#include "model_format/reader.h"
#include "model_format/span.h"
#include "model_format/writer.h"

namespace trit {

// [matrix][plane] what a plane takes off the loss; of base planes it does not matter.
using PlaneValues = std::vector<std::array<double, kMaxPlanes>>;
// By the errors of the matrices.
PlaneValues estimated_values(Span<const MatrixInfo> matrices);

// Plane p never comes before plane p - 1 of its matrix; equal gains keep the order of the matrices.
std::vector<ModelWriter::Residual> order_planes(Span<const MatrixInfo> matrices,
                                                const PlaneValues& values);

// The same file in another order, at `output`, which may be the place of the file itself.
// Returns its size.
Result<uint64_t> reorder_file(const ModelReader& reader, const std::string& output,
                              const std::vector<ModelWriter::Residual>& order, float base_quality,
                              const std::atomic<bool>& cancel);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_PLANE_ORDER_H_
