// XXH3-64, and how seeds are made so that a swapped or foreign block is caught. checksum.cc is the
// only file that includes xxhash.h.
#ifndef TRITSTACK_MODEL_FORMAT_CHECKSUM_H_
#define TRITSTACK_MODEL_FORMAT_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <memory>

namespace trit {

uint64_t hash64(const void* data, size_t bytes, uint64_t seed);

// The seed of a block: file id, matrix and plane mixed, so that no two blocks of any file share
// one.
uint64_t block_seed(uint64_t file_id, uint32_t matrix, uint32_t plane);
// The seed of a head section.
uint64_t section_seed(uint64_t file_id, uint32_t section);

// The same hash over pieces.
class Hasher {
 public:
  explicit Hasher(uint64_t seed);
  ~Hasher();
  void update(const void* data, size_t bytes);
  uint64_t digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CHECKSUM_H_
