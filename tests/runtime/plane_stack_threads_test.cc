// Planes that change while sessions of several threads run: every pass sees one whole set, its
// pages are there to its end, and what all sessions computed is what one thread computes that makes
// the same passes with the same planes.
#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "runtime/session.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace trit {

namespace {

constexpr uint32_t kSessions = 4, kVocab = 400, kContext = 48;
constexpr size_t kChanges = 1000;

std::shared_ptr<const Model> written(const TempDir& dir) {
  TinyModel tiny;
  tiny.config = tiny_config();
  tiny.config.vocab = kVocab;
  tiny.config.hidden = tiny.config.ffn = 240;  // blocks are longer than pages
  REQUIRE(write_tiny_model(dir.path("m.trit"), tiny).ok());
  auto model = Model::open(dir.path("m.trit"), {});
  REQUIRE(model.ok());
  return model.value();
}

std::unique_ptr<Session> open_session(std::shared_ptr<const Model> model, uint32_t threads) {
  SessionOptions options;
  options.threads = threads;
  options.context = kContext;
  auto session = Session::open(std::move(model), options);
  REQUIRE(session.ok());
  return std::move(session.value());
}

// One forward pass: what it was given, what it used and what came out.
struct Pass {
  uint32_t position;
  std::vector<int32_t> ids;
  PlaneSelection planes;
  std::vector<float> logits;
};

void run(Session* session, Random* random, std::vector<Pass>* passes) {
  Pass pass;
  const uint32_t count = random->below(4) ? 1 : 1 + random->below(6);
  pass.position = session->position() + count > kContext ? random->below(4) : session->position();
  for (uint32_t i = 0; i < count; ++i)
    pass.ids.push_back(static_cast<int32_t>(random->below(kVocab)));
  if (!session->rewind(pass.position).ok() || !session->prefill(pass.ids, nullptr).ok()) return;
  pass.planes = session->last_planes();
  pass.logits.assign(session->logits(), session->logits() + kVocab);
  passes->push_back(std::move(pass));
}

void change(PlaneStack* planes, uint64_t smallest, uint64_t largest, Random* random) {
  const size_t base = 14 * 2 + 3, all = 14 * 3 + 4;
  switch (random->below(3)) {
    case 0:
      static_cast<void>(planes->set_prefix(base + random->below(all - base + 1)));
      break;
    case 1:
      static_cast<void>(planes->set_caps({random->below(3) ? 0u : 2u, random->below(3) ? 0u : 3u}));
      break;
    default:
      static_cast<void>(planes->set_budget(smallest + random->next() % (largest - smallest + 1)));
  }
}

}  // namespace

TEST_CASE(
    "1,000 changes under 4 sessions: a single thread with the same planes gets the same bits") {
  const TempDir dir;
  const auto model = written(dir);
  std::vector<std::unique_ptr<Session>> sessions;
  for (uint32_t i = 0; i < kSessions; ++i) sessions.push_back(open_session(model, 1 + i % 2));
  const PlaneStack::Figures figures = model->planes().figures();
  std::atomic<bool> stop{false};
  std::atomic<size_t> changes{0}, done{0};  // neither runs away from the other
  std::vector<std::vector<Pass>> passes(kSessions);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kSessions; ++i)
    threads.emplace_back([&, i] {
      Random random(100 + i);
      while (!stop) {
        if (passes[i].size() > 2 * changes) {
          std::this_thread::yield();
          continue;
        }
        run(sessions[i].get(), &random, &passes[i]);
        ++done;
      }
    });
  Random random(7);
  for (; changes < kChanges; ++changes) {
    change(&model->planes(), figures.smallest_bytes, figures.resident_bytes, &random);
    if (changes % 8 == 0) static_cast<void>(model->planes().settle());
    while (done < changes) std::this_thread::yield();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  sessions.clear();

  PlaneStack& planes = model->planes();
  REQUIRE(planes.set_budget(0).ok());
  size_t differ = 0, sets = 0;
  for (uint32_t i = 0; i < kSessions; ++i) {
    const auto replay = open_session(model, 1);
    PlaneSelection last;
    for (const Pass& pass : passes[i]) {
      if (!(pass.planes == last)) {
        REQUIRE(planes.set_caps(pass.planes.caps).ok());
        REQUIRE(planes.set_prefix(pass.planes.blocks).ok());
        REQUIRE(planes.settle().ok());
        last = pass.planes;
        ++sets;
      }
      REQUIRE(replay->rewind(pass.position).ok());
      REQUIRE(replay->prefill(pass.ids, nullptr).ok());
      REQUIRE(replay->last_planes() == pass.planes);
      differ += std::memcmp(replay->logits(), pass.logits.data(), kVocab * 4) != 0;
    }
  }
  CHECK(differ == 0);
  CHECK(done >= kChanges);
  CHECK(sets > 20);
}

TEST_CASE("10,000 interleavings: no set is torn, none loses a page while it is held") {
  const TempDir dir;
  const auto model = written(dir);
  const auto session = open_session(model, 1);
  PlaneStack& planes = model->planes();
  const ModelReader& reader = model->reader();
  const PlaneStack::Figures figures = planes.figures();
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> looks{0}, torn{0};
  const auto look = [&] {
    while (!stop) {
      const auto set = planes.current();
      const auto check = [&](const Matrix& m, MatrixRole role, uint32_t layer) {
        const size_t index = reader.matrix_index(role, layer);
        uint32_t expected = 0;
        for (size_t b = 0; b < reader.blocks().size(); ++b)
          expected += reader.blocks()[b].matrix == index && set->selection.holds(reader, b);
        bool fine = m.planes.planes == expected;
        const uint64_t bytes = digit_bytes(m.rows, m.cols, m.planes.group);
        for (uint32_t p = 0; fine && p < expected; ++p)
          fine = m.planes.digits[p][0] < kByteCodes && m.planes.digits[p][bytes - 1] < kByteCodes;
        torn += !fine;
      };
      check(set->weights.embedding, MatrixRole::kEmbedding, 0);
      for (uint32_t i = 0; i < reader.config().n_layers; ++i) {
        check(set->weights.layers[i].q, MatrixRole::kQ, i);
        check(set->weights.layers[i].down, MatrixRole::kDown, i);
      }
      ++looks;
    }
  };
  std::thread one(look), two(look);
  Random random(5);
  for (int i = 0; i < 10000; ++i) {
    change(&planes, figures.smallest_bytes, figures.resident_bytes, &random);
    if (i % 50 == 0) static_cast<void>(planes.settle());
  }
  stop = true;
  one.join();
  two.join();
  CHECK(torn == 0);
  CHECK(looks > 100);
}

TEST_CASE("sessions that come and go under a budget leave it as it was") {
  const TempDir dir;
  const auto model = written(dir);
  const uint64_t spare = model->planes().figures().resident_bytes + (1 << 20);
  REQUIRE(model->planes().set_budget(spare).ok());
  const size_t blocks = model->planes().figures().blocks;
  std::vector<std::thread> threads;
  std::atomic<uint64_t> opened{0}, wrong{0};
  for (uint32_t i = 0; i < kSessions; ++i)
    threads.emplace_back([&, i] {
      Random random(i);
      for (int round = 0; round < 40; ++round) {
        SessionOptions options;
        options.threads = 1;
        options.context = 16 << random.below(5);
        const auto session = Session::open(model, options);
        if (!session.ok()) {
          wrong += session.status().code() != Code::kMemory;
          continue;
        }
        ++opened;
        const std::vector<int32_t> ids = {1, 2, 3};
        wrong += !session.value()->prefill(ids, nullptr).ok();
        wrong += model->planes().figures().resident_bytes > spare;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(opened > 0);
  REQUIRE(model->planes().settle().ok());
  CHECK(model->planes().figures().blocks == blocks);
}

}  // namespace trit
