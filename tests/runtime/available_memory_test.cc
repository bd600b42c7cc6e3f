// How much memory a process may hold, from trees of files as Linux shows them, and in a real
// control group where one can be made.
#include "runtime/available_memory.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/machine.h"
#include "tests/support/memory_group.h"
#include "tests/support/skip.h"

using namespace trit;

namespace {

constexpr uint64_t kMiB = 1 << 20;

// 8000 MiB available; the process holds 10 MiB of its own and 30 MiB of files.
class Host : public Machine {
 public:
  Host() {
    file("proc/meminfo",
         "MemTotal:       16384000 kB\nMemFree:  1024 kB\nMemAvailable:    8192000 kB");
    file("proc/self/status",
         "Name:\tx\nVmSize:\t  204800 kB\nVmRSS:\t   40960 kB\nRssAnon:\t    8192 kB\n"
         "RssFile:\t   30720 kB\nRssShmem:\t    2048 kB");
    file("proc/self/limits",
         "Limit  Soft Limit  Hard Limit  Units\n"
         "Max address space         unlimited  unlimited  bytes");
  }
  void number(const std::string& path, uint64_t bytes) { file(path, std::to_string(bytes)); }
  void group(const std::string& path, uint64_t current, uint64_t inactive, uint64_t active) {
    number(path + "/memory.current", current);
    file(path + "/memory.stat", "anon 1\nfile 2\ninactive_file " + std::to_string(inactive) +
                                    "\nactive_file " + std::to_string(active));
  }
  AvailableMemory available() const { return available_memory(root()); }
};

}  // namespace

TEST_CASE("without limits it is what the kernel calls available and what is ours already") {
  const AvailableMemory memory = Host().available();
  CHECK(memory.bounds.size() == 1);
  CHECK(memory.binding().name == "MemAvailable");
  CHECK(memory.bytes() == 8010 * kMiB);
  CHECK(memory.shared_bytes() == memory.bytes());
  CHECK(formula(memory.binding()) == "8000.0 MiB + 10.0 MiB of ours = 8010.0 MiB");
  CHECK(explain(memory.binding()) == "8000.0 MiB in MemAvailable + 10.0 MiB of ours = 8010.0 MiB");
}

TEST_CASE("a version 2 group grants its limit less what others hold and cannot give back") {
  Host host;
  host.file("proc/self/cgroup", "0::/app.slice/chat");
  const std::string group = "sys/fs/cgroup/app.slice/chat";
  host.group(group, 300 * kMiB, 120 * kMiB, 0);
  SUBCASE("max is no limit") {
    host.file(group + "/memory.max", "max");
    host.file(group + "/memory.high", "max");
    CHECK(host.available().bounds.size() == 1);
  }
  SUBCASE("a limit, the page cache counts as free, our own pages are ours") {
    host.number(group + "/memory.max", 512 * kMiB);
    const AvailableMemory memory = host.available();
    CHECK(memory.binding().name == "/sys/fs/cgroup/app.slice/chat/memory.max");
    CHECK(memory.bytes() == (512 - 300 + 120 + 10) * kMiB);
    CHECK(explain(memory.binding()) ==
          "512.0 MiB in /sys/fs/cgroup/app.slice/chat/memory.max - 300.0 MiB used + 120.0 MiB page "
          "cache + 10.0 MiB of ours = 342.0 MiB");
  }
  SUBCASE("our file pages that the kernel holds for active are ours, not more than there are") {
    host.number(group + "/memory.max", 512 * kMiB);
    host.group(group, 300 * kMiB, 120 * kMiB, 20 * kMiB);
    CHECK(host.available().bytes() == (512 - 300 + 120 + 10 + 20) * kMiB);
    host.group(group, 300 * kMiB, 120 * kMiB, 150 * kMiB);
    CHECK(host.available().bytes() == (512 - 300 + 120 + 10 + 30) * kMiB);
  }
  SUBCASE("memory.high binds when it is lower, also below what is used") {
    host.number(group + "/memory.max", 512 * kMiB);
    host.number(group + "/memory.high", 256 * kMiB);
    CHECK(host.available().binding().name == "/sys/fs/cgroup/app.slice/chat/memory.high");
    CHECK(host.available().bytes() == (256 - 300 + 120 + 10) * kMiB);
    host.number(group + "/memory.high", 100 * kMiB);
    CHECK(host.available().bytes() == 0);
  }
  SUBCASE("a group above binds when it grants less") {
    host.number(group + "/memory.max", 512 * kMiB);
    host.group("sys/fs/cgroup/app.slice", 900 * kMiB, 100 * kMiB, 0);
    host.number("sys/fs/cgroup/app.slice/memory.max", 1000 * kMiB);
    CHECK(host.available().binding().name == "/sys/fs/cgroup/app.slice/memory.max");
    CHECK(host.available().bytes() == 210 * kMiB);
    CHECK(host.available().bounds.size() == 3);
  }
  SUBCASE("what is ours is never more than what is used") {
    host.number(group + "/memory.max", 512 * kMiB);
    host.group(group, 4 * kMiB, 1 * kMiB, 0);
    CHECK(host.available().bytes() == 512 * kMiB);
    host.group(group, 4 * kMiB, 9 * kMiB, 9 * kMiB);  // statistics lag behind
    CHECK(host.available().bytes() == 512 * kMiB);
  }
  SUBCASE("a namespace shows the group as the top, a hybrid mounts version 2 aside") {
    host.file("proc/self/cgroup", "0::/");
    host.group("sys/fs/cgroup", 300 * kMiB, 120 * kMiB, 0);
    host.number("sys/fs/cgroup/memory.max", 512 * kMiB);
    CHECK(host.available().binding().name == "/sys/fs/cgroup/memory.max");
    host.group("sys/fs/cgroup/unified", 300 * kMiB, 120 * kMiB, 0);
    host.number("sys/fs/cgroup/unified/memory.max", 400 * kMiB);
    CHECK(host.available().binding().name == "/sys/fs/cgroup/unified/memory.max");
  }
}

TEST_CASE("a version 1 group grants the same, with the statistics of all groups below") {
  Host host;
  host.file("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/7\n1:name=systemd:/\n0::/");
  const std::string group = "sys/fs/cgroup/memory/docker/7";
  host.number(group + "/memory.usage_in_bytes", 300 * kMiB);
  host.file(group + "/memory.stat", "inactive_file 1\nactive_file 1\ntotal_inactive_file " +
                                        std::to_string(120 * kMiB) + "\ntotal_active_file " +
                                        std::to_string(5 * kMiB));
  host.number("sys/fs/cgroup/memory/memory.usage_in_bytes", 900 * kMiB);
  host.file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  SUBCASE("the largest number is no limit") {
    host.file(group + "/memory.limit_in_bytes", "9223372036854771712");
    CHECK(host.available().bounds.size() == 1);
  }
  SUBCASE("its own limit") {
    host.number(group + "/memory.limit_in_bytes", 512 * kMiB);
    CHECK(host.available().bytes() == (512 - 300 + 120 + 10 + 5) * kMiB);
  }
  SUBCASE("in a container that knows the host's path, the mount is the group") {
    host.file("proc/self/cgroup", "4:memory:/kubepods/pod7/9c");
    host.number("sys/fs/cgroup/memory/memory.limit_in_bytes", 1000 * kMiB);
    CHECK(host.available().binding().name == "/sys/fs/cgroup/memory/memory.limit_in_bytes");
    CHECK(host.available().bytes() == 110 * kMiB);
  }
}

TEST_CASE("a limited address space binds for who opens, and is nothing that others change") {
  Host host;
  host.file("proc/self/limits",
            "Limit                     Soft Limit  Hard Limit  Units\n"
            "Max cpu time              unlimited   unlimited   seconds\n"
            "Max address space         1073741824  unlimited   bytes");
  CHECK(host.available().binding().name == "RLIMIT_AS");
  CHECK(host.available().bytes() == (1024 - 200 + 40) * kMiB);
  CHECK(host.available().shared_bytes() == 8010 * kMiB);
}

TEST_CASE("files that say nothing leave the physical memory") {
  Machine machine;
  CHECK(available_memory(machine.root()).binding().name == "physical memory");
  machine.file("proc/self/cgroup", "nonsense\n0:\n0::relative\n::/");
  machine.file("sys/fs/cgroup/memory.max", "garbage");
  machine.file("sys/fs/cgroup/memory.current", "12x");
  machine.file("proc/meminfo", "MemAvailable: lots");
  CHECK(available_memory(machine.root()).bounds.size() == 1);
  CHECK(available_memory(machine.root()).bytes() > kMiB);
}

TEST_CASE("the automatic budget leaves an eighth") {
  CHECK(automatic_budget(800) == 700);
  CHECK(automatic_budget(0) == 1);
  CHECK(automatic_budget(UINT64_MAX) < UINT64_MAX);
}

TEST_CASE("sizes are shown with one digit, in a unit that keeps them short") {
  CHECK(size_text(0) == "0.0 KiB");
  CHECK(size_text(1536) == "1.5 KiB");
  CHECK(size_text(kMiB - 1) == "1024.0 KiB");
  CHECK(size_text(700 * kMiB) == "700.0 MiB");
  CHECK(size_text(10240 * kMiB) == "10.0 GiB");
  CHECK(size_text(UINT64_MAX) == "17179869184.0 GiB");
}

TEST_CASE("in a real group its limit binds, and page cache makes nothing scarce") {
  const MemoryGroup group(256 * kMiB);
  if (!group.made()) return skip("no control group with a memory limit can be made here");
  const TempDir folder;
  const int result = group.run([&] {
    write_file(folder.path("cache"), std::string(100 * kMiB, 'x'));
    const MemoryBound bound = available_memory().binding();
    if (bound.name != group.limit_file() || bound.limit_bytes != 256 * kMiB) return 1;
    if (bound.used_bytes < 100 * kMiB || bound.reclaimable_bytes < 90 * kMiB) return 2;
    return bound.bytes() > 230 * kMiB && bound.bytes() <= 256 * kMiB ? 0 : 3;
  });
  CHECK(result == 0);
}
