// Sampling against a naive sampler (sort everything, filter, draw) and against published vectors.
#include "runtime/sampler.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

using namespace trit;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A sampler with its memory.
struct Owned {
  explicit Owned(uint32_t ids) {
    Arena measure(nullptr);
    sampler.carve(&measure, ids);
    memory.resize(measure.used() + Arena::kAlignment);
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory.data());
    Arena arena(memory.data() + (Arena::kAlignment - address % Arena::kAlignment));
    sampler.carve(&arena, ids);
  }
  std::vector<uint8_t> memory;
  Sampler sampler;
};

SamplingOptions plain() {  // every rule off
  SamplingOptions o;
  o.temperature = 1;
  o.top_k = 0;
  o.top_p = 1;
  o.min_p = 0;
  return o;
}

std::vector<float> random_logits(uint32_t count, uint64_t seed, double scale) {
  Xoshiro256 random(seed);
  std::vector<float> logits(count);
  for (float& x : logits) x = static_cast<float>((random.uniform() - 0.5) * scale);
  return logits;
}

struct Entry {
  double logit;
  int32_t id;
};

// What the rules leave, best first. The logits are penalized already.
std::vector<Entry> naive_rules(const std::vector<float>& logits, const SamplingOptions& o) {
  std::vector<Entry> all;
  for (size_t i = 0; i < logits.size(); ++i) all.push_back({logits[i], static_cast<int32_t>(i)});
  std::stable_sort(all.begin(), all.end(),
                   [](const Entry& a, const Entry& b) { return a.logit > b.logit; });
  if (o.top_k > 0 && all.size() > static_cast<size_t>(o.top_k)) all.resize(o.top_k);
  double total = 0, sum = 0;
  for (const Entry& e : all) total += std::exp(e.logit);
  size_t kept = 0;
  while (kept < all.size() && (kept == 0 || sum < o.top_p * total))
    sum += std::exp(all[kept++].logit);
  if (o.top_p < 1) all.resize(kept);
  const double best = std::exp(all[0].logit);
  all.erase(std::remove_if(all.begin(), all.end(),
                           [&](const Entry& e) { return std::exp(e.logit) < o.min_p * best; }),
            all.end());
  return all;
}

// Ids and how often, over `draws` samples with one generator.
std::map<int32_t, int> histogram(const std::vector<float>& logits, const SamplingOptions& o,
                                 int draws) {
  Owned owned(static_cast<uint32_t>(logits.size()));
  owned.sampler.reset(o);
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[owned.sampler.sample(logits.data(), {})];
  return counts;
}

// Every kept id comes about as often as its probability says, no other id comes at all.
void check_distribution(const std::vector<float>& logits, const SamplingOptions& o) {
  constexpr int kDraws = 8000;
  const std::vector<Entry> kept = naive_rules(logits, o);
  const std::map<int32_t, int> counts = histogram(logits, o, kDraws);
  double total = 0;
  for (const Entry& e : kept) total += std::exp(e.logit / o.temperature);
  int drawn = 0;
  for (const Entry& e : kept) {
    const double p = std::exp(e.logit / o.temperature) / total;
    const auto found = counts.find(e.id);
    const int count = found == counts.end() ? 0 : found->second;
    drawn += count;
    // Five standard deviations of a binomial, and one for rare ids.
    CHECK(std::abs(count - p * kDraws) <= 5 * std::sqrt(p * (1 - p) * kDraws) + 1);
  }
  CHECK(drawn == kDraws);
}

}  // namespace

TEST_CASE("xoshiro256** and its splitmix64 seeding give the published numbers") {
  Xoshiro256 random(1, 2, 3, 4);
  for (uint64_t expected :
       {11520ull, 0ull, 1509978240ull, 1215971899390074240ull, 1216172134540287360ull,
        607988272756665600ull, 16172922978634559625ull, 8476171486693032832ull,
        10595114339597558777ull, 2904607092377533576ull})
    CHECK(random.next() == expected);
  // The state that splitmix64 makes of the seed 1234567.
  Xoshiro256 seeded(1234567);
  Xoshiro256 same(6457827717110365317ull, 3203168211198807973ull, 9817491932198370423ull,
                  4593380528125082431ull);
  for (int i = 0; i < 10; ++i) CHECK(seeded.next() == same.next());
}

TEST_CASE("uniform numbers lie in [0, 1) and fill it evenly") {
  Xoshiro256 random(5);
  int low = 0;
  for (int i = 0; i < 10000; ++i) {
    const double u = random.uniform();
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    low += u < 0.25;
  }
  CHECK(std::abs(low - 2500) < 220);  // five standard deviations
}

TEST_CASE("greedy takes the highest logit, the lowest id among equals, never NaN") {
  SamplingOptions o;
  o.temperature = 0;
  Owned owned(5);
  owned.sampler.reset(o);
  const auto greedy = [&](std::vector<float> logits) {
    return owned.sampler.sample(logits.data(), {});
  };
  CHECK(greedy({1, 3, 2, 3, 0}) == 1);
  CHECK(greedy({kNan, -2, -1, -1, kNan}) == 2);
  CHECK(greedy({kNan, kNan, kNan, kNan, kNan}) == 0);
  CHECK(greedy({-kInfinity, -kInfinity, -5, -kInfinity, kNan}) == 2);
  CHECK(greedy({0, kInfinity, 1, kInfinity, 2}) == 1);
}

TEST_CASE("samples of broken logits are defined too") {
  Owned owned(4);
  owned.sampler.reset(plain());
  const std::vector<float> nothing = {kNan, -kInfinity, kNan, -kInfinity};
  CHECK(owned.sampler.sample(nothing.data(), {}) == 0);
  const std::vector<float> one = {kNan, -kInfinity, -1e30f, kNan};
  const std::vector<float> infinite = {0, kInfinity, 1e30f, kNan};
  for (int i = 0; i < 50; ++i) {
    CHECK(owned.sampler.sample(one.data(), {}) == 2);
    CHECK(owned.sampler.sample(infinite.data(), {}) == 1);
  }
}

TEST_CASE("each rule alone, and all together, draw what a naive sampler draws") {
  std::vector<float> logits = random_logits(300, 1, 8);
  logits[17] = logits[40] = logits[41];  // ties
  SamplingOptions o = plain();
  SUBCASE("no rule") {}
  SUBCASE("temperature below one") {
    o.temperature = 0.5f;
  }
  SUBCASE("temperature above one") {
    o.temperature = 3;
  }
  SUBCASE("top-k") {
    o.top_k = 12;
  }
  SUBCASE("top-k of all") {
    o.top_k = 300;
  }
  SUBCASE("top-k of one") {
    o.top_k = 1;
  }
  SUBCASE("top-p") {
    o.top_p = 0.4f;
  }
  SUBCASE("top-p beyond the first prefix sorted") {
    o.top_p = 0.95f;
  }
  SUBCASE("top-p of nearly nothing") {
    o.top_p = 0;
  }
  SUBCASE("min-p") {
    o.min_p = 0.2f;
  }
  SUBCASE("min-p of one keeps the best") {
    o.min_p = 1;
  }
  SUBCASE("all of them") {
    o.temperature = 0.8f;
    o.top_k = 40;
    o.top_p = 0.9f;
    o.min_p = 0.05f;
  }
  check_distribution(logits, o);
}

TEST_CASE("of equal logits the lower ids stay, however often the candidates were cut on the way") {
  std::vector<float> logits = random_logits(5000, 2, 12);
  for (float& x : logits) x = std::round(x);
  SamplingOptions o = plain();
  for (const int32_t k : {1, 7, 40, 1000, 2500, 4999}) {
    o.top_k = k;
    o.temperature = 100;  // all about as likely
    std::vector<bool> kept(logits.size());
    for (const Entry& e : naive_rules(logits, o)) kept[static_cast<size_t>(e.id)] = true;
    for (const auto& [id, count] : histogram(logits, o, 200)) CHECK(kept[static_cast<size_t>(id)]);
  }
}

TEST_CASE("greedy finds the best wherever it stands") {
  SamplingOptions o;
  o.temperature = 0;
  for (const uint32_t ids : {1u, 15u, 16u, 17u, 37u}) {
    Owned owned(ids);
    owned.sampler.reset(o);
    for (uint32_t best = 0; best < ids; ++best) {
      std::vector<float> logits(ids, -kInfinity);
      logits[best] = -3;
      if (best > 0) logits[best - 1] = kNan;
      CHECK(owned.sampler.sample(logits.data(), {}) == static_cast<int32_t>(best));
    }
  }
}

TEST_CASE("the same seed gives the same tokens, another seed others") {
  const std::vector<float> logits = random_logits(1000, 3, 6);
  const auto tokens = [&](uint64_t seed) {
    SamplingOptions o;
    o.seed = seed;
    Owned owned(1000);
    owned.sampler.reset(o);
    std::vector<int32_t> out;
    for (int i = 0; i < 30; ++i) out.push_back(owned.sampler.sample(logits.data(), {}));
    return out;
  };
  CHECK(tokens(7) == tokens(7));
  CHECK(tokens(7) != tokens(8));
}

TEST_CASE("a large vocabulary is cut to the same tokens as by sorting all of it") {
  const std::vector<float> logits = random_logits(152000, 9, 20);
  SamplingOptions o = plain();
  o.top_p = 0.5f;
  const std::vector<Entry> kept = naive_rules(logits, o);
  REQUIRE(kept.size() > 64);  // more than one prefix is sorted
  for (const auto& [id, count] : histogram(logits, o, 3))
    CHECK(std::any_of(kept.begin(), kept.end(), [id = id](const Entry& e) { return e.id == id; }));
}

TEST_CASE("penalties lower what the window holds, once per token, and forget it afterwards") {
  SamplingOptions o;
  o.temperature = 0;
  Owned owned(4);
  const std::vector<float> logits = {2.0f, 1.9f, -1.0f, 1.0f};
  const std::vector<int32_t> history = {3, 1, 0, 0};
  const auto chosen = [&](const SamplingOptions& options) {
    owned.sampler.reset(options);
    return owned.sampler.sample(logits.data(), history);
  };
  CHECK(chosen(o) == 0);
  o.repeat_penalty = 1.5f;  // 2 -> 1.33, 1.9 -> 1.27, 1 -> 0.67
  CHECK(chosen(o) == 0);
  o.repeat_last_n = 2;  // only id 0 is in the window
  CHECK(chosen(o) == 1);
  o.repeat_last_n = 0;
  CHECK(chosen(o) == 0);
  o = SamplingOptions();
  o.temperature = 0;
  o.repeat_last_n = -1;
  o.presence_penalty = 0.5f;  // the same for ids 0, 1 and 3
  CHECK(chosen(o) == 0);
  o.presence_penalty = 5;  // only the unseen id 2 keeps its logit
  CHECK(chosen(o) == 2);
  o.presence_penalty = 0;
  o.frequency_penalty = 0.2f;  // id 0 twice: 1.6, id 1 once: 1.7
  CHECK(chosen(o) == 1);
  // Nothing is left over from the calls before.
  CHECK(owned.sampler.sample(logits.data(), {}) == 0);
}

TEST_CASE("a repeat penalty makes negative logits smaller, not larger") {
  SamplingOptions o;
  o.temperature = 0;
  o.repeat_penalty = 2;
  Owned owned(2);
  owned.sampler.reset(o);
  const std::vector<float> logits = {-1.0f, -1.5f};
  const std::vector<int32_t> history = {0};
  CHECK(owned.sampler.sample(logits.data(), history) == 1);
}

TEST_CASE("ids of the history that cannot be sampled are ignored") {
  SamplingOptions o = plain();
  o.repeat_penalty = 2;
  Owned owned(2);
  owned.sampler.reset(o);
  const std::vector<float> logits = {0, 0};
  const std::vector<int32_t> history = {5, 2, 1000000};
  CHECK(owned.sampler.sample(logits.data(), history) < 2);
}

TEST_CASE("options out of range are refused by name") {
  const auto refused = [](auto change) {
    SamplingOptions o;
    change(&o);
    const Status status = check_sampling(o);
    return status.ok() ? std::string() : status.message();
  };
  CHECK(refused([](SamplingOptions*) {}) == "");
  CHECK(refused([](SamplingOptions* o) { o->temperature = kNan; }).find("temperature") !=
        std::string::npos);
  CHECK(refused([](SamplingOptions* o) { o->temperature = -1; }) != "");
  CHECK(refused([](SamplingOptions* o) { o->temperature = kInfinity; }) != "");
  CHECK(refused([](SamplingOptions* o) { o->top_k = -5; }).find("top_k") != std::string::npos);
  CHECK(refused([](SamplingOptions* o) { o->top_p = -0.1f; }).find("top_p") != std::string::npos);
  CHECK(refused([](SamplingOptions* o) { o->top_p = 1.5f; }) != "");
  CHECK(refused([](SamplingOptions* o) { o->min_p = kNan; }).find("min_p") != std::string::npos);
  CHECK(refused([](SamplingOptions* o) { o->repeat_penalty = 0; }) != "");
  CHECK(refused([](SamplingOptions* o) { o->repeat_last_n = -2; }) != "");
  CHECK(refused([](SamplingOptions* o) { o->presence_penalty = kNan; }) != "");
  CHECK(refused([](SamplingOptions* o) { o->frequency_penalty = kInfinity; }) != "");
}
