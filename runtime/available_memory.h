// How much memory this process may hold in all, and what says so: the system's own estimate, the
// limits of its control groups, the limit of its address space. Pages that the system could take
// back at once (clean page cache) count as free, and what this process holds already counts as its
// own, so the answer does not move with how much of a model is resident.
// Not here: when it changes and what to do then (memory_watch.h).
#ifndef TRITSTACK_RUNTIME_AVAILABLE_MEMORY_H_
#define TRITSTACK_RUNTIME_AVAILABLE_MEMORY_H_

#include <cstdint>
#include <string>
#include <vector>

namespace trit {

// What one authority grants: limit - used + reclaimable + own bytes.
struct MemoryBound {
  enum class Kind {
    kSystem,       // limit: what the system calls available, nothing used
    kCgroup,       // used, reclaimable: of the whole group
    kAddressSpace  // limit and used: addresses, mapped or reserved
  };
  Kind kind;
  std::string name;  // "MemAvailable", "/sys/fs/cgroup/app/memory.max", "RLIMIT_AS"
  uint64_t limit_bytes, used_bytes, reclaimable_bytes, own_bytes;

  uint64_t bytes() const;
};

struct AvailableMemory {
  std::vector<MemoryBound> bounds;  // never empty; the first of the smallest binds

  const MemoryBound& binding() const;
  uint64_t bytes() const { return binding().bytes(); }
  // The smallest that other processes can change: without the address space.
  uint64_t shared_bytes() const;
};

// Now, of this process. `root`: see linux_files.h.
AvailableMemory available_memory(const std::string& root = "");

// `--memory auto` leaves an eighth of what is available to the rest of the system.
constexpr uint64_t kMarginShare = 8;
constexpr uint64_t automatic_budget(uint64_t available_bytes) {
  // At least 1: a budget of 0 means that there is none.
  return available_bytes > 0 ? available_bytes - available_bytes / kMarginShare : 1;
}

// The formula with its numbers: "512.0 MiB - 300.0 MiB used + 120.0 MiB page cache + 12.0 MiB of
// ours = 344.0 MiB".
std::string formula(const MemoryBound& bound);
// The same as one sentence: "512.0 MiB in /sys/fs/cgroup/app/memory.max - ...".
std::string explain(const MemoryBound& bound);

// "344.0 MiB": KiB below 1 MiB, GiB from 10 GiB on.
std::string size_text(uint64_t bytes);

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_AVAILABLE_MEMORY_H_
