// The promise of one set of bits: logits do not depend on threads, chunks or kernel level, and a
// session that rewinds or reuses a prefix computes what a fresh one computes.
#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "model_format/checksum.h"
#include "runtime/session.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

using namespace trit;

namespace {

// Large enough that every loop has several items, odd enough that every tail is taken.
TinyModel model_of(Encoding encoding, Encoding head) {
  TinyModel model;
  model.config = tiny_config();
  model.config.hidden = 168;
  model.config.n_heads = 6;
  model.config.n_kv_heads = 3;
  model.config.head_dim = 28;
  model.config.ffn = 444;
  model.config.vocab = 1003;
  model.config.max_positions = 256;
  model.config.qkv_bias = model.config.qk_norm = true;
  model.config.tied_head = false;
  model.encoding = encoding;
  model.head_encoding = head;
  model.group = 160;
  return model;
}

std::vector<int32_t> some_ids(size_t count, uint64_t seed) {
  Xoshiro256 random(seed);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random.next() % 1003);
  return ids;
}

std::shared_ptr<const Model> open_model(const std::string& path, const char* isa = nullptr) {
  ModelOptions options;
  options.kernels = isa ? kernels_for(isa) : nullptr;
  auto model = Model::open(path, options);
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return model.value();
}

std::unique_ptr<Session> open_session(std::shared_ptr<const Model> model, uint32_t threads,
                                      uint32_t chunk, std::optional<CacheType> cache = {}) {
  SessionOptions options;
  options.cache_k = options.cache_v = cache;
  options.threads = threads;
  options.chunk = chunk;
  auto session = Session::open(std::move(model), options);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  return std::move(session.value());
}

// The hash of all logits of a prefill and three decodes after it.
uint64_t logits_hash(Session* session, const std::vector<int32_t>& ids) {
  const size_t vocab = session->model().config().vocab;
  std::vector<float> logits(ids.size() * vocab);
  REQUIRE(session->prefill(ids, logits.data()).ok());
  for (const int32_t id : {5, 1002, 0}) {
    logits.insert(logits.end(), session->logits(), session->logits() + vocab);
    REQUIRE(session->prefill({&id, 1}, nullptr).ok());
  }
  logits.insert(logits.end(), session->logits(), session->logits() + vocab);
  return hash64(logits.data(), logits.size() * sizeof(float), 0);
}

void check_identity(const TinyModel& tiny, std::optional<CacheType> cache = {}) {
  TempDir dir;
  const std::string path = dir.path("model.trit");
  REQUIRE(write_tiny_model(path, tiny).ok());
  const std::vector<int32_t> ids = some_ids(71, 3);
  const uint64_t expected = logits_hash(open_session(open_model(path), 1, 71, cache).get(), ids);
  for (uint32_t threads = 1; threads <= 4; ++threads)
    CHECK(logits_hash(open_session(open_model(path), threads, 64, cache).get(), ids) == expected);
  for (uint32_t chunk : {1u, 7u, 64u, 71u})
    CHECK(logits_hash(open_session(open_model(path), 2, chunk, cache).get(), ids) == expected);
  uint32_t count = 0;
  const char* const* isas = available_isas(&count);
  for (uint32_t i = 0; i < count; ++i) {
    CAPTURE(isas[i]);
    CHECK(logits_hash(open_session(open_model(path, isas[i]), 2, 64, cache).get(), ids) ==
          expected);
    CHECK(logits_hash(open_session(open_model(path, isas[i]), 1, 1, cache).get(), ids) == expected);
  }
}

}  // namespace

TEST_CASE("logits are the same bits for every thread count, chunking and kernel level") {
  SUBCASE("tied") {
    check_identity(model_of(Encoding::kTied, Encoding::kTied));
  }
  SUBCASE("tied, four planes") {
    TinyModel model = model_of(Encoding::kTied, Encoding::kTied);
    model.planes = 4;
    check_identity(model);
  }
  SUBCASE("free") {
    check_identity(model_of(Encoding::kFree, Encoding::kDenseBf16));
  }
  SUBCASE("native") {
    TinyModel model = model_of(Encoding::kNative, Encoding::kTied);
    model.config.sub_norm = true;
    model.config.activation = Activation::kRelu2;
    check_identity(model);
  }
  SUBCASE("a q8_0 cache, whose blocks head_dim 28 leaves short") {
    check_identity(model_of(Encoding::kTied, Encoding::kTied), CacheType::kQ8);
  }
  SUBCASE("dense") {
    check_identity(model_of(Encoding::kDenseF32, Encoding::kDenseF32));
  }
}

TEST_CASE("the logits after the last token do not depend on asking for all of them") {
  TempDir dir;
  const std::string path = dir.path("model.trit");
  REQUIRE(write_tiny_model(path, model_of(Encoding::kTied, Encoding::kTied)).ok());
  const auto model = open_model(path);
  const std::vector<int32_t> ids = some_ids(20, 4);
  const size_t vocab = model->config().vocab;
  std::vector<float> all(ids.size() * vocab);
  const auto asking = open_session(model, 2, 8);
  const auto quiet = open_session(model, 2, 8);
  REQUIRE(asking->prefill(ids, all.data()).ok());
  REQUIRE(quiet->prefill(ids, nullptr).ok());
  CHECK(hash64(asking->logits(), vocab * 4, 0) == hash64(quiet->logits(), vocab * 4, 0));
  CHECK(hash64(all.data() + 19 * vocab, vocab * 4, 0) == hash64(quiet->logits(), vocab * 4, 0));
}

TEST_CASE("rewinding and going on gives the bits of a fresh session, and so does prompt()") {
  TempDir dir;
  const std::string path = dir.path("model.trit");
  REQUIRE(write_tiny_model(path, model_of(Encoding::kTied, Encoding::kTied)).ok());
  const auto model = open_model(path);
  const std::vector<int32_t> first = some_ids(40, 5);
  std::vector<int32_t> second(first.begin(), first.begin() + 25);
  const std::vector<int32_t> tail = some_ids(12, 6);
  second.insert(second.end(), tail.begin(), tail.end());
  const auto hash_of = [](const Session& session) {
    return hash64(session.logits(), session.model().config().vocab * sizeof(float), 0);
  };
  const auto fresh = open_session(model, 2, 16);
  REQUIRE(fresh->prefill(second, nullptr).ok());

  const auto rewound = open_session(model, 2, 16);
  REQUIRE(rewound->prefill(first, nullptr).ok());
  REQUIRE(rewound->rewind(25).ok());
  CHECK(rewound->position() == 25);
  CHECK(rewound->logits() == nullptr);
  REQUIRE(rewound->prefill(tail, nullptr).ok());
  CHECK(hash_of(*rewound) == hash_of(*fresh));

  const auto prompted = open_session(model, 2, 16);
  REQUIRE(prompted->prompt(first).ok());
  REQUIRE(prompted->prompt(second).ok());
  CHECK(prompted->position() == second.size());
  CHECK(hash_of(*prompted) == hash_of(*fresh));
  REQUIRE(prompted->prompt(second).ok());  // nothing new: the last token is computed again
  CHECK(hash_of(*prompted) == hash_of(*fresh));
  // A shorter prompt leaves nothing of the longer one behind.
  REQUIRE(prompted->prompt({second.data(), 10}).ok());
  REQUIRE(prompted->prompt(second).ok());
  CHECK(hash_of(*prompted) == hash_of(*fresh));
}

TEST_CASE("two sessions on one model in two threads compute what each computes alone") {
  TempDir dir;
  const std::string path = dir.path("model.trit");
  REQUIRE(write_tiny_model(path, model_of(Encoding::kTied, Encoding::kTied)).ok());
  auto model = open_model(path);
  const auto story = [](std::shared_ptr<const Model> m, uint64_t seed, uint32_t threads,
                        std::vector<int32_t>* out) {
    SessionOptions options;
    options.threads = threads;
    auto session = std::move(Session::open(std::move(m), options).value());
    SamplingOptions sampling;
    sampling.seed = seed;
    bool ok = session->set_sampling(sampling).ok() && session->prompt(some_ids(30, seed)).ok();
    for (int i = 0; ok && i < 40; ++i) {
      const int32_t id = session->sample().value();
      out->push_back(id);
      ok = session->prefill({&id, 1}, nullptr).ok();
    }
    if (!ok) out->clear();
  };
  std::vector<int32_t> alone[2], together[2];
  story(model, 1, 1, &alone[0]);
  story(model, 2, 1, &alone[1]);
  std::thread one([&] { story(model, 1, 2, &together[0]); });
  std::thread two([&] { story(model, 2, 2, &together[1]); });
  one.join();
  two.join();
  for (int i : {0, 1}) {
    CHECK(alone[i].size() == 40);
    CHECK(together[i] == alone[i]);
  }
  CHECK(alone[0] != alone[1]);
}
