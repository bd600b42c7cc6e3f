// See default_threads.h. Four questions of Linux, each narrowing the answer of the one before:
// which CPUs may run us, which of them are fast, which are cores of their own, and how many of
// those the cgroup pays for. A file that is not there narrows nothing.
#include "runtime/default_threads.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <thread>
#include <tuple>

#ifdef __linux__
#include <sched.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include "runtime/linux_files.h"

namespace trit {

namespace {

using Cpus = std::vector<uint32_t>;

// A core is fast from this share of the best one's capacity on. Between a big and a little core of
// one chip lies a factor of 2 to 4, between a prime and a big one at most 1.7.
constexpr double kFastCapacity = 0.5;
// By frequency alone, where the kernel gives no capacity (x86): compact cores have 0.72 of the best
// and the rest of their design, so they count.
constexpr double kFastFrequency = 0.7;

bool contains(const Cpus& cpus, uint32_t cpu) {
  return std::find(cpus.begin(), cpus.end(), cpu) != cpus.end();
}

std::string cpu_file(const std::string& root, uint32_t cpu, const char* name) {
  return root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/" + name;
}

// Those whose number in `file` is at least `share` of the largest; all when one has no number.
Cpus fast_by(const std::string& root, const Cpus& cpus, const char* file, double share) {
  std::vector<double> speeds;
  double best = 0;
  for (const uint32_t cpu : cpus) {
    speeds.push_back(std::strtod(first_line(cpu_file(root, cpu, file)).c_str(), nullptr));
    if (speeds.back() <= 0) return cpus;
    best = std::max(best, speeds.back());
  }
  Cpus fast;
  for (size_t i = 0; i < cpus.size(); ++i)
    if (speeds[i] >= best * share) fast.push_back(cpus[i]);
  return fast;
}

Cpus fast_cpus(const std::string& root, const Cpus& allowed) {
  Cpus performance;  // P-cores of an x86 hybrid
  for (const uint32_t cpu : cpu_list(root + "/sys/devices/cpu_core/cpus"))
    if (contains(allowed, cpu)) performance.push_back(cpu);
  if (!performance.empty()) return performance;
  const Cpus capable = fast_by(root, allowed, "cpu_capacity", kFastCapacity);
  if (capable.size() < allowed.size()) return capable;
  return fast_by(root, allowed, "cpufreq/cpuinfo_max_freq", kFastFrequency);
}

std::vector<CoreCluster> clusters_of(const std::string& root, const Cpus& allowed,
                                     const Cpus& fast) {
  std::vector<CoreCluster> clusters;
  for (const uint32_t cpu : allowed) {
    const uint64_t capacity = file_number(cpu_file(root, cpu, "cpu_capacity")).value_or(0);
    const uint64_t kilohertz =
        file_number(cpu_file(root, cpu, "cpufreq/cpuinfo_max_freq")).value_or(0);
    const CoreCluster kind = {{}, static_cast<uint32_t>(capacity), kilohertz, contains(fast, cpu)};
    auto same = std::find_if(clusters.begin(), clusters.end(), [&](const CoreCluster& c) {
      return std::tie(c.capacity, c.kilohertz, c.fast) ==
             std::tie(kind.capacity, kind.kilohertz, kind.fast);
    });
    if (same == clusters.end()) same = clusters.insert(same, kind);
    same->cpus.push_back(cpu);
  }
  return clusters;
}

// One CPU of each core: the first that is among them.
uint32_t core_count(const std::string& root, const Cpus& cpus) {
  uint32_t cores = 0;
  for (const uint32_t cpu : cpus) {
    Cpus siblings = cpu_list(cpu_file(root, cpu, "topology/core_cpus_list"));
    if (siblings.empty()) siblings = cpu_list(cpu_file(root, cpu, "topology/thread_siblings_list"));
    const bool second = std::any_of(siblings.begin(), siblings.end(), [&](uint32_t sibling) {
      return sibling < cpu && contains(cpus, sibling);
    });
    cores += !second;
  }
  return cores;
}

// CPUs of one quota, begun ones count; infinity without.
double quota_cpus(const std::string& quota, const std::string& period) {
  const double used = std::strtod(quota.c_str(), nullptr);  // "max" and "-1" mean none
  const double of = std::strtod(period.c_str(), nullptr);
  return used > 0 && of > 0 ? used / of : HUGE_VAL;
}

// The least quota over the groups of this process.
double cgroup_quota(const std::string& root) {
  double least = HUGE_VAL;
  for (const std::string& folder : cgroup_folders(root, "cpu")) {
    const std::string both = first_line(folder + "/cpu.max");
    const size_t space = std::min(both.find(' '), both.size());
    least = std::min(least, quota_cpus(both, both.substr(space)));
    least = std::min(least, quota_cpus(first_line(folder + "/cpu.cfs_quota_us"),
                                       first_line(folder + "/cpu.cfs_period_us")));
  }
  return least;
}

}  // namespace

ThreadChoice choose_threads(const std::string& root, const std::vector<uint32_t>& allowed) {
  const Cpus fast = fast_cpus(root, allowed);
  ThreadChoice choice;
  choice.clusters = clusters_of(root, allowed, fast);
  choice.allowed_cpus = static_cast<uint32_t>(allowed.size());
  choice.fast_cpus = static_cast<uint32_t>(fast.size());
  choice.fast_cores = core_count(root, fast);
  const double quota = cgroup_quota(root);
  if (quota < HUGE_VAL) choice.quota_cpus = quota;
  const uint32_t most = std::min(choice.fast_cores, kMaxThreads);
  choice.threads = std::max(quota < most ? static_cast<uint32_t>(std::ceil(quota)) : most, 1u);
  return choice;
}

ThreadChoice choose_threads() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    Cpus allowed;
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) allowed.push_back(cpu);
    return choose_threads("", allowed);
  }
#endif
  ThreadChoice choice;
  choice.allowed_cpus = choice.fast_cpus = choice.fast_cores = std::thread::hardware_concurrency();
#ifdef __APPLE__
  uint32_t fast = 0;  // the performance cores
  size_t size = sizeof fast;
  if (sysctlbyname("hw.perflevel0.physicalcpu", &fast, &size, nullptr, 0) == 0)
    choice.fast_cpus = choice.fast_cores = fast;
#endif
  choice.threads = std::min(std::max(choice.fast_cores, 1u), kMaxThreads);
  return choice;
}

}  // namespace trit
