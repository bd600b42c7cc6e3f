// The order of residual planes in a file: most valuable per byte first. The value of a plane is
// what it takes off the model's expected loss (expected_loss.h).
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_PLANE_ORDER_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_PLANE_ORDER_H_

#include <vector>

#include "model_format/model_config.h"
#include "model_format/writer.h"

namespace trit {

// `matrices` with their errors. Plane p never comes before plane p - 1 of its matrix; equal gains
// keep the order of the matrices.
std::vector<ModelWriter::Residual> order_planes(const std::vector<MatrixInfo>& matrices);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_PLANE_ORDER_H_
