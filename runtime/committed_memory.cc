// See committed_memory.h.
#include "runtime/committed_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

#include "model_format/mapped_file.h"

namespace trit {

namespace {

#if defined(__linux__) && !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE 25  // Linux 6.1; younger than some C libraries
#endif

// Without MADV_POPULATE_WRITE: an addition of nothing to a byte of each page, which no writer of
// that byte can notice.
void touch(uint8_t* begin, const uint8_t* end) {
  for (; begin < end; begin += page_bytes()) __atomic_fetch_add(begin, 0, __ATOMIC_RELAXED);
}

void populate(uint8_t* begin, uint64_t bytes) {
#ifdef MADV_POPULATE_WRITE
  if (madvise(begin, bytes, MADV_POPULATE_WRITE) == 0 || errno != EINVAL) return;
#endif
  touch(begin, begin + bytes);
}

}  // namespace

void CommittedMemory::free() {
  if (data_) munmap(data_, bytes_);
  data_ = nullptr;
}

Status CommittedMemory::allocate(uint64_t bytes) {
  assert(!data_ && bytes % page_bytes() == 0);
  data_ = reserve_pages(bytes, 0, PROT_READ | PROT_WRITE);
  if (!data_) return io_error("session", "reserve memory", errno);
  bytes_ = bytes;
#ifdef MADV_NOHUGEPAGE
  // Until a slice is committed: a huge page that a short conversation touches further on would be
  // cleared before it can go on, and is more than was asked for.
  madvise(data_, bytes_, MADV_NOHUGEPAGE);
#endif
  return Status();
}

bool CommittedMemory::commit_more() {
  if (committed_ < bytes_) {
    const uint64_t slice = std::min(bytes_ - committed_, kHugePage);
#ifdef MADV_HUGEPAGE
    if (slice == kHugePage) madvise(data_ + committed_, slice, MADV_HUGEPAGE);
#endif
    populate(data_ + committed_, slice);
    committed_ += slice;
    return true;
  }
#ifdef MADV_COLLAPSE
  if (huge_pages_ && bytes_ - collapsed_ >= kHugePage) {
    madvise(data_ + collapsed_, kHugePage, MADV_COLLAPSE);
    collapsed_ += kHugePage;
    return true;
  }
#endif
  return false;
}

}  // namespace trit
