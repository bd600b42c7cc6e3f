// Keys and values of every position so far: per layer and kv head one run of each, so that one
// attention head reads contiguous memory. f32, f16 or q8_0, keys and values apart.
// Not here: how a run is laid out (kernels/head_cache.h), how many positions are valid
// (session.cc).
#ifndef TRITSTACK_RUNTIME_KV_CACHE_H_
#define TRITSTACK_RUNTIME_KV_CACHE_H_

#include <cstdint>

#include "kernels/kernels.h"
#include "model_format/model_config.h"
#include "runtime/arena.h"

namespace trit {

class KvCache {
 public:
  void carve(Arena* arena, const ModelConfig& config, uint32_t context, CacheType keys,
             CacheType values);

  // Rounds one position of one head into the cache. key, value: [head_dim].
  void store(const KernelTable& kernels, uint32_t layer, uint32_t kv_head, uint32_t position,
             const float* key, const float* value);
  HeadCache head(uint32_t layer, uint32_t kv_head) const;
  // What attention over one position reads, all layers and heads together.
  uint64_t position_bytes() const { return position_bytes_; }

 private:
  struct Half {  // all keys, or all values
    uint8_t* bytes;
    uint64_t head_bytes;  // of all positions of one head of one layer
    CacheType type;
  };

  // First byte of a head.
  uint8_t* at(const Half& half, uint32_t layer, uint32_t kv_head) const;

  Half keys_ = {}, values_ = {};
  uint32_t kv_heads_ = 0, head_dim_ = 0;
  uint64_t position_bytes_ = 0;
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_KV_CACHE_H_
