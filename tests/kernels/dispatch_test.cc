// Which level runs, and that TRIT_ISA is obeyed: the choice is made once per process, so other
// choices are seen by running this program again.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/kernels/kernel_levels.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

TEST_CASE("scalar comes first, every level's table is full and carries its name") {
  uint32_t count = 0;
  const char* const* isas = available_isas(&count);
  REQUIRE(count >= 1);
  CHECK(std::string(isas[0]) == "scalar");
  for (uint32_t i = 0; i < count; ++i) {
    const KernelTable* k = kernels_for(isas[i]);
    REQUIRE(k != nullptr);
    CHECK(std::string(k->isa) == isas[i]);
    void* entries[sizeof(KernelTable) / sizeof(void*)];
    memcpy(entries, k, sizeof(entries));
    for (void* entry : entries) CHECK(entry != nullptr);
  }
  CHECK(kernels_for("pentium") == nullptr);
  CHECK(kernels_for("") == nullptr);
}

TEST_CASE("threads that ask at once get one table") {
  const KernelTable* seen[4] = {};
  std::vector<std::thread> threads;
  for (auto& table : seen) threads.emplace_back([&table] { table = default_kernels(); });
  for (std::thread& thread : threads) thread.join();
  for (const KernelTable* table : seen) CHECK(table == seen[0]);
}

TEST_CASE("(child) prints the default level" * doctest::skip()) {
  const KernelTable* k = default_kernels();
  std::printf("isa=%s.\n", k ? k->isa : "none");
}

std::string default_level_with(const std::string& wanted) {
  char self[4096];
  const ssize_t size = readlink("/proc/self/exe", self, sizeof(self));
  if (size <= 0) return "";
  ProcessOptions options;
  options.environment = {"TRIT_ISA=" + wanted};
  const std::string out =
      run_process({std::string(self, static_cast<size_t>(size)), "-ns", "-tc=(child)*"}, options)
          .out;
  const size_t begin = out.find("isa="), end = out.find(".\n", begin);
  return begin == std::string::npos ? "" : out.substr(begin + 4, end - begin - 4);
}

TEST_CASE("TRIT_ISA chooses a level; a name that is not there chooses none; empty is the best") {
  if (access("/proc/self/exe", R_OK) != 0) return skip("no /proc/self/exe");
  uint32_t count = 0;
  const char* const* isas = available_isas(&count);
  for (uint32_t i = 0; i < count; ++i) CHECK(default_level_with(isas[i]) == isas[i]);
  CHECK(default_level_with("pentium") == "none");
  CHECK(default_level_with("AVX2") == "none");
  CHECK(default_level_with("") == isas[count - 1]);
}

}  // namespace
}  // namespace trit
