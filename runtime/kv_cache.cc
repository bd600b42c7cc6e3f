// See kv_cache.h.
#include "runtime/kv_cache.h"

#include <cassert>

namespace trit {

void KvCache::carve(Arena* arena, const ModelConfig& config, uint32_t context, CacheType keys,
                    CacheType values) {
  kv_heads_ = config.n_kv_heads;
  head_dim_ = config.head_dim;
  position_bytes_ = 0;
  const uint64_t heads = static_cast<uint64_t>(config.n_layers) * kv_heads_;
  const auto half = [&](CacheType type, uint64_t positions) {
    assert(type != CacheType::kQ8 || head_dim_ <= kQ8MaxRow);
    const uint64_t row_bytes = cache_bytes(type, head_dim_), head_bytes = positions * row_bytes;
    position_bytes_ += heads * row_bytes;
    return Half{arena->take<uint8_t>(saturating_product(heads, head_bytes)), head_bytes, type};
  };
  keys_ = half(keys, padded_positions(context));
  values_ = half(values, context);
}

uint8_t* KvCache::at(const Half& half, uint32_t layer, uint32_t kv_head) const {
  return half.bytes + (static_cast<uint64_t>(layer) * kv_heads_ + kv_head) * half.head_bytes;
}

void KvCache::store(const KernelTable& kernels, uint32_t layer, uint32_t kv_head, uint32_t position,
                    const float* key, const float* value) {
  store_key(kernels, keys_.type, head_dim_, position, key, at(keys_, layer, kv_head));
  store_value(kernels, values_.type, head_dim_, position, value, at(values_, layer, kv_head));
}

HeadCache KvCache::head(uint32_t layer, uint32_t kv_head) const {
  return {at(keys_, layer, kv_head), at(values_, layer, kv_head), keys_.type, values_.type};
}

}  // namespace trit
