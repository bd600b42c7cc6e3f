// A block of memory that becomes resident little by little while it is already in use: first touch
// costs up to milliseconds a MiB, which nobody should wait for at open, and what was promised must
// be there before it is needed. Whole megabytes come as huge pages where nobody was faster.
// Not here: who commits it, and when (plane_stack.h).
#ifndef TRITSTACK_RUNTIME_COMMITTED_MEMORY_H_
#define TRITSTACK_RUNTIME_COMMITTED_MEMORY_H_

#include <atomic>
#include <cstdint>

#include "model_format/status.h"

namespace trit {

class CommittedMemory {
 public:
  CommittedMemory() = default;
  ~CommittedMemory() { free(); }
  CommittedMemory(const CommittedMemory&) = delete;
  CommittedMemory& operator=(const CommittedMemory&) = delete;

  // Zeros, aligned to 2 MiB; `bytes` a multiple of the page size. Once.
  Status allocate(uint64_t bytes);
  void free();
  uint8_t* data() const { return data_; }

  // Makes a few megabytes more resident; others may write to them meanwhile. False: all is. One
  // thread.
  bool commit_more();
  // From now on commit_more() also turns small pages that are there into huge ones. Any thread.
  void want_huge_pages() { huge_pages_ = true; }

 private:
  uint8_t* data_ = nullptr;
  uint64_t bytes_ = 0;
  uint64_t committed_ = 0, collapsed_ = 0;  // bytes from the beginning
  std::atomic<bool> huge_pages_{false};
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_COMMITTED_MEMORY_H_
