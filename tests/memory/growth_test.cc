// Planes that leave and come back while a model talks: how soon their memory is back with the
// system, and how long they make anybody wait for a token. Ratios of one run decide; the longest
// tokens are printed, since on a shared machine p99 alone swings more than the 5 ms it may rise.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "runtime/session.h"
#include "tests/memory/random_models.h"
#include "tests/support/process.h"

namespace trit {
namespace {

constexpr size_t kRounds = 10;
constexpr size_t kOrdinary = 20;  // tokens with few and with all planes, in each round
constexpr size_t kWarm = 3;
constexpr double kSlower = 1.5;   // a token while planes come in, by medians
constexpr double kLeaving = 100;  // ms

class Stopwatch {
 public:
  double milliseconds() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_)
        .count();
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class Times {
 public:
  void add(double milliseconds) { times_.push_back(milliseconds); }
  double share(double below) const {
    std::vector<double> sorted = times_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(below * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
  void print(const char* what) const {
    std::printf("  %-23s %4zu times: median %6.1f ms, p99 %6.1f, most %6.1f\n", what, times_.size(),
                share(0.5), share(0.99), share(1));
    std::fflush(stdout);
  }

 private:
  std::vector<double> times_;
};

// One conversation of which each token is timed.
class Talk {
 public:
  Talk(const std::string& path, IoMode io) {
    ModelOptions options;
    options.io = io;
    auto opened = Model::open(path, options);
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    model_ = opened.value();
    SessionOptions session;
    session.context = 512;
    auto talk = Session::open(model_, session);
    REQUIRE_MESSAGE(talk.ok(), talk.status().message());
    session_ = std::move(talk.value());
    REQUIRE(planes().settle().ok());
  }
  PlaneStack& planes() const { return model_->planes(); }
  size_t all() const { return model_->reader().blocks().size(); }

  double token() {
    if (session_->position() == session_->context()) REQUIRE(session_->rewind(16).ok());
    const int32_t id = 1;
    const Stopwatch watch;
    REQUIRE(session_->prefill({&id, 1}, nullptr).ok());
    return watch.milliseconds();
  }
  void ordinary(Times* times) {
    for (size_t i = 0; i < kWarm; ++i) token();
    for (size_t i = 0; i < kOrdinary; ++i) times->add(token());
  }
  // Down to the base; until 95 % of what leaves has left.
  double drop() {
    const MemoryPlan plan(model_->reader(), {});
    const double leaving = static_cast<double>(plan.bytes(all()) - plan.smallest());
    const double before = static_cast<double>(memory_in("self/status", "VmRSS"));
    const Stopwatch watch;
    REQUIRE(planes().set_prefix(model_->reader().base_blocks()).ok());
    while (before - static_cast<double>(memory_in("self/status", "VmRSS")) < 0.95 * leaving &&
           watch.milliseconds() < 10 * kLeaving)
      usleep(500);
    const double milliseconds = watch.milliseconds();
    REQUIRE(planes().settle().ok());
    return milliseconds;
  }

 private:
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Session> session_;
};

void check_changes(const char* what, const std::string& path, IoMode io, bool cached) {
  Talk talk(path, io);
  Times few, all, coming, whole, leaving;
  for (size_t round = 0; round < kRounds; ++round) {
    leaving.add(talk.drop());
    if (!cached) forget_file(path);
    talk.ordinary(&few);
    const Stopwatch watch;
    REQUIRE(talk.planes().set_prefix(talk.all()).ok());
    while (talk.planes().figures().blocks < talk.all()) coming.add(talk.token());
    whole.add(watch.milliseconds());
    REQUIRE(talk.planes().settle().ok());
    talk.ordinary(&all);
  }
  std::printf("%s\n", what);
  leaving.print("95 % of planes leave");
  few.print("token with the base");
  coming.print("token as planes come in");
  all.print("token with all planes");
  whole.print("all planes are in use");
  CHECK(leaving.share(1) <= kLeaving);
  CHECK(coming.share(0.5) <= kSlower * few.share(0.5));
}

}  // namespace

TEST_CASE("tokens go on while 500 MB of planes come back, and the planes leave in 100 ms") {
  const TempDir folder;
  const std::string model = random_model(folder, k700MB);
  check_changes("mapped", model, IoMode::kMap, true);
  check_changes("mapped, not in the page cache", model, IoMode::kMap, false);
  check_changes("read", model, IoMode::kRead, true);
}

}  // namespace trit
