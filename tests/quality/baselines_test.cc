// Ours, plain PTQTP and BitStack at equal bytes on both real checkpoints, as a table of
// perplexities over that of the dense model. From 16 bits per weight on, ours is a file of bf16.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>

#include "tests/support/comparison.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

constexpr size_t kWindows = 24, kCalibrationWindows = 8;
constexpr uint32_t kBlocks = 5;

void print_table(const char* checkpoint) {
  Comparison all(checkpoint, kWindows);
  const auto ratio = [&](double loss) { return std::exp(loss - all.dense_loss()); };
  const auto print = [&](const char* method, const SizedLoss& theirs, const SizedLoss& our) {
    std::printf("%-18s %-16s %6.2f %9.4f %6.2f %9.4f\n", checkpoint, method,
                8 * static_cast<double>(theirs.bytes) / all.layer_weights(), ratio(theirs.loss),
                8 * static_cast<double>(our.bytes) / all.layer_weights(), ratio(our.loss));
    std::fflush(stdout);
  };
  const auto ours = all.quantized(
      {"--planes", "4", "--calibrate", shared_data() + "/corpora/tinystories.calib.txt"});
  std::printf("%-18s %-16s %6s %9s %6s %9s\n", "checkpoint", "method", "bits", "ppl/dense", "ours",
              "ppl/dense");
  const auto bf16 = all.quantized({"--dense", "bf16"});
  const auto compare = [&](const char* method, const SizedLoss& theirs) {
    const bool whole = static_cast<double>(theirs.bytes) >= 2 * all.layer_weights();
    const SizedLoss our = all.within(whole ? *bf16 : *ours, theirs.bytes);
    if (our.bytes > theirs.bytes) return;
    print(method, theirs, our);
    CHECK(our.loss < theirs.loss);
  };
  compare("PTQTP", all.whole(*all.quantized({"--encoding", "free", "--planes", "2"})));
  compare("PTQTP, 3 planes", all.whole(*all.quantized({"--encoding", "free", "--planes", "3"})));
  for (const uint32_t rank : {1u, 2u, 4u, 16u}) {
    char method[32];
    std::snprintf(method, sizeof method, "BitStack, rank %u", rank);
    for (const SizedLoss& theirs :
         all.bitstack_losses(rank, kBlocks, kCalibrationWindows, rank <= 2))
      compare(method, theirs);
  }
}

TEST_CASE("at every size ours is below plain PTQTP and BitStack: stories260K") {
  if (shared_data().empty()) return skip("no ../shared/data");
  print_table("stories260K-hf");
}

TEST_CASE("at every size ours is below plain PTQTP and BitStack: stories-qwen3") {
  if (shared_data().empty()) return skip("no ../shared/data");
  print_table("stories-qwen3-hf");
}

}  // namespace
}  // namespace trit
