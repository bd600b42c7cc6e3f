// See tiny_checkpoint.h.
#include "tests/support/tiny_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "kernels/half.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace trit {
namespace {

constexpr uint32_t kLayers = 2, kHidden = 40, kHeadDim = 10, kHeads = 4, kKvHeads = 2, kFfn = 72,
                   kVocab = 100;

template <typename T>
void append(std::string* out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) *out += static_cast<char>(value >> (8 * i) & 255);
}

class Builder {
 public:
  Builder(TinyCheckpoint* checkpoint, uint64_t seed) : out_(*checkpoint), random_(seed) {}

  void matrix(const std::string& name, uint32_t rows, uint32_t cols) {
    const double scale = 1 / std::sqrt(static_cast<double>(cols));
    out_.tensors.push_back(float_tensor(name + ".weight", "F32", {rows, cols},
                                        normals(uint64_t{rows} * cols, 0, scale)));
  }
  void packed(const std::string& name, uint32_t rows, uint32_t cols) {
    std::vector<int8_t> trits(uint64_t{rows} * cols);
    for (int8_t& t : trits) t = random_.trit();
    out_.tensors.push_back(packed_tensor(name + ".weight", rows, cols, trits));
    out_.tensors.push_back(float_tensor(name + ".weight_scale", "BF16", {1}, {0.25f}));
  }
  void vector(const std::string& name, uint32_t size, double mean) {
    out_.tensors.push_back(float_tensor(name, "F32", {size}, normals(size, mean, 0.25)));
  }

 private:
  std::vector<float> normals(uint64_t count, double mean, double scale) {
    std::vector<float> values(count);
    for (float& x : values) x = static_cast<float>(mean + scale * random_.normal());
    return values;
  }
  TinyCheckpoint& out_;
  Random random_;
};

void add_layer(Builder* b, const std::string& architecture, uint32_t layer) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  const bool ternary = architecture.rfind("Bit", 0) == 0;
  const auto linear = [&](const std::string& name, uint32_t rows, uint32_t cols) {
    ternary ? b->packed(prefix + name, rows, cols) : b->matrix(prefix + name, rows, cols);
  };
  const auto norm = [&](const std::string& name, uint32_t size) {
    b->vector(prefix + name + ".weight", size, 1);
  };
  norm("input_layernorm", kHidden);
  norm("post_attention_layernorm", kHidden);
  linear("self_attn.q_proj", kHeads * kHeadDim, kHidden);
  linear("self_attn.k_proj", kKvHeads * kHeadDim, kHidden);
  linear("self_attn.v_proj", kKvHeads * kHeadDim, kHidden);
  linear("self_attn.o_proj", kHidden, kHeads * kHeadDim);
  linear("mlp.gate_proj", kFfn, kHidden);
  linear("mlp.up_proj", kFfn, kHidden);
  linear("mlp.down_proj", kHidden, kFfn);
  if (architecture == "Qwen2ForCausalLM") {
    b->vector(prefix + "self_attn.q_proj.bias", kHeads * kHeadDim, 0);
    b->vector(prefix + "self_attn.k_proj.bias", kKvHeads * kHeadDim, 0);
    b->vector(prefix + "self_attn.v_proj.bias", kKvHeads * kHeadDim, 0);
  } else if (architecture == "Qwen3ForCausalLM") {
    norm("self_attn.q_norm", kHeadDim);
    norm("self_attn.k_norm", kHeadDim);
  } else if (ternary) {
    norm("self_attn.attn_sub_norm", kHeads * kHeadDim);
    norm("mlp.ffn_sub_norm", kFfn);
  }
}

}  // namespace

CheckpointTensor float_tensor(std::string name, std::string dtype, std::vector<uint64_t> shape,
                              const std::vector<float>& values) {
  CheckpointTensor t{std::move(name), std::move(dtype), std::move(shape), ""};
  for (const float x : values) {
    if (t.dtype == "F32") append(&t.bytes, f32_to_bits(x));
    if (t.dtype == "F16") append(&t.bytes, f32_to_f16(x));
    if (t.dtype == "BF16") append(&t.bytes, f32_to_bf16(x));
  }
  return t;
}

CheckpointTensor packed_tensor(std::string name, uint32_t rows, uint32_t cols,
                               const std::vector<int8_t>& trits) {
  const uint32_t stored = (rows + 3) / 4;
  CheckpointTensor t{std::move(name), "U8", {stored, cols}, std::string(stored * cols, '\0')};
  for (uint32_t r = 0; r < rows; ++r)
    for (uint32_t c = 0; c < cols; ++c) {
      char& byte = t.bytes[r % stored * cols + c];
      byte = static_cast<char>(byte | (trits[r * cols + c] + 1) << (2 * (r / stored)));
    }
  return t;
}

std::string safetensors_bytes(std::string_view header, size_t data_bytes) {
  std::string out;
  append(&out, static_cast<uint64_t>(header.size()));
  out += header;
  return out + std::string(data_bytes, '\0');
}

std::string safetensors_bytes(const std::vector<CheckpointTensor>& tensors) {
  std::string header, data;
  for (const CheckpointTensor& t : tensors) {
    std::string shape;
    for (const uint64_t dim : t.shape) shape += (shape.empty() ? "" : ",") + std::to_string(dim);
    header += (header.empty() ? "{\"" : ",\"") + t.name + "\":{\"dtype\":\"" + t.dtype +
              "\",\"shape\":[" + shape + "],\"data_offsets\":[" + std::to_string(data.size());
    data += t.bytes;
    header += "," + std::to_string(data.size()) + "]}";
  }
  return safetensors_bytes(header + "}", 0) + data;
}

CheckpointTensor& TinyCheckpoint::tensor(const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(),
                       [&](const CheckpointTensor& t) { return t.name == name; });
}

void TinyCheckpoint::erase(const std::string& name) {
  tensors.erase(tensors.begin() + (&tensor(name) - tensors.data()));
}

void TinyCheckpoint::write(const std::string& folder) const {
  std::filesystem::create_directories(folder);
  std::string text;
  for (const auto& [key, value] : config)
    text += (text.empty() ? "{\"" : ",\n\"") + key + "\": " + value;
  write_file(folder + "/config.json", text + "}\n");
  write_file(folder + "/model.safetensors", safetensors_bytes(tensors));
}

TinyCheckpoint tiny_checkpoint(const std::string& architecture, uint64_t seed) {
  TinyCheckpoint checkpoint;
  checkpoint.config = {{"architectures", "[\"" + architecture + "\"]"},
                       {"eos_token_id", "2"},
                       {"head_dim", std::to_string(kHeadDim)},
                       {"hidden_size", std::to_string(kHidden)},
                       {"intermediate_size", std::to_string(kFfn)},
                       {"max_position_embeddings", "64"},
                       {"num_attention_heads", std::to_string(kHeads)},
                       {"num_hidden_layers", std::to_string(kLayers)},
                       {"num_key_value_heads", std::to_string(kKvHeads)},
                       {"rms_norm_eps", "1e-05"},
                       {"rope_theta", "10000.0"},
                       {"tie_word_embeddings", "true"},
                       {"vocab_size", std::to_string(kVocab)}};
  if (architecture.rfind("Bit", 0) == 0)
    checkpoint.config["quantization_config"] =
        R"({"quant_method": "bitnet", "linear_class": "autobitlinear"})";
  Builder b(&checkpoint, seed);
  b.matrix("model.embed_tokens", kVocab, kHidden);
  for (uint32_t layer = 0; layer < kLayers; ++layer) add_layer(&b, architecture, layer);
  b.vector("model.norm.weight", kHidden, 1);
  return checkpoint;
}

}  // namespace trit
