// See kv_cache.h.
#include "runtime/kv_cache.h"

#include <cstring>

namespace trit {

namespace {

uint64_t value_bytes(CacheType type) {
  return type == CacheType::kF16 ? 2 : 4;
}

}  // namespace

void KvCache::carve(Arena* arena, const ModelConfig& config, uint32_t context, CacheType keys,
                    CacheType values) {
  context_ = context;
  kv_heads_ = config.n_kv_heads;
  head_dim_ = config.head_dim;
  const uint64_t heads = static_cast<uint64_t>(config.n_layers) * kv_heads_;
  const uint64_t count = saturating_product(heads, static_cast<uint64_t>(context) * head_dim_);
  position_bytes_ = heads * head_dim_ * (value_bytes(keys) + value_bytes(values));
  keys_ = {arena->take<uint8_t>(saturating_product(count, value_bytes(keys))), keys};
  values_ = {arena->take<uint8_t>(saturating_product(count, value_bytes(values))), values};
}

uint8_t* KvCache::at(const Half& half, uint32_t layer, uint32_t kv_head, uint32_t position) const {
  const uint64_t head = static_cast<uint64_t>(layer) * kv_heads_ + kv_head;
  return half.bytes + (head * context_ + position) * head_dim_ * value_bytes(half.type);
}

void KvCache::store_one(const KernelTable& kernels, const Half& half, uint8_t* to,
                        const float* x) const {
  if (half.type == CacheType::kF16) {
    kernels.f32_to_f16(x, head_dim_, reinterpret_cast<uint16_t*>(to));
  } else {
    std::memcpy(to, x, head_dim_ * sizeof(float));
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
