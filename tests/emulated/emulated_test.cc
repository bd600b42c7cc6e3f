// CPUs that this machine does not have, by qemu: on each the kernels pass their tests and the demo
// says and scores what it does here, at this machine's every level. x86 CPUs run the programs of
// this build, Arm CPUs those of its folder aarch64 (`make cross`). A CPU that cannot be emulated is
// skipped.
#include <doctest/doctest.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

struct Cpu {
  std::string emulator, name;
  std::vector<std::string> isas;  // levels to try with the demo, the best last
};

std::string folder_of_this_program() {
  char self[4096];
  const ssize_t size = readlink("/proc/self/exe", self, sizeof(self));
  const std::string path(self, size > 0 ? static_cast<size_t>(size) : 0);
  return path.substr(0, path.rfind('/') + 1);
}

using Words = std::vector<std::string>;

// The program on an emulated CPU, its best level for an empty `isa`.
ProcessResult emulate(const Cpu& cpu, const Words& program, const std::string& input = "",
                      const std::string& isa = "") {
  Words words = {"/usr/bin/env", cpu.emulator, "-cpu", cpu.name};
  words.insert(words.end(), program.begin(), program.end());
  ProcessOptions options;
  options.input = input;
  options.environment = {"TRIT_ISA=" + isa};
  return run_process(words, options);
}

// Why this CPU cannot be emulated here, empty if it can.
std::string obstacle(const Cpu& cpu, const std::string& programs) {
  if (run_process({"/usr/bin/env", cpu.emulator, "--version"}).exit_code != 0)
    return "no " + cpu.emulator + " (make deps)";
  utsname machine;
  uname(&machine);
  if (cpu.emulator == "qemu-x86_64" && machine.machine != std::string("x86_64"))
    return "this build is not for x86";
  if (access((programs + "test_kernels").c_str(), X_OK) != 0)
    return "no aarch64-linux-gnu-g++ (make deps)";
  return "";
}

// The demo's story and the hash of its scores, by a command that runs words anywhere.
template <typename Run>
std::string demo_results(const std::string& command, const Run& run) {
  const std::string model = "cmd/demo/stories.trit";
  std::string tokens = "1";
  for (int t = 2; t < 40; ++t) tokens += "," + std::to_string(t * 7);
  const ProcessResult story =
      run(Words{command, "chat", "-m", model, "--temp", "0", "-n", "48", "-t", "1"},
          "Tell me a story about a dog.\n");
  const ProcessResult scores =
      run(Words{command, "logits", "-m", model, "-t", "1", "--tokens", tokens}, "");
  CAPTURE(story.err);
  CAPTURE(scores.err);
  CHECK(story.exit_code == 0);
  CHECK(scores.exit_code == 0);
  CHECK(story.out.size() > 100);
  CHECK(scores.out.size() > 16);
  return story.out + scores.out;
}

std::string demo_here(const std::string& isa) {
  return demo_results(tritstack_path(), [&](const Words& words, const std::string& input) {
    ProcessOptions options;
    options.input = input;
    options.environment = {"TRIT_ISA=" + isa};
    return run_process(words, options);
  });
}

void check_cpu(const Cpu& cpu) {
  const bool arm = cpu.emulator == "qemu-aarch64";
  const std::string programs = folder_of_this_program() + (arm ? "aarch64/" : "");
  const std::string why = obstacle(cpu, programs);
  if (!why.empty()) return skip(why);

  const std::string kernels = programs + "test_kernels";
  const std::string level = emulate(cpu, {kernels, "-ns", "-tc=(child)*"}).out;
  CHECK_MESSAGE(level.find("isa=" + cpu.isas.back() + ".") != std::string::npos, level);
  // The case left out starts itself again, which an emulator does not pass on.
  const ProcessResult tests = emulate(cpu, {kernels, "-tce=TRIT_ISA chooses*"});
  CHECK_MESSAGE(tests.exit_code == 0, tests.out, tests.err);
  CHECK_MESSAGE(tests.out.find(" passed, 0 failed, ") != std::string::npos, tests.out);

  const std::string command = arm ? programs + "tritstack" : tritstack_path();
  const std::string expected = demo_here("scalar");
  for (const std::string& isa : cpu.isas)
    CHECK(demo_results(command, [&](const Words& words, const std::string& input) {
            return emulate(cpu, words, input, isa);
          }) == expected);
}

TEST_CASE("the demo says and scores the same at every level of this CPU") {
  const std::string expected = demo_here("scalar");
  uint32_t count = 0;
  const char* const* isas = available_isas(&count);
  for (uint32_t i = 1; i < count; ++i) {
    CAPTURE(isas[i]);
    CHECK(demo_here(isas[i]) == expected);
  }
}

TEST_CASE("neon: a Cortex-A53 (Raspberry Pi 3) gives the same bits") {
  check_cpu({"qemu-aarch64", "cortex-a53", {"scalar", "neon"}});
}
TEST_CASE("dotprod: a Cortex-A76 (Raspberry Pi 5) gives the same bits") {
  check_cpu({"qemu-aarch64", "cortex-a76", {"dotprod"}});
}
TEST_CASE("i8mm: an Arm CPU with every extension gives the same bits") {
  check_cpu({"qemu-aarch64", "max", {"i8mm"}});
}
TEST_CASE("scalar: an x86 CPU without AVX gives the same bits") {
  check_cpu({"qemu-x86_64", "Nehalem", {"scalar"}});
}
TEST_CASE("avx2: a Haswell gives the same bits") {
  check_cpu({"qemu-x86_64", "Haswell", {"avx2"}});
}

}  // namespace
}  // namespace trit
