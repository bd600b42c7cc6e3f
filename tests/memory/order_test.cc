// The order in which planes are stored against orders of chance: what a budget gets of it.
#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "model_format/convert/plane_order.h"
#include "tests/support/prefix_scores.h"
#include "tests/support/random.h"

namespace trit {
namespace {

using Order = std::vector<ModelWriter::Residual>;
constexpr uint64_t kSeeds = 10;

// The residual planes as chance decides; those of a matrix still one after the other.
Order random_order(const ModelReader& reader, uint64_t seed) {
  Random random(seed);
  Order order;
  for (size_t i = reader.base_blocks(); i < reader.blocks().size(); ++i) {
    const BlockInfo& b = reader.blocks()[i];
    order.push_back({b.matrix, b.plane, b.gain});
    const uint32_t other = random.below(static_cast<uint32_t>(order.size()));
    std::swap(order.back().matrix, order[other].matrix);
  }
  std::vector<uint32_t> next;
  for (const MatrixInfo& m : reader.matrices()) next.push_back(m.base_planes);
  for (ModelWriter::Residual& r : order) r.plane = next[r.matrix]++;
  return order;
}

uint64_t bytes_of(const ModelReader& reader, size_t blocks) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < blocks; ++i) bytes += reader.blocks()[i].bytes;
  return bytes;
}

size_t longest_within(const ModelReader& reader, uint64_t bytes) {
  size_t blocks = reader.blocks().size();
  while (bytes_of(reader, blocks) > bytes) --blocks;
  return blocks;
}

// A score in a random order over that in the stored one, at the ten prefixes between base and all.
struct Ratios {
  std::vector<double> sums = std::vector<double>(10, 0.0);
  double least = 1;
  int below_one = 0;

  void add(size_t prefix, double ratio) {
    sums[prefix] += ratio;
    least = std::min(least, ratio);
    below_one += ratio < 1;
  }
  void print(const std::string& what) const {
    std::printf("%s, random over stored: mean of each prefix", what.c_str());
    for (const double sum : sums) std::printf(" %.4f", sum / kSeeds);
    std::printf("; least %.4f, %d of 100 below 1\n", least, below_one);
    std::fflush(stdout);
  }
};

struct AgainstChance {
  Ratios perplexity, divergence;  // the latter from the dense model
};

AgainstChance against_chance(const std::string& path, const std::string& dense_path,
                             const std::string& text) {
  const TempDir folder;
  PrefixScores stored(path, text), original(dense_path, text);
  const std::vector<float> dense = original.log_probabilities(original.reader().blocks().size());
  const std::vector<size_t> prefixes = twelve_prefixes(stored.reader());
  std::vector<double> perplexities, divergences;
  for (const size_t blocks : prefixes) {
    const std::vector<float> ours = stored.log_probabilities(blocks);
    perplexities.push_back(stored.perplexity(ours));
    divergences.push_back(mean_divergence(dense, ours, stored.reader().config().vocab));
    CHECK(perplexities.back() <=
          1.005 * perplexities[std::max<size_t>(perplexities.size(), 2) - 2]);
  }
  AgainstChance ratios;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    REQUIRE(reorder_file(stored.reader(), folder.path("random.trit"),
                         random_order(stored.reader(), seed), kNoQuality, std::atomic<bool>(false))
                .ok());
    PrefixScores random(folder.path("random.trit"), text);
    for (size_t i = 0; i + 2 < prefixes.size(); ++i) {
      const uint64_t bytes = bytes_of(stored.reader(), prefixes[i + 1]);
      const std::vector<float> theirs =
          random.log_probabilities(longest_within(random.reader(), bytes));
      ratios.perplexity.add(i, random.perplexity(theirs) / perplexities[i + 1]);
      ratios.divergence.add(
          i, mean_divergence(dense, theirs, random.reader().config().vocab) / divergences[i + 1]);
    }
  }
  return ratios;
}

}  // namespace

TEST_CASE("the stored order beats chance at every number of bytes") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const TempDir folder;
  const std::string text = read_file(shared_data() + "/corpora/tinystories.eval.txt");
  const std::pair<const char*, size_t> models[] = {{"stories260K-hf", 4000},
                                                   {"stories-qwen3-hf", 16000}};
  for (const auto& [checkpoint, bytes] : models) {
    const AgainstChance ratios =
        against_chance(quantized(folder, checkpoint),
                       quantized(folder, checkpoint, Encoding::kDenseF32), text.substr(0, bytes));
    ratios.perplexity.print(std::string(checkpoint) + ", perplexity");
    ratios.divergence.print(std::string(checkpoint) + ", divergence from dense");
    for (const double sum : ratios.perplexity.sums) CHECK(sum > kSeeds);
    CHECK(ratios.divergence.below_one == 0);
    // Of models this near to the dense one, perplexity on so little text says it with noise.
    CHECK(ratios.perplexity.least > 0.995);
    CHECK(ratios.perplexity.below_one < 10);
  }
}

}  // namespace trit
