// How many threads a session starts when nobody says: one for each fast physical core that this
// process may use. A decode step waits for its slowest core, so slow cores, second threads of one
// core and time that a container does not have make it slower, not faster.
#ifndef TRITSTACK_RUNTIME_DEFAULT_THREADS_H_
#define TRITSTACK_RUNTIME_DEFAULT_THREADS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace trit {

constexpr uint32_t kMaxThreads = 512;

// CPUs that the system describes alike.
struct CoreCluster {
  std::vector<uint32_t> cpus;  // those that may run us
  uint32_t capacity;           // of 1024 for the best of the machine; 0: the kernel does not say
  uint64_t kilohertz;          // at most; 0: the kernel does not say
  bool fast;                   // a default thread may be for one of these
};

// How the number came about; each step narrows the one before.
struct ThreadChoice {
  std::vector<CoreCluster> clusters;
  uint32_t allowed_cpus = 0;  // that may run us
  uint32_t fast_cpus = 0;
  uint32_t fast_cores = 0;  // two threads of one core count once
  double quota_cpus = 0;    // that the cgroup pays for; 0: no quota
  uint32_t threads = 1;     // in [1, kMaxThreads]
};

// For this process, on this machine.
ThreadChoice choose_threads();
inline uint32_t default_thread_count() {
  return choose_threads().threads;
}

// From what Linux tells below `root` (see linux_files.h) to a process that may run on the CPUs
// `allowed`.
ThreadChoice choose_threads(const std::string& root, const std::vector<uint32_t>& allowed);

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_DEFAULT_THREADS_H_
