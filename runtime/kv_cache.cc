// See kv_cache.h.
#include "runtime/kv_cache.h"

#include <cassert>
#include <cstring>

namespace trit {

void KvCache::carve(Arena* arena, const ModelConfig& config, uint32_t context, CacheType keys,
                    CacheType values) {
  context_ = context;
  kv_heads_ = config.n_kv_heads;
  head_dim_ = config.head_dim;
  const uint64_t heads = static_cast<uint64_t>(config.n_layers) * kv_heads_;
  const auto half = [&](CacheType type) {
    assert(type != CacheType::kQ8 || head_dim_ <= kQ8MaxRow);
    const uint64_t row_bytes = cache_bytes(type, head_dim_);
    position_bytes_ += heads * row_bytes;
    return Half{arena->take<uint8_t>(saturating_product(heads, context * row_bytes)), row_bytes,
                type};
  };
  position_bytes_ = 0;
  keys_ = half(keys);
  values_ = half(values);
}

uint8_t* KvCache::at(const Half& half, uint32_t layer, uint32_t kv_head, uint32_t position) const {
  const uint64_t head = static_cast<uint64_t>(layer) * kv_heads_ + kv_head;
  return half.bytes + (head * context_ + position) * half.row_bytes;
}

void KvCache::store_one(const KernelTable& kernels, const Half& half, uint8_t* to,
                        const float* x) const {
  if (half.type == CacheType::kF16) {
    kernels.f32_to_f16(x, head_dim_, reinterpret_cast<uint16_t*>(to));
  } else if (half.type == CacheType::kQ8) {
    kernels.f32_to_q8(x, head_dim_, to);
  } else {
    std::memcpy(to, x, half.row_bytes);
  }
}

void KvCache::store(const KernelTable& kernels, uint32_t layer, uint32_t kv_head, uint32_t position,
                    const float* key, const float* value) {
  store_one(kernels, keys_, at(keys_, layer, kv_head, position), key);
  store_one(kernels, values_, at(values_, layer, kv_head, position), value);
}

HeadCache KvCache::head(uint32_t layer, uint32_t kv_head) const {
  return {at(keys_, layer, kv_head, 0), at(values_, layer, kv_head, 0), keys_.type, values_.type};
}

}  // namespace trit
