// The cached keys and values of one attention head: how they lie, and how a position gets there.
//
// Values are rows, position after position. Keys lie in blocks of kKeyBlock positions, dimension
// after dimension: one dimension of 16 positions is a vector in which a lane is a position, so
// scores need no lanes added up. In front of each kQ8Block dimensions of a kQ8 block stand their 16
// scales. A block of keys has as many bytes as its positions would have as rows.
#ifndef TRITSTACK_KERNELS_HEAD_CACHE_H_
#define TRITSTACK_KERNELS_HEAD_CACHE_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/trit_plane.h"

namespace trit {

struct KernelTable;

// kQ8 (llama.cpp's q8_0): each 32 values of a position are an f16 scale and 32 int8 codes, 34
// bytes; the last group is as short as head_dim makes it. A value is code * scale.
enum class CacheType : uint8_t { kF16 = 0, kF32 = 1, kQ8 = 2 };
constexpr uint32_t kQ8Block = 32;
constexpr uint32_t kQ8MaxRow = 2048;                         // the widest head of a kQ8 cache
constexpr uint32_t kKeyBlock = 16, kKeyRun = 4 * kKeyBlock;  // the run: what is read together

// Bytes of n values of a cache.
static inline uint64_t cache_bytes(CacheType type, uint64_t n) {
  if (type == CacheType::kQ8) return n + 2 * ceil_div(n, kQ8Block);
  return n * (type == CacheType::kF16 ? 2 : 4);
}

// Positions that keys have room for where n are kept: whole runs. What lies there beyond n makes no
// difference.
static inline uint64_t padded_positions(uint64_t n) {
  return ceil_div(n, kKeyRun) * kKeyRun;
}

struct HeadCache {
  const void* keys;
  const void* values;
  CacheType key_type, value_type;
};

// Round the key, the value, [head_dim], of a position into the cache.
void store_key(const KernelTable& kernels, CacheType type, uint32_t head_dim, uint64_t position,
               const float* key, void* keys);
void store_value(const KernelTable& kernels, CacheType type, uint32_t head_dim, uint64_t position,
                 const float* value, void* values);

}  // namespace trit

#endif  // TRITSTACK_KERNELS_HEAD_CACHE_H_
