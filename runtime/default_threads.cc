// See default_threads.h. Four questions of Linux, each narrowing the answer of the one before:
// which CPUs may run us, which of them are fast, which are cores of their own, and how many of
// those the cgroup pays for. A file that is not there narrows nothing.
#include "runtime/default_threads.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace trit {

namespace {

using Cpus = std::vector<uint32_t>;

// A core is fast from this share of the best one's capacity on. Between a big and a little core of
// one chip lies a factor of 2 to 4, between a prime and a big one at most 1.7.
constexpr double kFastCapacity = 0.5;
// By frequency alone, where the kernel gives no capacity (x86): compact cores have 0.72 of the best
// and the rest of their design, so they count.
constexpr double kFastFrequency = 0.7;

std::string first_line(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

// "0-3,8": empty when there is no such file.
Cpus cpu_list(const std::string& path) {
  Cpus cpus;
  const std::string line = first_line(path);
  for (const char* at = line.c_str(); *at >= '0' && *at <= '9';) {
    char* end = nullptr;
    const uint64_t first = std::strtoul(at, &end, 10);
    const uint64_t last = *end == '-' ? std::strtoul(end + 1, &end, 10) : first;
    for (uint64_t cpu = first; cpu <= last && cpus.size() < UINT16_MAX; ++cpu)
      cpus.push_back(static_cast<uint32_t>(cpu));
    at = *end == ',' ? end + 1 : end;
  }
  return cpus;
}

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

// The least quota of a cgroup and all above it. In a container the path may be that of the host,
// and only the top is there.
double least_quota(const std::string& mount, std::string path) {
  double least = HUGE_VAL;
  for (;;) {
    const std::string folder = mount + path + "/";
    const std::string both = first_line(folder + "cpu.max");
    const size_t space = std::min(both.find(' '), both.size());
    least = std::min(least, quota_cpus(both, both.substr(space)));
    least = std::min(least, quota_cpus(first_line(folder + "cpu.cfs_quota_us"),
                                       first_line(folder + "cpu.cfs_period_us")));
    if (path.empty()) return least;
    path.resize(path.rfind('/'));
  }
}

// Over the lines "id:controllers:/path" of this process; version 2 has the one without controllers.
double cgroup_quota(const std::string& root) {
  double least = HUGE_VAL;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t begin = line.find(':') + 1;
    const size_t end = line.find(':', begin);
    if (begin == 0 || end == std::string::npos || line.compare(end, 2, ":/") != 0) continue;
    const std::string controllers = line.substr(begin, end - begin);
    const bool has_cpu = ("," + controllers + ",").find(",cpu,") != std::string::npos;
    if (!controllers.empty() && !has_cpu) continue;
    std::string path = line.substr(end + 1);
    while (!path.empty() && path.back() == '/') path.pop_back();
    const std::string mounts = root + "/sys/fs/cgroup";
    for (const std::string& name : {std::string(), "/" + controllers, std::string("/cpu")})
      least = std::min(least, least_quota(mounts + name, path));
  }
  return least;
}

}  // namespace

uint32_t fast_core_count(const std::string& root, const std::vector<uint32_t>& allowed) {
  const double quota = std::ceil(cgroup_quota(root));
  const uint32_t cores = std::max(core_count(root, fast_cpus(root, allowed)), 1u);
  return quota < cores ? std::max(static_cast<uint32_t>(quota), 1u) : cores;
}

uint32_t default_thread_count() {
  uint32_t count = std::thread::hardware_concurrency();
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    Cpus allowed;
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) allowed.push_back(cpu);
    count = fast_core_count("", allowed);
  }
#endif
#ifdef __APPLE__
  uint32_t fast = 0;  // the performance cores
  size_t size = sizeof fast;
  if (sysctlbyname("hw.perflevel0.physicalcpu", &fast, &size, nullptr, 0) == 0) count = fast;
#endif
  return std::min(std::max(count, 1u), kMaxThreads);
}

}  // namespace trit
