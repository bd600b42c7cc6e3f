// One matrix from its tensor to the blocks of a .trit file, in row blocks of whole tiles on all
// threads: what is in memory at a time is a few rows per thread. Bytes and errors depend on the
// matrix alone. Not here: which encoding a matrix gets (converter.cc).
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_CONVERT_MATRIX_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_CONVERT_MATRIX_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "model_format/convert/compensate.h"
#include "model_format/convert/hf_model.h"
#include "model_format/model_config.h"
#include "model_format/status.h"
#include "model_format/writer.h"

namespace trit {

struct MatrixTask {
  const Safetensors& tensors;
  const SourceMatrix& source;
  const MatrixInfo& info;  // encoding, group and planes as they shall be
  uint32_t index;          // of the matrix in the file
  ModelWriter* writer;
  uint32_t threads;
  const std::atomic<bool>& cancel;
  std::function<void(uint64_t rows_done)> progress;
  std::vector<float> importance;             // [cols] of an error in a weight, where no text tells
  const Compensator* compensator = nullptr;  // null: no text tells
  // A copy of what goes to the writer, for each plane a whole block; or null.
  std::vector<std::vector<uint8_t>>* blocks = nullptr;
};

// Fills errors[0, info.planes): squared error with the first p + 1 planes over the squared norm.
Status convert_matrix(const MatrixTask& task, float* errors);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_CONVERT_MATRIX_H_
