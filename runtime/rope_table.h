// cos and sin of every position and pair, f32, computed in double with our own functions so that
// all CPUs get the same bits. Rows come to be when a position is first reached: a long context
// costs nothing at open.
#ifndef TRITSTACK_RUNTIME_ROPE_TABLE_H_
#define TRITSTACK_RUNTIME_ROPE_TABLE_H_

#include <cstdint>

#include "model_format/model_config.h"
#include "runtime/arena.h"

namespace trit {

class RopeTable {
 public:
  void carve(Arena* arena, const ModelConfig& config, uint32_t context);

  // Makes the rows of positions [0, end) ready.
  void reach(uint32_t end);
  const float* cos(uint32_t position) const;  // [head_dim / 2]
  const float* sin(uint32_t position) const;  // [head_dim / 2]

 private:
  const ModelConfig* config_ = nullptr;
  float* cos_ = nullptr;  // [context][head_dim / 2]
  float* sin_ = nullptr;  // [context][head_dim / 2]
  uint32_t ready_ = 0;    // rows computed
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_ROPE_TABLE_H_
