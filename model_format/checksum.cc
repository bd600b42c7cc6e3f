// See checksum.h.
#include "model_format/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace trit {
namespace {

constexpr uint32_t kSectionMark = 0xffffffffu;  // where a block's seed holds its matrix

// XXH3-64, seed 0, of file id, a and b as they would stand in a file.
uint64_t mixed_seed(uint64_t file_id, uint32_t a, uint32_t b) {
  uint8_t bytes[16];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(file_id >> (8 * i));
  for (int i = 0; i < 4; ++i) bytes[8 + i] = static_cast<uint8_t>(a >> (8 * i));
  for (int i = 0; i < 4; ++i) bytes[12 + i] = static_cast<uint8_t>(b >> (8 * i));
  return hash64(bytes, sizeof bytes, 0);
}

}  // namespace

uint64_t hash64(const void* data, size_t bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(data, bytes, seed);
}

uint64_t block_seed(uint64_t file_id, uint32_t matrix, uint32_t plane) {
  return mixed_seed(file_id, matrix, plane);
}

uint64_t section_seed(uint64_t file_id, uint32_t section) {
  return mixed_seed(file_id, kSectionMark, section);
}

struct Hasher::State {
  XXH3_state_t xxh3;
};

Hasher::Hasher(uint64_t seed) : state_(new State) {
  XXH3_INITSTATE(&state_->xxh3);
  XXH3_64bits_reset_withSeed(&state_->xxh3, seed);
}

Hasher::~Hasher() = default;

void Hasher::update(const void* data, size_t bytes) {
  XXH3_64bits_update(&state_->xxh3, data, bytes);
}

uint64_t Hasher::digest() const {
  return XXH3_64bits_digest(&state_->xxh3);
}

}  // namespace trit
