// Memory for kernel tests that ends at a page nobody may touch: a kernel that reads or writes one
// byte too many crashes. `canary` fills memory so that a write outside a range is seen. And floats
// to fill it with.
#ifndef TRITSTACK_TESTS_KERNELS_GUARDED_BUFFER_H_
#define TRITSTACK_TESTS_KERNELS_GUARDED_BUFFER_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "tests/support/random.h"

namespace trit {

template <typename T>
class GuardedBuffer {
 public:
  explicit GuardedBuffer(size_t count) : count_(count) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), bytes = count * sizeof(T);
    const size_t usable = (bytes + page - 1) / page * page;
    mapped_ = usable + page;
    base_ = static_cast<char*>(
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + usable, page, PROT_NONE);
    data_ = reinterpret_cast<T*>(base_ + usable - bytes);
  }
  GuardedBuffer(GuardedBuffer&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)),
        mapped_(other.mapped_),
        data_(other.data_),
        count_(other.count_) {}
  ~GuardedBuffer() {
    if (base_) munmap(base_, mapped_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + count_; }

  void canary() { std::memset(static_cast<void*>(data_), 0x5a, count_ * sizeof(T)); }

 private:
  char* base_;
  size_t mapped_;
  T* data_;
  size_t count_;
};

inline GuardedBuffer<float> random_floats(Random* random, size_t n, float low = -4,
                                          float high = 4) {
  GuardedBuffer<float> x(n);
  for (float& v : x) v = random->uniform(low, high);
  return x;
}

inline GuardedBuffer<float> copy(const GuardedBuffer<float>& from) {
  GuardedBuffer<float> x(from.size());
  for (size_t i = 0; i < from.size(); ++i) x[i] = from[i];
  return x;
}

}  // namespace trit

#endif  // TRITSTACK_TESTS_KERNELS_GUARDED_BUFFER_H_
