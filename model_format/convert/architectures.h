// THE table of architectures: one row per Hugging Face class name says which features it has and
// how they depend on config.json. To add a model of this family, add a row; the runtime knows
// features only. Here too: what the tensors of the family are called.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_ARCHITECTURES_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_ARCHITECTURES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/model_config.h"

namespace trit {

// Whether a model has a feature: never, always, or as a flag of config.json says.
enum class When : uint8_t { kNever, kAlways, kFlag };

struct Architecture {
  const char* name;        // as in "architectures"
  const char* model_type;  // stands in where "architectures" is missing
  Activation activation;   // where "hidden_act" is missing
  When qkv_bias, o_bias;   // flag: attention_bias
  When ffn_bias;           // flag: mlp_bias
  When window;             // flag: a sliding_window counts only if use_sliding_window is true
  bool qk_norm, sub_norm;
};

// nullptr when there is no such row.
const Architecture* find_architecture(std::string_view name);
const Architecture* find_model_type(std::string_view model_type);
std::string architecture_names();  // "LlamaForCausalLM, ..."

// The tensor name without ".weight", ".bias" or ".weight_scale": "model.layers.3.self_attn.q_proj".
std::string matrix_tensor(MatrixRole role, uint32_t layer);
// Full names a vector may have; the first that is there counts.
std::vector<std::string> vector_tensors(VectorRole role, uint32_t layer);
// Tensors that some checkpoints carry and no model needs.
bool is_harmless_tensor(std::string_view name);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_ARCHITECTURES_H_
