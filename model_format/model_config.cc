// See model_config.h: names, shapes and sizes, nothing else.
#include "model_format/model_config.h"

#include <cassert>

namespace trit {
namespace {

constexpr uint64_t kBlockAlign = kVectorBytes;

uint64_t padded(uint64_t bytes) {
  return ceil_div(bytes, kBlockAlign) * kBlockAlign;
}

}  // namespace

const char* role_name(MatrixRole role) {
  switch (role) {
    case MatrixRole::kEmbedding:
      return "embedding";
    case MatrixRole::kHead:
      return "head";
    case MatrixRole::kQ:
      return "q";
    case MatrixRole::kK:
      return "k";
    case MatrixRole::kV:
      return "v";
    case MatrixRole::kO:
      return "o";
    case MatrixRole::kGate:
      return "gate";
    case MatrixRole::kUp:
      return "up";
    case MatrixRole::kDown:
      return "down";
  }
  return "unknown";
}

const char* role_name(VectorRole role) {
  switch (role) {
    case VectorRole::kFinalNorm:
      return "final_norm";
    case VectorRole::kAttentionNorm:
      return "attention_norm";
    case VectorRole::kFfnNorm:
      return "ffn_norm";
    case VectorRole::kQNorm:
      return "q_norm";
    case VectorRole::kKNorm:
      return "k_norm";
    case VectorRole::kAttentionSubNorm:
      return "attention_sub_norm";
    case VectorRole::kFfnSubNorm:
      return "ffn_sub_norm";
    case VectorRole::kQBias:
      return "q_bias";
    case VectorRole::kKBias:
      return "k_bias";
    case VectorRole::kVBias:
      return "v_bias";
    case VectorRole::kOBias:
      return "o_bias";
    case VectorRole::kGateBias:
      return "gate_bias";
    case VectorRole::kUpBias:
      return "up_bias";
    case VectorRole::kDownBias:
      return "down_bias";
  }
  return "unknown";
}

const char* encoding_name(Encoding e) {
  switch (e) {
    case Encoding::kTied:
      return "tied";
    case Encoding::kFree:
      return "free";
    case Encoding::kNative:
      return "native";
    case Encoding::kDenseF32:
      return "f32";
    case Encoding::kDenseBf16:
      return "bf16";
  }
  return "unknown";
}

const char* family_name(ChatFamily f) {
  switch (f) {
    case ChatFamily::kPlain:
      return "plain";
    case ChatFamily::kChatMl:
      return "chatml";
    case ChatFamily::kQwen25:
      return "qwen2.5";
    case ChatFamily::kQwen3:
      return "qwen3";
    case ChatFamily::kLlama3:
      return "llama3";
    case ChatFamily::kLlama31:
      return "llama3.1";
    case ChatFamily::kLlama2:
      return "llama2";
    case ChatFamily::kMistral:
      return "mistral";
    case ChatFamily::kBitNet:
      return "bitnet";
  }
  return "unknown";
}

std::string matrix_name(const MatrixInfo& m) {
  if (!is_layer_role(m.role)) return role_name(m.role);
  return "layers." + std::to_string(m.layer) + "." + role_name(m.role);
}

Shape matrix_shape(const ModelConfig& c, MatrixRole role) {
  switch (role) {
    case MatrixRole::kEmbedding:
    case MatrixRole::kHead:
      return {c.vocab, c.hidden};
    case MatrixRole::kQ:
      return {c.q_width(), c.hidden};
    case MatrixRole::kK:
    case MatrixRole::kV:
      return {c.kv_width(), c.hidden};
    case MatrixRole::kO:
      return {c.hidden, c.q_width()};
    case MatrixRole::kGate:
    case MatrixRole::kUp:
      return {c.ffn, c.hidden};
    case MatrixRole::kDown:
      return {c.hidden, c.ffn};
  }
  return {};
}

bool has_vector(const ModelConfig& c, VectorRole role) {
  switch (role) {
    case VectorRole::kFinalNorm:
    case VectorRole::kAttentionNorm:
    case VectorRole::kFfnNorm:
      return true;
    case VectorRole::kQNorm:
    case VectorRole::kKNorm:
      return c.qk_norm;
    case VectorRole::kAttentionSubNorm:
    case VectorRole::kFfnSubNorm:
      return c.sub_norm;
    case VectorRole::kQBias:
    case VectorRole::kKBias:
    case VectorRole::kVBias:
      return c.qkv_bias;
    case VectorRole::kOBias:
      return c.o_bias;
    case VectorRole::kGateBias:
    case VectorRole::kUpBias:
    case VectorRole::kDownBias:
      return c.ffn_bias;
  }
  return false;
}

uint32_t vector_size(const ModelConfig& c, VectorRole role) {
  switch (role) {
    case VectorRole::kFinalNorm:
    case VectorRole::kAttentionNorm:
    case VectorRole::kFfnNorm:
    case VectorRole::kOBias:
    case VectorRole::kDownBias:
      return c.hidden;
    case VectorRole::kQNorm:
    case VectorRole::kKNorm:
      return c.head_dim;
    case VectorRole::kAttentionSubNorm:
    case VectorRole::kQBias:
      return c.q_width();
    case VectorRole::kKBias:
    case VectorRole::kVBias:
      return c.kv_width();
    case VectorRole::kFfnSubNorm:
    case VectorRole::kGateBias:
    case VectorRole::kUpBias:
      return c.ffn;
  }
  return 0;
}

bool is_layer_role(MatrixRole role) {
  return role != MatrixRole::kEmbedding && role != MatrixRole::kHead;
}

MatrixRole first_with_input_of(MatrixRole role) {
  if (role == MatrixRole::kK || role == MatrixRole::kV) return MatrixRole::kQ;
  return role == MatrixRole::kUp ? MatrixRole::kGate : role;
}

bool is_layer_role(VectorRole role) {
  return role != VectorRole::kFinalNorm;
}

uint64_t block_scale_bytes(const MatrixInfo& m, uint32_t plane) {
  if (m.encoding == Encoding::kNative) return padded(row_scale_bytes(m.rows));
  const bool has_scales =
      m.encoding == Encoding::kFree || (m.encoding == Encoding::kTied && plane == 0);
  return has_scales ? padded(group_scale_bytes(m.rows, m.cols, m.group)) : 0;
}

uint64_t block_bytes(const MatrixInfo& m, uint32_t plane) {
  assert(plane < m.planes);
  if (is_dense(m.encoding)) {
    const uint64_t value_bytes = m.encoding == Encoding::kDenseF32 ? 4 : 2;
    return padded(uint64_t{m.rows} * m.cols * value_bytes);
  }
  return block_scale_bytes(m, plane) + digit_bytes(m.rows, m.cols, m.group);
}

}  // namespace trit
