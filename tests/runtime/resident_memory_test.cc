// The promise itself: what the system says this process has resident, against its budget and the
// plan, at prefixes of a small and a larger model; and that planes that are dropped leave. Peaks
// are per process, so each case runs this program once more for its numbers.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "model_format/convert/random_model.h"
#include "runtime/session.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TRIT_OWN_MEMORY 0
#else
#define TRIT_OWN_MEMORY 1
#endif

namespace trit {

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr const char* kDemo = "cmd/demo/stories.trit";

// The peak counts from now.
bool reset_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5";
  return file.flush().good();
}

bool measurable() {
  if (TRIT_OWN_MEMORY && memory_in("self/status", "VmHWM") > 0 && reset_peak()) return true;
  skip("this system does not tell peaks, or a sanitizer has memory of its own");
  return false;
}

// Runs the case "child: <name>" on a model in a process of its own.
void run_child(const std::string& name, const std::string& model, const char* io = "map") {
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self);
  REQUIRE(length > 0);
  ProcessOptions options;
  options.environment = {"TRIT_TEST_MODEL=" + model, std::string("TRIT_TEST_IO=") + io};
  const ProcessResult child = run_process(
      {std::string(self, static_cast<size_t>(length)), "--no-skip", "-tc=child: " + name}, options);
  const bool passed = child.exit_code == 0 && child.out.find("1 passed") != std::string::npos;
  CHECK_MESSAGE(passed, child.out, child.err);
}

std::shared_ptr<const Model> open_model(uint64_t budget) {
  ModelOptions options;
  options.planes.budget_bytes = budget;
  options.io = std::getenv("TRIT_TEST_IO") == std::string("read") ? IoMode::kRead : IoMode::kMap;
  auto model = Model::open(std::getenv("TRIT_TEST_MODEL"), options);
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return model.value();
}

Result<std::unique_ptr<Session>> open_session(std::shared_ptr<const Model> model) {
  SessionOptions options;
  options.threads = 2;
  options.context = 200;
  return Session::open(std::move(model), options);
}

void run_tokens(Session* session) {
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6, 7, 8};
  REQUIRE(session->rewind(0).ok());
  REQUIRE(session->prefill(ids, nullptr).ok());
  REQUIRE(session->prefill({ids.data(), 1}, nullptr).ok());
}

// Opens, runs and closes with this budget; the peak is what was promised.
void check_budget(uint64_t budget) {
  CAPTURE(budget);
  REQUIRE(reset_peak());
  const auto model = open_model(budget);
  const auto session = open_session(model);
  if (!session.ok()) {
    CHECK(session.status().code() == Code::kMemory);
    CHECK(model->planes().figures().smallest_bytes <= budget + 3 * kMiB);
    return;
  }
  run_tokens(session.value().get());
  REQUIRE(model->planes().settle().ok());
  const uint64_t peak = memory_in("self/status", "VmHWM");
  const PlaneStack::Figures now = model->planes().figures();
  CHECK(peak <= now.resident_bytes);
  CHECK(now.resident_bytes <= budget);
  CHECK(peak + 2 * kMiB + now.resident_bytes / 100 >= now.resident_bytes);
  if (now.blocks == now.whole_blocks) return;
  const BlockInfo& next = model->reader().blocks()[now.blocks];
  const PageRange pages = pages_of(next.offset, next.offset + next.bytes);
  CHECK(budget - now.resident_bytes < pages.end - pages.begin);
}

// About 40 MB: 12 layers of 640.
std::string random_model(const TempDir& dir) {
  RandomModel model;
  model.config = tiny_config();
  ModelConfig& c = model.config;
  c.n_layers = 12;
  c.hidden = 640;
  c.n_heads = 10;
  c.n_kv_heads = 5;
  c.head_dim = 64;
  c.ffn = 1536;
  c.vocab = 16000;
  c.max_positions = 2048;
  c.rope_frequencies.assign(32, 0.01);
  model.threads = 2;
  const std::atomic<bool> cancel{false};
  const Status written = write_random_model(
      dir.path("random.trit"), model, [](uint64_t, uint64_t) {}, cancel);
  REQUIRE_MESSAGE(written.ok(), written.message());
  return dir.path("random.trit");
}

}  // namespace

TEST_CASE("child: budgets" * doctest::skip()) {
  uint64_t smallest = 0;
  std::vector<uint64_t> boundaries;
  {
    const auto model = open_model(0);
    const auto session = open_session(model);
    REQUIRE(session.ok());
    MemoryPlan plan(model->reader(), {});
    const PlaneStack::Figures figures = model->planes().figures();
    smallest = figures.smallest_bytes;
    const size_t base = model->reader().base_blocks(), all = model->reader().blocks().size();
    const size_t step = (all - base) / 30 + 1;
    for (size_t blocks = base; blocks <= all; blocks += step)
      boundaries.push_back(smallest + plan.bytes(blocks) - plan.bytes(base));
  }
  check_budget(smallest - 4 * kMiB);
  for (const uint64_t boundary : boundaries)
    for (const uint64_t budget : {boundary - 1, boundary, boundary + 1}) check_budget(budget);
}

TEST_CASE("child: live changes" * doctest::skip()) {
  const auto model = open_model(0);
  const auto session = open_session(model);
  REQUIRE(session.ok());
  PlaneStack& planes = model->planes();
  const size_t base = model->reader().base_blocks(), all = model->reader().blocks().size();
  const MemoryPlan plan(model->reader(), {});
  const auto step_to = [&](size_t blocks) {
    REQUIRE(planes.set_prefix(blocks).ok());
    REQUIRE(planes.settle().ok());
    run_tokens(session.value().get());
    return memory_in("self/status", "VmRSS");
  };
  uint64_t last = step_to(all);
  size_t last_blocks = all;
  for (const size_t blocks : {base, all, (base + all) / 2, base, (base + all) / 2, all}) {
    const uint64_t now = step_to(blocks);
    const double expected =
        static_cast<double>(plan.bytes(blocks)) - static_cast<double>(plan.bytes(last_blocks));
    const double moved = static_cast<double>(now) - static_cast<double>(last);
    CAPTURE(expected);
    CHECK(moved / expected > 0.95);
    CHECK(moved / expected < 1.05);
    last = now;
    last_blocks = blocks;
  }
  // Below a budget there is never more, not even between two sets.
  for (const uint64_t budget :
       {planes.figures().smallest_bytes, planes.figures().resident_bytes - 5 * kMiB}) {
    REQUIRE(planes.set_budget(budget).ok());
    REQUIRE(planes.settle().ok());
    REQUIRE(reset_peak());
    for (int round = 0; round < 20; ++round) {
      REQUIRE(planes.set_caps({round % 2 ? 2u : 0u, round % 3 ? 0u : 3u}).ok());
      if (round % 4) REQUIRE(planes.settle().ok());
      run_tokens(session.value().get());
    }
    REQUIRE(planes.settle().ok());
    CHECK(memory_in("self/status", "VmHWM") <= budget);
  }
}

TEST_CASE("the demo's peak is within every budget around every prefix, and what the plan said") {
  if (!measurable()) return;
  run_child("budgets", kDemo);
  run_child("budgets", kDemo, "read");
}

TEST_CASE("so is that of a model of 40 MB, and dropped planes leave: mapped and read") {
  if (!measurable()) return;
  const TempDir dir;
  const std::string path = random_model(dir);
  for (const char* io : {"map", "read"}) {
    run_child("budgets", path, io);
    run_child("live changes", path, io);
  }
}

}  // namespace trit
