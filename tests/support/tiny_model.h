// Small random .trit files, written with ModelWriter: every feature mix the reader and the runtime
// must handle, without a checkpoint. The same arguments give the same bytes.
#ifndef TRITSTACK_TESTS_SUPPORT_TINY_MODEL_H_
#define TRITSTACK_TESTS_SUPPORT_TINY_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model_format/model_config.h"
#include "model_format/status.h"

namespace trit {

struct TinyModel {
  ModelConfig config;                        // see tiny_config()
  Encoding encoding = Encoding::kTied;       // of the layer matrices
  Encoding head_encoding = Encoding::kTied;  // of embedding and head
  uint32_t planes = 3, head_planes = 4;
  uint32_t group = 40;
  uint64_t seed = 1;
  std::vector<uint8_t> tokenizer;  // section bytes, may be empty
};

// 2 layers, hidden 40, 4 heads of 12 over 2 kv heads, ffn 72, vocab 100, 64 positions, tied head,
// no biases, no extra norms: odd sizes on purpose. Change what a test needs.
ModelConfig tiny_config();

// A tokenizer section of one piece, "?", that stands for everything.
std::vector<uint8_t> tiny_tokenizer();

// Random digits and vectors, scales such that activations stay near 1.
Status write_tiny_model(const std::string& path, const TinyModel& model);

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_TINY_MODEL_H_
