// See architectures.h.
#include "model_format/convert/architectures.h"

namespace trit {
namespace {

constexpr Activation kSilu = Activation::kSilu, kRelu2 = Activation::kRelu2;
constexpr When kNever = When::kNever, kAlways = When::kAlways, kFlag = When::kFlag;

// clang-format off
constexpr Architecture kArchitectures[] = {
    // name                type       activation qkv_bias o_bias  ffn_bias window  qk_norm sub_norm
    {"LlamaForCausalLM",   "llama",   kSilu,     kFlag,   kFlag,  kFlag,   kAlways, false, false},
    {"MistralForCausalLM", "mistral", kSilu,     kNever,  kNever, kNever,  kAlways, false, false},
    {"Qwen2ForCausalLM",   "qwen2",   kSilu,     kAlways, kNever, kNever,  kFlag,   false, false},
    {"Qwen3ForCausalLM",   "qwen3",   kSilu,     kFlag,   kFlag,  kNever,  kFlag,   true,  false},
    {"BitNetForCausalLM",  "bitnet",  kRelu2,    kFlag,   kFlag,  kNever,  kAlways, false, true},
    {"BitnetForCausalLM",  "bitnet",  kRelu2,    kFlag,   kFlag,  kNever,  kAlways, false, true},
};
// clang-format on

struct MatrixName {
  MatrixRole role;
  const char* name;
};
constexpr MatrixName kMatrixNames[] = {
    {MatrixRole::kEmbedding, "model.embed_tokens"}, {MatrixRole::kHead, "lm_head"},
    {MatrixRole::kQ, "self_attn.q_proj"},           {MatrixRole::kK, "self_attn.k_proj"},
    {MatrixRole::kV, "self_attn.v_proj"},           {MatrixRole::kO, "self_attn.o_proj"},
    {MatrixRole::kGate, "mlp.gate_proj"},           {MatrixRole::kUp, "mlp.up_proj"},
    {MatrixRole::kDown, "mlp.down_proj"},
};

struct VectorName {
  VectorRole role;
  const char* name;
};
constexpr VectorName kVectorNames[] = {
    {VectorRole::kFinalNorm, "model.norm.weight"},
    {VectorRole::kAttentionNorm, "input_layernorm.weight"},
    {VectorRole::kFfnNorm, "post_attention_layernorm.weight"},
    {VectorRole::kQNorm, "self_attn.q_norm.weight"},
    {VectorRole::kKNorm, "self_attn.k_norm.weight"},
    {VectorRole::kAttentionSubNorm, "self_attn.attn_sub_norm.weight"},
    {VectorRole::kAttentionSubNorm, "self_attn.inner_attn_ln.weight"},  // 1bitLLM's first models
    {VectorRole::kFfnSubNorm, "mlp.ffn_sub_norm.weight"},
    {VectorRole::kFfnSubNorm, "mlp.ffn_layernorm.weight"},
    {VectorRole::kQBias, "self_attn.q_proj.bias"},
    {VectorRole::kKBias, "self_attn.k_proj.bias"},
    {VectorRole::kVBias, "self_attn.v_proj.bias"},
    {VectorRole::kOBias, "self_attn.o_proj.bias"},
    {VectorRole::kGateBias, "mlp.gate_proj.bias"},
    {VectorRole::kUpBias, "mlp.up_proj.bias"},
    {VectorRole::kDownBias, "mlp.down_proj.bias"},
};

std::string in_layer(uint32_t layer, const char* name) {
  return "model.layers." + std::to_string(layer) + "." + name;
}

}  // namespace

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture& a : kArchitectures)
    if (name == a.name) return &a;
  return nullptr;
}

const Architecture* find_model_type(std::string_view model_type) {
  for (const Architecture& a : kArchitectures)
    if (model_type == a.model_type) return &a;
  return nullptr;
}

std::string architecture_names() {
  std::string names;
  for (const Architecture& a : kArchitectures)
    names += (names.empty() ? "" : ", ") + std::string(a.name);
  return names;
}

std::string matrix_tensor(MatrixRole role, uint32_t layer) {
  for (const MatrixName& row : kMatrixNames)
    if (row.role == role) return is_layer_role(role) ? in_layer(layer, row.name) : row.name;
  return "";
}

std::vector<std::string> vector_tensors(VectorRole role, uint32_t layer) {
  std::vector<std::string> names;
  for (const VectorName& row : kVectorNames)
    if (row.role == role)
      names.push_back(is_layer_role(role) ? in_layer(layer, row.name) : row.name);
  return names;
}

bool is_harmless_tensor(std::string_view name) {
  constexpr std::string_view kSuffix = "rotary_emb.inv_freq";
  return name.size() >= kSuffix.size() && name.substr(name.size() - kSuffix.size()) == kSuffix;
}

}  // namespace trit
