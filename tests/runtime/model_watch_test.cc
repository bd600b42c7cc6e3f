// A model whose budget follows memory: planes leave when it gets scarce, come when a download goes
// on, and nobody is told of what others changed. On machines made of files.
#include "runtime/model_watch.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/available_memory.h"
#include "runtime/include/tritstack.h"
#include "runtime/session.h"
#include "tests/support/machine.h"

namespace trit {
namespace {

constexpr const char* kDemo = "cmd/demo/stories.trit";

// Polls at most a minute.
template <typename Condition>
bool comes_true(const Condition& condition) {
  for (int i = 0; i < 6000 && !condition(); ++i) usleep(10000);
  return condition();
}

// A model on a machine with so much memory, watched.
class Watched {
 public:
  Watched(const std::string& path, uint64_t available) {
    set_available(available);
    auto opened = Model::open(path, {});
    REQUIRE(opened.ok());
    model = std::move(opened.value());
    auto watch = ModelWatch::start(
        model,
        [this](ModelWatch::Reason why) {
          reason = why;
          ++changes;
        },
        machine_.root());
    REQUIRE(watch.ok());
    watch_ = std::move(watch.value());
  }
  void set_available(uint64_t bytes) {
    machine_.file("proc/meminfo", "MemAvailable: " + std::to_string(bytes >> 10) + " kB");
  }
  PlaneStack::Figures figures() const { return model->planes().figures(); }

  std::shared_ptr<const Model> model;
  std::atomic<int> changes{0};
  std::atomic<ModelWatch::Reason> reason{ModelWatch::Reason::kEased};

 private:
  Machine machine_;
  std::unique_ptr<ModelWatch> watch_;
};

TEST_CASE("planes leave when memory gets scarce, down to the base, and the model goes on") {
  constexpr uint64_t kAside = 5 << 20;
  Watched watched(kDemo, 1ull << 40);
  REQUIRE(watched.model->planes().set_aside(kAside).ok());
  SessionOptions options;
  options.context = 32;
  auto session = Session::open(watched.model, options);
  REQUIRE(session.ok());
  REQUIRE(comes_true([&] { return watched.figures().budget_bytes != 0; }));
  const PlaneStack::Figures full = watched.figures();
  REQUIRE(full.blocks == watched.model->reader().blocks().size());
  CHECK(watched.changes == 0);
  CHECK(full.budget_bytes == automatic_budget(1ull << 40));
  // Room for the base and half of the rest.
  const uint64_t half = (full.smallest_bytes + full.resident_bytes) / 2;
  watched.set_available(half / (kMarginShare - 1) * kMarginShare);
  REQUIRE(comes_true([&] { return watched.changes == 1; }));
  CHECK(watched.reason == ModelWatch::Reason::kScarce);
  const PlaneStack::Figures some = watched.figures();
  CHECK(some.blocks < full.blocks);
  CHECK(some.blocks > watched.model->reader().base_blocks());
  CHECK(some.resident_bytes <= some.budget_bytes);
  watched.set_available(1 << 20);
  REQUIRE(comes_true([&] { return watched.changes == 2; }));
  CHECK(watched.figures().blocks == watched.model->reader().base_blocks());
  const std::vector<int32_t> ids = {1, 2, 3};
  CHECK(session.value()->prefill(Span<const int32_t>(ids), nullptr).ok());
}

TEST_CASE("what a download brings is taken and told, what others change is not") {
  const TempDir folder;
  const std::string path = folder.path("demo.trit"), bytes = read_file(kDemo);
  const uint64_t here = ModelReader::open(kDemo)->base_end() + 1;
  write_file(path, bytes.substr(0, here));
  Watched watched(path, 1ull << 40);
  const ModelReader& reader = watched.model->reader();
  REQUIRE(watched.figures().blocks == reader.base_blocks());
  REQUIRE(comes_true([&] { return watched.figures().budget_bytes != 0; }));
  std::ofstream(path, std::ios::binary | std::ios::app) << bytes.substr(here);
  REQUIRE(comes_true([&] { return watched.changes == 1; }));
  CHECK(watched.reason == ModelWatch::Reason::kFileGrew);
  CHECK(watched.figures().blocks == reader.blocks().size());
  REQUIRE(watched.model->planes().set_prefix(reader.base_blocks()).ok());
  REQUIRE(watched.model->planes().settle().ok());
  usleep(1500000);  // a look or two
  CHECK(watched.changes == 1);
}

TEST_CASE("a forced model has nothing to give") {
  ModelOptions options;
  options.planes.budget_bytes = 1 << 20;
  options.planes.force = true;
  auto model = Model::open(kDemo, options);
  REQUIRE(model.ok());
  Machine machine;
  machine.file("proc/meminfo", "MemAvailable: 512 kB");
  const auto watch = ModelWatch::start(
      model.value(), [](ModelWatch::Reason) {}, machine.root());
  REQUIRE(watch.ok());
  usleep(1500000);
  CHECK(model.value()->planes().figures().budget_bytes == 1 << 20);
}

TEST_CASE("the C API tells how much memory there is, why, and watches a model") {
  uint64_t available = 0, budget = 0;
  char why[256] = "", part[4];
  size_t needed = 0;
  REQUIRE(trit_available_memory(&available, &budget, why, sizeof why, &needed) == TRIT_OK);
  CHECK(budget == automatic_budget(available));
  CHECK(available > 1 << 20);
  REQUIRE(needed < sizeof why);
  CHECK(std::string(why, needed).find(" = ") != std::string::npos);
  CHECK(trit_available_memory(nullptr, nullptr, part, sizeof part, nullptr) == TRIT_OK);
  CHECK(std::string(part, 4) == std::string(why, 4));
  CHECK(trit_available_memory(nullptr, nullptr, nullptr, 0, &needed) == TRIT_OK);
  CHECK(trit_available_memory(nullptr, nullptr, nullptr, 1, &needed) == TRIT_USAGE);

  CHECK(trit_model_watch_memory(nullptr, nullptr, nullptr) == TRIT_USAGE);
  trit_model_unwatch_memory(nullptr);
  CHECK(trit_guard_file_access() == TRIT_OK);
  trit_model* model = nullptr;
  REQUIRE(trit_model_open(kDemo, nullptr, &model) == TRIT_OK);
  CHECK(trit_model_watch_memory(model, nullptr, nullptr) == TRIT_OK);
  CHECK(trit_model_watch_memory(model, nullptr, nullptr) == TRIT_OK);
  trit_model_unwatch_memory(model);
  trit_model_unwatch_memory(model);
  CHECK(trit_model_watch_memory(model, nullptr, nullptr) == TRIT_OK);
  trit_model_close(model);
}

}  // namespace
}  // namespace trit
