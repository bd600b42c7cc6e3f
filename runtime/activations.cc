// See activations.h.
#include "runtime/activations.h"

namespace trit {

void Activations::carve(Arena* arena, const ModelConfig& config, uint32_t tokens) {
  const auto take = [&](uint64_t width) { return arena->take<float>(tokens * width); };
  residual = take(config.hidden);
  normed = take(config.hidden);
  query = take(config.q_width());
  key = take(config.kv_width());
  value = take(config.kv_width());
  attended = take(config.q_width());
  gate = take(config.ffn);
  up = take(config.ffn);
  update = take(config.hidden);
}

}  // namespace trit
