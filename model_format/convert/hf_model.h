// A Hugging Face folder as a whole: its settings, its text side, and for each matrix and vector
// that the model has, the tensor that holds it, with dtype and shape checked. Nothing of the size
// of the weights is read here.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_HF_MODEL_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_HF_MODEL_H_

#include <string>
#include <vector>

#include "model_format/convert/hf_config.h"
#include "model_format/convert/hf_text.h"
#include "model_format/convert/safetensors.h"
#include "model_format/model_config.h"
#include "model_format/status.h"
#include "model_format/writer.h"

namespace trit {

struct SourceMatrix {
  MatrixRole role;
  uint32_t layer;
  Shape shape;
  const Tensor* tensor;
  TernaryForm ternary;  // kNone for embedding and head
  float scale;          // packed ternary: what a trit is worth; otherwise 0
};

struct HfModel {
  HfConfig config;
  HfText text;
  Safetensors tensors;
  std::vector<SourceMatrix> matrices;  // in file order
  std::vector<VectorData> vectors;
  std::vector<std::string> warnings;
};

Result<HfModel> read_hf_model(const std::string& folder);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_HF_MODEL_H_
