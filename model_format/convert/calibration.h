// What running the model on text tells about the inputs of a matrix. Compensation (compensate.h)
// wants the planes of a matrix to do what the dense matrix does in the dense model, given what the
// planes before it have already changed. Abstract, because running a model is the business of the
// runtime (cmd/model_calibration.h), which this room does not know.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_CALIBRATION_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_CALIBRATION_H_

#include <cstdint>
#include <vector>

#include "model_format/model_config.h"
#include "model_format/span.h"
#include "model_format/status.h"

namespace trit {

// Of one matrix W and one prefix of its planes, over all calibration tokens. X: its inputs, as int8
// codes stand for them, in the model whose matrices before it use that many planes. What W X^T
// should be is told by one of the other two; by none for the head, which may be the embedding too.
struct InputStatistics {
  uint32_t planes;
  Span<const float> moments;  // [cols][cols] X^T X
  Span<const float> dense;    // [cols][cols] Y^T X; Y: the inputs in the dense model
  Span<const float> outputs;  // [rows][cols] T^T X, of o and down; T: what turns the residual
                              // stream before it into that of the dense model after it
};

// Layer matrices come first, in the order of the file; then the head, which may be the embedding.
class Calibration {
 public:
  virtual ~Calibration() = default;
  // For every prefix, most planes first; of the head for the longest alone. Valid until the next
  // call. Each matrix after take() of all layer matrices before it.
  virtual Result<std::vector<InputStatistics>> measure(MatrixRole role, uint32_t layer) = 0;
  // What a layer matrix became, a block for each plane.
  virtual Status take(const MatrixInfo& info, std::vector<std::vector<uint8_t>> blocks) = 0;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_CALIBRATION_H_
