// How many threads to start, from trees of files as Linux shows them on machines we do not have.
#include "runtime/default_threads.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/machine.h"

using namespace trit;

namespace {

// A machine of so many CPUs.
class Cpus : public Machine {
 public:
  explicit Cpus(uint32_t count) {
    for (uint32_t cpu = 0; cpu < count; ++cpu) all_.push_back(cpu);
  }
  void cpu(uint32_t cpu, const std::string& name, const std::string& text) {
    file("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/" + name, text);
  }
  uint32_t threads() const { return threads(all_); }
  uint32_t threads(const std::vector<uint32_t>& allowed) const {
    return choose_threads(root(), allowed).threads;
  }
  ThreadChoice choice() const { return choose_threads(root(), all_); }

 private:
  std::vector<uint32_t> all_;
};

}  // namespace

TEST_CASE("a machine that tells nothing has as many fast cores as CPUs") {
  CHECK(Cpus(4).threads() == 4);
  CHECK(Cpus(4).threads({2}) == 1);
  CHECK(Cpus(0).threads() == 1);
}

TEST_CASE("two threads of one core count once, whichever of them are allowed") {
  Cpus machine(8);
  SUBCASE("neighbours, new name") {
    for (uint32_t cpu = 0; cpu < 8; ++cpu)
      machine.cpu(cpu, "topology/core_cpus_list",
                  std::to_string(cpu / 2 * 2) + "-" + std::to_string(cpu / 2 * 2 + 1));
    CHECK(machine.threads({0, 1, 2, 3}) == 2);
    CHECK(machine.threads({1, 3, 5}) == 3);
  }
  SUBCASE("half the machine apart, old name") {
    for (uint32_t cpu = 0; cpu < 8; ++cpu)
      machine.cpu(cpu, "topology/thread_siblings_list",
                  std::to_string(cpu % 4) + "," + std::to_string(cpu % 4 + 4));
    CHECK(machine.threads({0, 1, 2, 3}) == 4);
    CHECK(machine.threads({1, 5}) == 1);
  }
  CHECK(machine.threads() == 4);
}

TEST_CASE("of big and little cores the big ones are taken, prime ones with them") {
  Cpus machine(8);
  const char* capacities[] = {"325", "325", "325", "325", "870", "870", "870", "1024"};
  for (uint32_t cpu = 0; cpu < 8; ++cpu) machine.cpu(cpu, "cpu_capacity", capacities[cpu]);
  CHECK(machine.threads() == 4);
  CHECK(machine.threads({0, 1, 2}) == 3);
  CHECK(machine.threads({0, 1, 6}) == 1);
}

TEST_CASE("without capacities the frequencies tell, and a turbo core is not alone") {
  Cpus machine(6);
  const char* kilohertz[] = {"1800000", "1800000", "1800000", "1800000", "3000000", "2800000"};
  for (uint32_t cpu = 0; cpu < 6; ++cpu)
    machine.cpu(cpu, "cpufreq/cpuinfo_max_freq", kilohertz[cpu]);
  CHECK(machine.threads() == 2);
  for (uint32_t cpu = 0; cpu < 6; ++cpu) machine.cpu(cpu, "cpu_capacity", "1024");
  CHECK(machine.threads() == 2);  // capacities that do not tell the cores apart
}

TEST_CASE("of an x86 hybrid the P-cores are taken, once each") {
  Cpus machine(12);
  machine.file("sys/devices/cpu_core/cpus", "0-3");
  machine.file("sys/devices/cpu_atom/cpus", "4-11");
  for (uint32_t cpu = 0; cpu < 4; ++cpu)
    machine.cpu(cpu, "topology/core_cpus_list", cpu < 2 ? "0-1" : "2-3");
  for (uint32_t cpu = 4; cpu < 12; ++cpu)
    machine.cpu(cpu, "topology/core_cpus_list", std::to_string(cpu));
  CHECK(machine.threads() == 2);
  CHECK(machine.threads({4, 5, 6}) == 3);  // only E-cores allowed
}

TEST_CASE("every step towards the number of threads is told") {
  Cpus machine(6);
  const char* capacities[] = {"400", "400", "1024", "1024", "1024", "1024"};
  for (uint32_t cpu = 0; cpu < 6; ++cpu) machine.cpu(cpu, "cpu_capacity", capacities[cpu]);
  for (uint32_t cpu = 2; cpu < 6; ++cpu)
    machine.cpu(cpu, "topology/core_cpus_list", cpu < 4 ? "2-3" : "4-5");
  machine.cpu(0, "cpufreq/cpuinfo_max_freq", "1800000");
  machine.cpu(1, "cpufreq/cpuinfo_max_freq", "1800000");
  machine.file("proc/self/cgroup", "0::/");
  machine.file("sys/fs/cgroup/cpu.max", "150000 100000");
  const ThreadChoice choice = machine.choice();
  CHECK(choice.allowed_cpus == 6);
  CHECK(choice.fast_cpus == 4);
  CHECK(choice.fast_cores == 2);
  CHECK(choice.quota_cpus == 1.5);
  CHECK(choice.threads == 2);
  REQUIRE(choice.clusters.size() == 2);
  CHECK(choice.clusters[0].cpus == std::vector<uint32_t>{0, 1});
  CHECK(choice.clusters[0].capacity == 400);
  CHECK(choice.clusters[0].kilohertz == 1800000);
  CHECK(!choice.clusters[0].fast);
  CHECK(choice.clusters[1].cpus == std::vector<uint32_t>{2, 3, 4, 5});
  CHECK(choice.clusters[1].fast);
}

TEST_CASE("a cgroup's quota is kept, begun CPUs count") {
  Cpus machine(8);
  SUBCASE("version 2, seen from inside its namespace") {
    machine.file("proc/self/cgroup", "0::/");
    machine.file("sys/fs/cgroup/cpu.max", "250000 100000");
    CHECK(machine.threads() == 3);
    CHECK(machine.threads({0, 1}) == 2);
    machine.file("sys/fs/cgroup/cpu.max", "max 100000");
    CHECK(machine.threads() == 8);
    machine.file("sys/fs/cgroup/cpu.max", "1000 100000");
    CHECK(machine.threads() == 1);
  }
  SUBCASE("version 2, the least of the process's own cgroup and those above") {
    machine.file("proc/self/cgroup", "0::/user.slice/app.scope");
    machine.file("sys/fs/cgroup/user.slice/app.scope/cpu.max", "500000 100000");
    CHECK(machine.threads() == 5);
    machine.file("sys/fs/cgroup/user.slice/cpu.max", "200000 100000");
    CHECK(machine.threads() == 2);
    machine.file("sys/fs/cgroup/other.slice/cpu.max", "100000 100000");
    CHECK(machine.threads() == 2);
  }
  SUBCASE("version 1, beside other controllers") {
    machine.file("proc/self/cgroup", "9:memory:/m\n3:cpu,cpuacct:/docker/1f\n0::/");
    machine.file("sys/fs/cgroup/cpu,cpuacct/docker/1f/cpu.cfs_quota_us", "400000");
    machine.file("sys/fs/cgroup/cpu,cpuacct/docker/1f/cpu.cfs_period_us", "100000");
    machine.file("sys/fs/cgroup/memory/m/cpu.max", "100000 100000");
    CHECK(machine.threads() == 4);
    machine.file("sys/fs/cgroup/cpu,cpuacct/docker/1f/cpu.cfs_quota_us", "-1");
    CHECK(machine.threads() == 8);
  }
  SUBCASE("version 1 in a container that knows the host's path only") {
    machine.file("proc/self/cgroup", "4:cpuacct,cpu:/kubepods/pod7/9c");
    machine.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000");
    machine.file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
    CHECK(machine.threads() == 2);
  }
  SUBCASE("files that say something else") {
    machine.file("proc/self/cgroup", "nonsense\n0:\n0::relative\n::/");
    machine.file("sys/fs/cgroup/cpu.max", "garbage");
    CHECK(machine.threads() == 8);
  }
}

TEST_CASE("this machine has a default number of threads, and not more than CPUs") {
  CHECK(default_thread_count() >= 1);
  CHECK(default_thread_count() <= kMaxThreads);
}
