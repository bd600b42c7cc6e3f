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

// Of this process, on this machine: in [1, kMaxThreads].
uint32_t default_thread_count();

// What Linux tells below `root` (/sys and /proc; a test has its own), for a process that may run on
// the CPUs `allowed`. At least 1.
uint32_t fast_core_count(const std::string& root, const std::vector<uint32_t>& allowed);

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_DEFAULT_THREADS_H_
