// What `tritstack doctor` knows about a machine and about this process on it, and what is wrong
// with them. Facts are read, problems are judged from facts alone, so a test can make them up.
// Not here: how they are shown (cmd/doctor.cc).
#ifndef TRITSTACK_CMD_COMMON_MACHINE_REPORT_H_
#define TRITSTACK_CMD_COMMON_MACHINE_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/available_memory.h"
#include "runtime/default_threads.h"

namespace trit {

struct KernelLevel {
  std::string isa;
  std::vector<std::string> wrong;  // kernels that failed the self-check
  bool in_use;
};

// "AMD EPYC"; "" where the system does not say. root: see available_memory.h.
std::string cpu_name(const std::string& root = "");

struct MachineReport {
  std::string cpu;                    // cpu_name()
  std::vector<std::string> features;  // instructions that kernels could use, and the system lets
  std::vector<KernelLevel> levels;    // slowest first
  AvailableMemory memory;
  uint64_t page_bytes = 0;
  std::string huge_pages;       // "always", "madvise", "never"; "" where there are none
  bool reports_stalls = false;  // the kernel has PSI
  std::string governor;  // of the first CPU, where it is one that chooses the speed by itself
  ThreadChoice threads;
};

// `root`: see runtime/linux_files.h. Runs the self-check.
MachineReport read_machine(const std::string& root, const ThreadChoice& threads);

struct Problem {
  std::string what, fix;
  bool fatal = false;  // models cannot be run
};
std::vector<Problem> find_problems(const MachineReport& report);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_MACHINE_REPORT_H_
