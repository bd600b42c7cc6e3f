// The order in which planes are stored against orders of chance: what a budget gets of it.
#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "model_format/writer.h"
#include "tests/support/blocks.h"
#include "tests/support/prefix_perplexity.h"
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

// The same model with its residual planes in another order.
void reorder(const ModelReader& reader, const Order& order, const std::string& path) {
  FileDescription d;
  d.config = reader.config();
  d.matrices.assign(reader.matrices().begin(), reader.matrices().end());
  for (uint32_t i = 0; i < kVectorRoles; ++i) {
    const VectorRole role = static_cast<VectorRole>(i);
    if (!has_vector(d.config, role)) continue;
    for (uint32_t layer = 0; layer < (is_layer_role(role) ? d.config.n_layers : 1); ++layer) {
      const Span<const float> v = reader.vector(role, layer);
      d.vectors.push_back({role, layer, {v.begin(), v.end()}});
    }
  }
  d.tokenizer.assign(reader.tokenizer().begin(), reader.tokenizer().end());
  auto writer = ModelWriter::create(path, std::move(d), true);
  REQUIRE(writer.ok());
  const Blocks blocks(reader);
  for (size_t i = 0; i < reader.blocks().size(); ++i) {
    const BlockInfo& b = reader.blocks()[i];
    REQUIRE(writer.value()->write(b.matrix, b.plane, 0, {blocks.data(i), b.bytes}).ok());
  }
  REQUIRE(writer.value()->finish(order).ok());
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

// Perplexity in a random order over that in the stored one, at the ten prefixes between base and
// all.
struct Ratios {
  std::vector<double> sums = std::vector<double>(10, 0.0);
  double least = 1;
  int below_one = 0;
};

Ratios against_chance(const std::string& path, const std::string& text) {
  const TempDir folder;
  PrefixPerplexity stored(path, text);
  const std::vector<size_t> prefixes = twelve_prefixes(stored.reader());
  std::vector<double> perplexities;
  for (const size_t blocks : prefixes) {
    perplexities.push_back(stored.of(blocks));
    CHECK(perplexities.back() <=
          1.005 * perplexities[std::max<size_t>(perplexities.size(), 2) - 2]);
  }
  Ratios ratios;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    reorder(stored.reader(), random_order(stored.reader(), seed), folder.path("random.trit"));
    PrefixPerplexity random(folder.path("random.trit"), text);
    for (size_t i = 0; i < ratios.sums.size(); ++i) {
      const uint64_t bytes = bytes_of(stored.reader(), prefixes[i + 1]);
      const double ratio = random.of(longest_within(random.reader(), bytes)) / perplexities[i + 1];
      ratios.sums[i] += ratio;
      ratios.least = std::min(ratios.least, ratio);
      ratios.below_one += ratio < 1;
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
    const Ratios ratios = against_chance(quantized(folder, checkpoint), text.substr(0, bytes));
    std::printf("%s, random over stored: mean of each prefix", checkpoint);
    for (const double sum : ratios.sums) std::printf(" %.4f", sum / kSeeds);
    std::printf("; least %.4f, %d of 100 below 1\n", ratios.least, ratios.below_one);
    std::fflush(stdout);
    for (const double sum : ratios.sums) CHECK(sum > kSeeds);
    // Without text no order can know which single matrix matters little: a lucky one may be better.
    CHECK(ratios.least > 0.995);
    CHECK(ratios.below_one < 10);
  }
}

}  // namespace trit
