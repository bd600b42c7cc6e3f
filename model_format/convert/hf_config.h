// config.json to ModelConfig: sizes, features, rope and how ternary weights are stored. Every bound
// of model_config.h is checked here, so that no tensor is looked at for a model that cannot be.
// Not here: tokens and chat template (hf_text.h), tensors (hf_model.h).
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_HF_CONFIG_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_HF_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model_format/model_config.h"
#include "model_format/status.h"

namespace trit {

// How the layer matrices of a checkpoint arrive.
enum class TernaryForm : uint8_t {
  kNone,      // ordinary weights
  kMultiply,  // packed U8; the output is multiplied by weight_scale
  kDivide,    // packed U8; the output is divided by it
  kOnline,    // ordinary numbers, made ternary by the mean of their magnitudes
};

struct HfConfig {
  ModelConfig model;  // without tokens and chat family
  TernaryForm ternary = TernaryForm::kNone;
  std::vector<int32_t> eos;  // eos_token_id
};

// kMalformed, kUnsupported naming the JSON path; kIo.
Result<HfConfig> read_hf_config(const std::string& folder);
// The same from a file of any name; `name` becomes the model's.
Result<HfConfig> read_hf_config_file(const std::string& path, const std::string& name);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_HF_CONFIG_H_
