// Small random Hugging Face folders for tests of the converter: a config whose every key a test may
// change, and tensors whose every byte it may damage. The same seed gives the same bytes.
#ifndef TRITSTACK_TESTS_SUPPORT_TINY_CHECKPOINT_H_
#define TRITSTACK_TESTS_SUPPORT_TINY_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace trit {

struct CheckpointTensor {
  std::string name, dtype;
  std::vector<uint64_t> shape;
  std::string bytes;
};

// `values` as the bytes of an F32, F16 or BF16 tensor.
CheckpointTensor float_tensor(std::string name, std::string dtype, std::vector<uint64_t> shape,
                              const std::vector<float>& values);
// Rows x cols trits as BitNet packs them: 2 bits each, four rows to a byte.
CheckpointTensor packed_tensor(std::string name, uint32_t rows, uint32_t cols,
                               const std::vector<int8_t>& trits);

std::string safetensors_bytes(const std::vector<CheckpointTensor>& tensors);
// A file of this header text and `data_bytes` zero bytes.
std::string safetensors_bytes(std::string_view header, size_t data_bytes);

struct TinyCheckpoint {
  std::map<std::string, std::string> config;  // key to JSON text
  std::vector<CheckpointTensor> tensors;

  CheckpointTensor& tensor(const std::string& name);
  void erase(const std::string& name);
  // config.json and model.safetensors; no tokenizer.
  void write(const std::string& folder) const;
};

// 2 layers, hidden 40, 4 heads of 10 over 2 kv heads, ffn 72, vocab 100, tied head, F32 weights.
// Architectures: "LlamaForCausalLM", "Qwen2ForCausalLM" (biases), "Qwen3ForCausalLM" (q and k
// norms), "BitNetForCausalLM" (sub-norms, packed weights whose scale multiplies), ...
TinyCheckpoint tiny_checkpoint(const std::string& architecture, uint64_t seed);

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_TINY_CHECKPOINT_H_
