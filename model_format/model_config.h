// What a model is, in features and not in names: the runtime reads only this. The converter's table
// of architectures fills it, FORMAT.md says how it is stored, head_sections.cc checks bounds.
#ifndef TRITSTACK_MODEL_FORMAT_MODEL_CONFIG_H_
#define TRITSTACK_MODEL_FORMAT_MODEL_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/trit_plane.h"

namespace trit {

// Limits, checked by the converter and by the reader alike.
constexpr uint32_t kMaxLayers = 1024;
constexpr uint32_t kMaxDim = 1u << 20;  // hidden, ffn, heads * head_dim
constexpr uint32_t kMaxGroup = 1u << 20;
constexpr uint32_t kMaxHeadDim = 1024;
constexpr uint32_t kMaxVocab = 1u << 22;
constexpr uint32_t kMaxContext = 1u << 24;
constexpr uint32_t kMaxEndTokens = 64;
constexpr int32_t kNoToken = -1;

// Stored values: never renumber.
enum class Activation : uint32_t { kSilu = 0, kRelu2 = 1 };

enum class ChatFamily : uint32_t {
  kPlain = 0,  // no template known: "User: ...\nAssistant:"
  kChatMl = 1,
  kQwen25 = 2,
  kQwen3 = 3,
  kLlama3 = 4,
  kLlama31 = 5,  // and later: knowledge date and today's date in the system turn
  kLlama2 = 6,
  kMistral = 7,  // Mistral Nemo (v3 tekken); see chat_template.h
  kBitNet = 8,
};

struct ModelConfig {
  std::string name;          // for people: the source folder's name
  std::string architecture;  // for people: "Qwen3ForCausalLM"
  uint32_t n_layers = 0;
  uint32_t hidden = 0;
  uint32_t n_heads = 0;
  uint32_t n_kv_heads = 0;  // divides n_heads
  uint32_t head_dim = 0;    // even
  uint32_t ffn = 0;
  uint32_t vocab = 0;  // rows of embedding and head
  uint32_t max_positions = 0;
  Activation activation = Activation::kSilu;
  float norm_eps = 0;
  // Rotation per position of pair i (i < head_dim / 2), in double; linear, llama3 and yarn scaling
  // are already inside, so the runtime knows no rope types. cos and sin are times rope_factor.
  std::vector<double> rope_frequencies;
  float rope_factor = 1;
  bool tied_head = false;                                   // the head is the embedding
  bool qkv_bias = false, o_bias = false, ffn_bias = false;  // ffn: gate, up and down
  bool qk_norm = false;   // RMS norm per head on q and k, before rope
  bool sub_norm = false;  // RMS norm before o and before down (BitNet)
  ChatFamily chat_family = ChatFamily::kPlain;
  int32_t bos = kNoToken;           // only when the tokenizer puts it first
  int32_t eos = kNoToken;           // the one that chat templates write after an answer
  std::vector<int32_t> end_tokens;  // all of them, sorted; any of them ends an answer

  uint32_t q_width() const { return n_heads * head_dim; }
  uint32_t kv_width() const { return n_kv_heads * head_dim; }
};

// The model's own sampling defaults (generation_config.json); flags win.
struct GenerationDefaults {
  bool do_sample = true;  // false: temperature 0
  // Negative: the model does not say, the runtime's default holds.
  float temperature = -1, top_p = -1, min_p = -1, repeat_penalty = -1;
  int32_t top_k = -1;
};

// Stored values: never renumber.
enum class MatrixRole : uint16_t {
  kEmbedding = 0,
  kHead = 1,
  kQ = 2,
  kK = 3,
  kV = 4,
  kO = 5,
  kGate = 6,
  kUp = 7,
  kDown = 8,
};
constexpr uint32_t kMatrixRoles = 9;

enum class VectorRole : uint16_t {
  kFinalNorm = 0,
  kAttentionNorm = 1,
  kFfnNorm = 2,
  kQNorm = 3,
  kKNorm = 4,
  kAttentionSubNorm = 5,
  kFfnSubNorm = 6,
  kQBias = 7,
  kKBias = 8,
  kVBias = 9,
  kOBias = 10,
  kGateBias = 11,
  kUpBias = 12,
  kDownBias = 13,
};
constexpr uint32_t kVectorRoles = 14;

const char* role_name(MatrixRole role);  // "embedding", "q", ...
const char* role_name(VectorRole role);  // "final_norm", ...
const char* encoding_name(Encoding e);   // "tied", "free", "native", "f32", "bf16"
const char* family_name(ChatFamily f);   // "plain", "chatml", "qwen2.5", ...

// One weight matrix: rows outputs, cols inputs. `layer` is 0 for embedding and head.
struct MatrixInfo {
  MatrixRole role = MatrixRole::kEmbedding;
  uint32_t layer = 0;
  Encoding encoding = Encoding::kTied;
  uint32_t rows = 0, cols = 0;
  uint32_t group = 0;        // columns per scale; native: cols; dense: 0
  uint32_t planes = 0;       // stored planes K; dense: 1 ("one block")
  uint32_t base_planes = 0;  // how many of them are the base
  // errors[p - 1] = squared relative error |W - W_p|^2 / |W|^2 with the first p planes.
  float errors[kMaxPlanes] = {};
};

// "layers.3.q", "embedding".
std::string matrix_name(const MatrixInfo& m);

// The shape a matrix or vector must have in this model, and whether the model has it at all.
struct Shape {
  uint32_t rows = 0, cols = 0;
};
Shape matrix_shape(const ModelConfig& c, MatrixRole role);
bool has_vector(const ModelConfig& c, VectorRole role);
uint32_t vector_size(const ModelConfig& c, VectorRole role);
bool is_layer_role(MatrixRole role);
// The first, in the file, of the matrices that have the same input.
MatrixRole first_with_input_of(MatrixRole role);
bool is_layer_role(VectorRole role);

// The bytes of block (matrix, plane), from its shape alone: scales first (tied: with plane 0 only),
// padded to 64, then digits; dense: the values. And where the digits start inside the block.
uint64_t block_bytes(const MatrixInfo& m, uint32_t plane);
uint64_t block_scale_bytes(const MatrixInfo& m, uint32_t plane);  // padded to 64; digits follow

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_MODEL_CONFIG_H_
