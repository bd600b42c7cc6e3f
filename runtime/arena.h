// One block of memory, carved once. An owner lists its buffers in a function that takes an Arena;
// that function runs twice: over an Arena without memory, which only measures, then over the real
// block. So a size is written down in one place and nothing is allocated later.
// Not here: who owns the block (session.cc).
#ifndef TRITSTACK_RUNTIME_ARENA_H_
#define TRITSTACK_RUNTIME_ARENA_H_

#include <cstdint>
#include <vector>

namespace trit {

class Arena {
 public:
  static constexpr uint64_t kAlignment = 64;

  // nullptr: measure only; take() then returns nullptr.
  explicit Arena(void* memory) : memory_(static_cast<uint8_t*>(memory)) {}

  // The next `count` values of T, aligned to 64 bytes, not initialised.
  template <typename T>
  T* take(uint64_t count) {
    const uint64_t begin = used_;
    if (count > (kMaxBytes - used_) / sizeof(T)) {
      overflowed_ = true;
      return nullptr;
    }
    used_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return memory_ ? reinterpret_cast<T*>(memory_ + begin) : nullptr;
  }

  uint64_t used() const { return used_; }
  bool overflowed() const { return overflowed_; }  // the sum cannot be addressed

 private:
  static constexpr uint64_t kMaxBytes = (UINTPTR_MAX >> 1) - kAlignment;
  uint8_t* memory_;
  uint64_t used_ = 0;
  bool overflowed_ = false;
};

// Runs `carve` for a block that lives in *memory, which becomes as large as that takes.
template <typename Carve>
void carve_in(std::vector<uint8_t>* memory, const Carve& carve) {
  Arena measured(nullptr);
  carve(&measured);
  memory->resize(measured.used() + Arena::kAlignment);
  const uintptr_t past = reinterpret_cast<uintptr_t>(memory->data()) % Arena::kAlignment;
  Arena arena(memory->data() + (Arena::kAlignment - past) % Arena::kAlignment);
  carve(&arena);
}

// a * b, or UINT64_MAX when it does not fit: a size that take() refuses.
inline uint64_t saturating_product(uint64_t a, uint64_t b) {
  return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_ARENA_H_
