// See machine_report.h.
#include "cmd/common/machine_report.h"

#include <unistd.h>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include "cmd/common/error.h"
#include "cmd/common/kernel_check.h"
#include "kernels/cpu_features.h"
#include "model_format/mapped_file.h"
#include "runtime/linux_files.h"

namespace trit {

namespace {

constexpr uint64_t kLittleMemory = 256 << 20;

std::vector<std::string> feature_names() {
  const CpuFeatures f = cpu_features();
  const std::pair<const char*, bool> all[] = {{"avx2", f.avx2},
                                              {"f16c", f.f16c},
                                              {"fma", f.fma},
                                              {"avxvnni", f.avxvnni},
                                              {"avx512f", f.avx512f},
                                              {"avx512bw", f.avx512bw},
                                              {"avx512vl", f.avx512vl},
                                              {"avx512vnni", f.avx512vnni},
                                              {"avx512vbmi", f.avx512vbmi},
                                              {"dotprod", f.dotprod},
                                              {"i8mm", f.i8mm}};
  std::vector<std::string> names;
  for (const auto& [name, seen] : all)
    if (seen) names.emplace_back(name);
  return names;
}

std::vector<KernelLevel> check_levels() {
  uint32_t count = 0;
  const char* const* isas = available_isas(&count);
  std::vector<KernelLevel> levels;
  for (uint32_t i = 0; i < count; ++i) {
    const KernelTable* table = kernels_for(isas[i]);
    levels.push_back({isas[i], wrong_kernels(*table), table == default_kernels()});
  }
  return levels;
}

// "always [madvise] never": the word in brackets.
std::string chosen_word(const std::string& line) {
  const size_t begin = line.find('[') + 1, end = line.find(']');
  return begin == 0 || end == std::string::npos ? "" : line.substr(begin, end - begin);
}

// The drivers named choose by themselves, whatever the governor is called.
std::string slow_governor(const std::string& root) {
  const std::string folder = root + "/sys/devices/system/cpu/cpu0/cpufreq/";
  const std::string driver = first_line(folder + "scaling_driver");
  const std::string governor = first_line(folder + "scaling_governor");
  return driver == "intel_pstate" || driver == "amd-pstate-epp" ? "" : governor;
}

void judge_kernels(const std::vector<KernelLevel>& levels, std::vector<Problem>* problems) {
  std::string good = "scalar";  // the best level so far
  for (const KernelLevel& level : levels) {
    if (level.wrong.empty()) {
      good = level.isa;
      continue;
    }
    problems->push_back({"kernels " + level.isa + " compute wrong results: " + joined(level.wrong),
                         "TRIT_ISA=" + good + " runs without them; please report this CPU", true});
  }
  const KernelLevel& best = levels.back();
  if (!best.in_use && best.wrong.empty())
    problems->push_back({"TRIT_ISA keeps the fastest kernels, " + best.isa + ", from being used",
                         "unset TRIT_ISA"});
  if (levels.size() == 1)
    problems->push_back({"the kernels know no vector instructions of this CPU: models run slowly",
                         "a CPU with AVX2; for a virtual machine, the host's CPU as it is "
                         "(qemu: -cpu host)"});
}

void judge_memory(const AvailableMemory& memory, std::vector<Problem>* problems) {
  for (const MemoryBound& bound : memory.bounds) {
    if (bound.kind != MemoryBound::Kind::kAddressSpace) continue;
    problems->push_back({"the address space is limited to " + size_text(bound.limit_bytes) +
                             ": a model's whole file is mapped, also what is not in memory",
                         "ulimit -v unlimited"});
  }
  const MemoryBound& least = memory.binding();
  if (least.bytes() >= kLittleMemory || least.kind == MemoryBound::Kind::kAddressSpace) return;
  problems->push_back(
      {"only " + size_text(least.bytes()) + " of memory for this process",
       least.kind == MemoryBound::Kind::kCgroup
           ? "a larger number in " + least.name + " (docker, podman: --memory), or fewer processes"
           : "end other programs"});
}

}  // namespace

std::string cpu_name(const std::string& root) {
#ifdef __APPLE__
  char name[256] = "";
  size_t size = sizeof name;
  if (sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0) return name;
#endif
  const std::string name = keyed_text(root + "/proc/cpuinfo", "model name");
  if (!name.empty()) return name;
  const std::string board = first_line(root + "/proc/device-tree/model");
  return board.substr(0, board.find('\0'));
}

MachineReport read_machine(const std::string& root, const ThreadChoice& threads) {
  MachineReport report;
  report.cpu = cpu_name(root);
  report.features = feature_names();
  report.levels = check_levels();
  report.memory = available_memory(root);
  report.page_bytes = page_bytes();
  report.huge_pages = chosen_word(first_line(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
  report.reports_stalls = access((root + "/proc/pressure/memory").c_str(), R_OK | W_OK) == 0;
  report.governor = slow_governor(root);
  report.threads = threads;
  return report;
}

std::vector<Problem> find_problems(const MachineReport& report) {
  std::vector<Problem> problems;
  judge_kernels(report.levels, &problems);
  judge_memory(report.memory, &problems);
  if (report.huge_pages == "never")
    problems.push_back({"huge pages are off: long conversations are slower",
                        "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"});
  if (report.governor == "powersave")
    problems.push_back({"the CPU is kept at its lowest speed (governor powersave)",
                        "echo schedutil | sudo tee "
                        "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"});
  return problems;
}

}  // namespace trit
