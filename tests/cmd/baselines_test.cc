// Ours is better than what others have published for planes, on little text; on much text, with
// every size: tests/quality.
#include <doctest/doctest.h>

#include <fstream>

#include "tests/support/bitstack.h"
#include "tests/support/comparison.h"
#include "tests/support/process.h"
#include "tests/support/random.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    sum += difference * difference;
    norm += static_cast<double>(a[i]) * a[i];
  }
  return sum / norm;
}

TEST_CASE("BitStack's blocks come nearer to a matrix one by one, and one of full rank is exact") {
  Random random(7);
  const uint32_t rows = 24, cols = 40;
  std::vector<float> weights(rows * cols), scales(cols);
  for (float& w : weights) w = static_cast<float>(random.normal());
  for (float& s : scales) s = random.uniform(0.5f, 2.0f);
  const auto stack = bitstack(weights, rows, cols, scales, 2, 4);
  REQUIRE(stack.size() == 4);
  // Of Gaussian weights signs and their mean magnitude leave 1 - 2/pi.
  CHECK(distance(weights, stack[0]) < 0.36);
  for (size_t b = 1; b < stack.size(); ++b)
    CHECK(distance(weights, stack[b]) < 0.6 * distance(weights, stack[b - 1]));
  CHECK(distance(weights, bitstack(weights, rows, cols, scales, rows, 1)[0]) < 1e-5);
  CHECK(bitstack_block_bytes(rows, cols, 2) == 120 + 256);
}

// Calibrates on half of the first `bytes` of the text.
void compare(const char* checkpoint, size_t bytes, uint32_t rank) {
  Comparison all(checkpoint, 2);
  const TempDir texts;
  const std::string text = read_file(shared_data() + "/corpora/tinystories.calib.txt");
  std::ofstream(texts.path("text"), std::ios::binary) << text.substr(0, bytes);
  const auto ours = all.quantized(
      {"--calibrate", texts.path("text"), "--calibrate-tokens", "1024", "--order", "error"});
  const SizedLoss ptqtp = all.whole(*all.quantized({"--encoding", "free", "--planes", "2"}));
  const SizedLoss base = all.within(*ours, ptqtp.bytes);
  CHECK(base.bytes <= ptqtp.bytes);
  CHECK(base.loss < ptqtp.loss);
  int compared = 0;
  for (const SizedLoss& theirs : all.bitstack_losses(rank, 4, 1, false)) {
    const SizedLoss our = all.within(*ours, theirs.bytes);
    if (our.bytes > theirs.bytes) continue;  // smaller than our base
    CAPTURE(theirs.bytes);
    CHECK(our.loss < theirs.loss);
    ++compared;
  }
  CHECK(compared >= 2);
}

TEST_CASE("at equal bytes ours is below plain PTQTP and below BitStack: stories260K") {
  if (shared_data().empty()) return skip("no ../shared/data");
  compare("stories260K-hf", 4500, 1);
}

TEST_CASE("at equal bytes ours is below plain PTQTP and below BitStack: stories-qwen3") {
  if (shared_data().empty()) return skip("no ../shared/data");
  compare("stories-qwen3-hf", 9000, 2);
}

}  // namespace
}  // namespace trit
