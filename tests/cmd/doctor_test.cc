// tritstack doctor: the self-check finds a kernel that computes wrong, facts are read from machines
// that we do not have, problems come with what mends them, and the command shows all of it.
#include <doctest/doctest.h>

#include <algorithm>

#include "cmd/common/kernel_check.h"
#include "cmd/common/machine_report.h"
#include "model_format/json.h"
#include "tests/support/machine.h"
#include "tests/support/memory_group.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

const KernelTable& scalar() {
  return *kernels_for("scalar");
}

// Kernels that are wrong in one bit somewhere.
void wrong_add_multiple(float* x, float factor, const float* y, uint32_t n) {
  scalar().add_multiple(x, factor, y, n - 1);
}
float wrong_dot(const float* a, const float* b, uint32_t n) {
  return scalar().dot(a, b, n - 1);
}
void wrong_gemm(const TritView* w, const QuantizedActivations* x, uint32_t tokens, uint32_t begin,
                uint32_t end, float* y, size_t stride, void* scratch) {
  scalar().trit_gemm(w, x, tokens, begin, end, y, stride, scratch);
  y[(tokens - 1) * stride + w->rows - 1] *= tokens == 7 ? 1.0000002f : 1;
}
void wrong_q8(const float* x, uint32_t n, uint8_t* out) {
  scalar().f32_to_q8(x, n, out);
  out[cache_bytes(CacheType::kQ8, n) - 1] ^= 1;
}

// A machine without any problem.
MachineReport good_report() {
  MachineReport report;
  report.levels = {{"scalar", {}, false}, {"avx2", {}, false}, {"avx512", {}, true}};
  report.memory.bounds = {{MemoryBound::Kind::kSystem, "MemAvailable", 8ull << 30, 0, 0, 0}};
  report.huge_pages = "madvise";
  return report;
}

// The only problem is this one.
void check_problem(const MachineReport& report, const std::string& what, const std::string& fix) {
  const std::vector<Problem> problems = find_problems(report);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].what.find(what) != std::string::npos);
  CHECK(problems[0].fix.find(fix) != std::string::npos);
  CHECK(!problems[0].fatal);
}

TEST_CASE("the self-check runs every entry of the kernel table") {
  constexpr size_t kEntries = (sizeof(KernelTable) - sizeof(const char*)) / sizeof(void (*)());
  CHECK(checked_kernels().size() == kEntries);
}

TEST_CASE("the self-check names the kernels that compute other bits, and no others") {
  KernelTable table = scalar();
  CHECK(wrong_kernels(table).empty());
  table.add_multiple = wrong_add_multiple;
  table.dot = wrong_dot;
  table.trit_gemm = wrong_gemm;
  table.f32_to_q8 = wrong_q8;
  CHECK(wrong_kernels(table) ==
        std::vector<std::string>{"trit_gemm", "dot", "add_multiple", "f32_to_q8"});
}

TEST_CASE("facts are read as Linux tells them") {
  Machine machine;
  machine.file("proc/cpuinfo", "processor\t: 0\nmodel\t\t: 2\nmodel name\t: Test CPU 9000");
  machine.file("proc/meminfo", "MemAvailable: 1048576 kB");
  machine.file("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]");
  machine.file("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "cpufreq-dt");
  machine.file("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave");
  const MachineReport report = read_machine(machine.root(), choose_threads(machine.root(), {0}));
  CHECK(report.cpu == "Test CPU 9000");
  CHECK(report.memory.bytes() == 1 << 30);
  CHECK(report.huge_pages == "never");
  CHECK(report.governor == "powersave");
  CHECK(!report.reports_stalls);
  CHECK(report.levels[0].isa == "scalar");
  CHECK(report.threads.threads == 1);
  machine.file("proc/cpuinfo", "processor\t: 0");
  machine.file("proc/device-tree/model", std::string("Test Board\0", 11));
  machine.file("proc/pressure/memory", "some");
  machine.file("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "intel_pstate");
  const MachineReport again = read_machine(machine.root(), {});
  CHECK(again.cpu == "Test Board");
  CHECK(again.reports_stalls);
  CHECK(again.governor.empty());
}

TEST_CASE("a good machine has no problem, every other one comes with what mends it") {
  MachineReport report = good_report();
  CHECK(find_problems(report).empty());
  SUBCASE("huge pages") {
    report.huge_pages = "never";
    check_problem(report, "huge pages", "transparent_hugepage/enabled");
  }
  SUBCASE("governor") {
    report.governor = "powersave";
    check_problem(report, "governor powersave", "scaling_governor");
  }
  SUBCASE("kernels chosen by hand") {
    std::swap(report.levels[1].in_use, report.levels[2].in_use);
    check_problem(report, "avx512", "unset TRIT_ISA");
  }
  SUBCASE("no vector instructions") {
    report.levels = {{"scalar", {}, true}};
    check_problem(report, "no vector instructions", "AVX2");
  }
  SUBCASE("little memory") {
    report.memory.bounds[0].limit_bytes = 100 << 20;
    check_problem(report, "only 100.0 MiB", "end other programs");
    report.memory.bounds.push_back(
        {MemoryBound::Kind::kCgroup, "/sys/fs/cgroup/x/memory.max", 50 << 20, 0, 0, 0});
    check_problem(report, "only 50.0 MiB", "/sys/fs/cgroup/x/memory.max");
  }
  SUBCASE("limited addresses") {
    report.memory.bounds.push_back(
        {MemoryBound::Kind::kAddressSpace, "RLIMIT_AS", 1 << 30, 0, 0, 0});
    check_problem(report, "limited to 1024.0 MiB", "ulimit -v unlimited");
  }
}

TEST_CASE("wrong kernels are fatal and the fix names the best level that is right") {
  MachineReport report = good_report();
  report.levels[2].wrong = {"dot", "rope"};
  const std::vector<Problem> problems = find_problems(report);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].fatal);
  CHECK(problems[0].what == "kernels avx512 compute wrong results: dot, rope");
  CHECK(problems[0].fix.find("TRIT_ISA=avx2 ") != std::string::npos);
}

TEST_CASE("doctor shows this machine, as text and as JSON") {
  const ProcessResult text = tritstack({"doctor"});
  CAPTURE(text.out);
  CHECK(text.exit_code == 0);
  CHECK(text.err.empty());
  for (const char* part : {"cpu ", "kernels    scalar      the reference", ", in use\n", "memory ",
                           " = ", "pages ", "threads "})
    CHECK(text.out.find(part) != std::string::npos);
  CHECK(text.out.find("WRONG") == std::string::npos);
  const ProcessResult json = tritstack({"doctor", "--json", "--verbose"});
  CHECK(json.exit_code == 0);
  CHECK(json.err.find("levels checked in") != std::string::npos);
  const auto document = JsonDocument::parse(json.out, "stdout");
  REQUIRE(document.ok());
  const auto root = document.value()->root();
  for (const char* member :
       {"ok", "cpu", "features", "kernels", "memory", "clusters", "threads", "problems"}) {
    CAPTURE(member);
    CHECK(root[member].exists());
  }
}

TEST_CASE("a kernel level chosen by hand is shown as in use, and as a problem") {
  ProcessOptions options;
  options.environment = {"TRIT_ISA=scalar"};
  const ProcessResult result = tritstack({"doctor"}, options);
  CHECK(result.exit_code == 0);
  CHECK(result.out.find("the reference, in use\n") != std::string::npos);
  uint32_t levels = 0;
  available_isas(&levels);
  CHECK((result.out.find("unset TRIT_ISA") != std::string::npos) == (levels > 1));
}

TEST_CASE("in a control group the limit is named, with its numbers and as a problem when small") {
  const MemoryGroup group(128 << 20);
  if (!group.made()) return skip("no control group with a memory limit can be made here");
  const int result = group.run([&] {
    const ProcessResult doctor = tritstack({"doctor"});
    const std::string bound = "\n  least    " + group.limit_file() + ":\n";
    if (doctor.exit_code != 0 || doctor.out.find(bound) == std::string::npos) return 1;
    return doctor.out.find("a larger number in " + group.limit_file()) != std::string::npos ? 0 : 2;
  });
  CHECK(result == 0);
}

}  // namespace
}  // namespace trit
