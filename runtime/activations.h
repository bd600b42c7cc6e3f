// The values between the weights, for one forward pass of up to `tokens` tokens, each buffer named
// for what it holds. Carved from the session's arena once. Not here: int8 codes (ops.h).
#ifndef TRITSTACK_RUNTIME_ACTIVATIONS_H_
#define TRITSTACK_RUNTIME_ACTIVATIONS_H_

#include <cstdint>

#include "model_format/model_config.h"
#include "runtime/arena.h"

namespace trit {

struct Activations {
  void carve(Arena* arena, const ModelConfig& config, uint32_t tokens);

  float* residual;  // [tokens][hidden] the stream that every block adds to
  float* normed;    // [tokens][hidden]
  float* query;     // [tokens][q_width]
  float* key;       // [tokens][kv_width]
  float* value;     // [tokens][kv_width]
  float* attended;  // [tokens][q_width]
  float* gate;      // [tokens][ffn] then gate * up
  float* up;        // [tokens][ffn]
  float* update;    // [tokens][hidden] what a block adds to the residual
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_ACTIVATIONS_H_
