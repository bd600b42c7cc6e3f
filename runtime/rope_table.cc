// See rope_table.h.
#include "runtime/rope_table.h"

#include <cassert>

#include "model_format/portable_math.h"

namespace trit {

void RopeTable::carve(Arena* arena, const ModelConfig& config, uint32_t context) {
  config_ = &config;
  const uint64_t values = static_cast<uint64_t>(context) * (config.head_dim / 2);
  cos_ = arena->take<float>(values);
  sin_ = arena->take<float>(values);
}

void RopeTable::reach(uint32_t end) {
  const size_t half = config_->head_dim / 2;
  const double factor = config_->rope_factor;
  for (; ready_ < end; ++ready_) {
    for (size_t i = 0; i < half; ++i) {
      const double angle = ready_ * config_->rope_frequencies[i];
      cos_[ready_ * half + i] = static_cast<float>(portable_cos(angle) * factor);
      sin_[ready_ * half + i] = static_cast<float>(portable_sin(angle) * factor);
    }
  }
}

const float* RopeTable::cos(uint32_t position) const {
  assert(position < ready_);
  return cos_ + static_cast<size_t>(position) * (config_->head_dim / 2);
}

const float* RopeTable::sin(uint32_t position) const {
  assert(position < ready_);
  return sin_ + static_cast<size_t>(position) * (config_->head_dim / 2);
}

}  // namespace trit
