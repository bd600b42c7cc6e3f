// See head_cache.h.
#include "kernels/head_cache.h"

#include <string.h>

#include "kernels/kernels.h"

namespace trit {
namespace {

void convert(const KernelTable& kernels, CacheType type, const float* x, uint32_t n, uint8_t* out) {
  if (type == CacheType::kF16)
    kernels.f32_to_f16(x, n, reinterpret_cast<uint16_t*>(out));
  else if (type == CacheType::kQ8)
    kernels.f32_to_q8(x, n, out);
  else
    memcpy(out, x, n * sizeof(float));
}

// n values of one position to where their dimensions begin in its block.
template <typename T>
void spread(const uint8_t* from, uint32_t n, uint32_t lane, uint8_t* to) {
  to += lane * sizeof(T);
  for (uint32_t i = 0; i < n; ++i)
    memcpy(to + i * kKeyBlock * sizeof(T), from + i * sizeof(T), sizeof(T));
}

}  // namespace

void store_value(const KernelTable& kernels, CacheType type, uint32_t head_dim, uint64_t position,
                 const float* value, void* values) {
  convert(kernels, type, value, head_dim,
          static_cast<uint8_t*>(values) + position * cache_bytes(type, head_dim));
}

void store_key(const KernelTable& kernels, CacheType type, uint32_t head_dim, uint64_t position,
               const float* key, void* keys) {
  const uint32_t lane = static_cast<uint32_t>(position % kKeyBlock);
  uint8_t* to = static_cast<uint8_t*>(keys) + (position - lane) * cache_bytes(type, head_dim);
  for (uint32_t begin = 0, n; begin < head_dim; begin += n) {
    n = head_dim - begin < kQ8Block ? head_dim - begin : kQ8Block;
    alignas(float) uint8_t some[kQ8Block * sizeof(float)];
    convert(kernels, type, key + begin, n, some);
    if (type == CacheType::kF32) {
      spread<float>(some, n, lane, to);
    } else if (type == CacheType::kF16) {
      spread<uint16_t>(some, n, lane, to);
    } else {
      spread<uint16_t>(some, 1, lane, to);
      spread<int8_t>(some + 2, n, lane, to + 2 * kKeyBlock);
    }
    to += kKeyBlock * cache_bytes(type, n);
  }
}

}  // namespace trit
