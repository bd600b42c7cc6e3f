// See file_guard.h. The handler may use nothing but atomics and system calls, so the mappings are a
// list that only grows; an entry is reused after its mapping went. Each has a version, odd while it
// is written: an entry that changes under the handler cannot be the one that faulted, because who
// reads a mapping keeps it registered.
#include "model_format/file_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>

namespace trit {

namespace {

struct Mapping {
  std::atomic<uint32_t> version{0};
  std::atomic<uintptr_t> begin{0}, end{0};  // 0, 0: free
  std::atomic<std::atomic<bool>*> poisoned{nullptr};
  Mapping* next = nullptr;
};
std::atomic<Mapping*> first_mapping{nullptr};
static_assert(std::atomic<Mapping*>::is_always_lock_free &&
                  std::atomic<uintptr_t>::is_always_lock_free &&
                  std::atomic<bool>::is_always_lock_free,
              "the handler takes no locks");

std::mutex& writers() {
  static std::mutex mutex;
  return mutex;
}

struct sigaction previous;
std::atomic<uintptr_t> page_bytes{0};  // 0: not installed

void write_mapping(Mapping* m, uintptr_t begin, uintptr_t end, std::atomic<bool>* poisoned) {
  m->version.fetch_add(1);
  m->begin = begin;
  m->end = end;
  m->poisoned = poisoned;
  m->version.fetch_add(1);
}

// False: no mapping of ours, or the system refuses.
bool answer(uintptr_t address) {
  for (Mapping* m = first_mapping; m; m = m->next) {
    const uint32_t version = m->version;
    const uintptr_t begin = m->begin, end = m->end;
    std::atomic<bool>* poisoned = m->poisoned;
    if (address < begin || address >= end || version % 2 || m->version != version) continue;
    *poisoned = true;
    // To the end at once: a file that is cut has nothing behind the cut, and pieces would use up
    // the mappings that a process may have. ThreadSanitizer calls this a write to what other
    // threads read, which it is: they see the file or zeros, and the flag before they are believed.
    const uintptr_t page = address / page_bytes * page_bytes;
    return mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  return false;
}

void on_fault(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool sent = info->si_code <= 0;  // by a process, not by a fault
  const bool answered = !sent && answer(reinterpret_cast<uintptr_t>(info->si_addr));
  errno = saved_errno;
  if (answered) return;
  if (previous.sa_flags & SA_SIGINFO) return previous.sa_sigaction(signal, info, context);
  if (previous.sa_handler == SIG_IGN && sent) return;
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
    return previous.sa_handler(signal);
  ::signal(signal, SIG_DFL);
  raise(signal);  // arrives when this handler has returned
}

}  // namespace

Status guard_file_access() {
  const std::lock_guard<std::mutex> lock(writers());
  if (page_bytes) return Status();
  struct sigaction ours = {};
  ours.sa_sigaction = on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGE_SIZE));
  if (sigaction(SIGBUS, nullptr, &previous) == 0 && sigaction(SIGBUS, &ours, nullptr) == 0)
    return Status();
  page_bytes = 0;
  return io_error("file guard", "handle SIGBUS", errno);
}

void register_mapping(const void* address, size_t bytes, std::atomic<bool>* poisoned) {
  const std::lock_guard<std::mutex> lock(writers());
  Mapping* m = first_mapping;
  while (m && m->begin != 0) m = m->next;
  if (!m) {
    m = new Mapping();
    m->next = first_mapping;
    first_mapping = m;
  }
  const uintptr_t begin = reinterpret_cast<uintptr_t>(address);
  write_mapping(m, begin, begin + bytes, poisoned);
}

void unregister_mapping(const void* address) {
  const std::lock_guard<std::mutex> lock(writers());
  for (Mapping* m = first_mapping; m; m = m->next)
    if (m->begin == reinterpret_cast<uintptr_t>(address)) return write_mapping(m, 0, 0, nullptr);
}

}  // namespace trit
