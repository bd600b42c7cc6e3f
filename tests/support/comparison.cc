// See comparison.h.
#include "tests/support/comparison.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/bitstack.h"
#include "tests/support/log_probabilities.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {

namespace {

std::string corpus(const char* name) {
  return shared_data() + "/corpora/tinystories." + name + ".txt";
}

// Of the layer matrices in the first `blocks` blocks.
uint64_t layer_bytes(const ModelReader& reader, size_t blocks) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < blocks; ++i)
    if (is_layer_role(reader.matrices()[reader.blocks()[i].matrix].role))
      bytes += reader.blocks()[i].bytes;
  return bytes;
}

}  // namespace

Comparison::Comparison(const std::string& checkpoint, size_t windows)
    : source_(shared_data() + "/models/" + checkpoint) {
  dense_ = quantized({"--dense", "f32"});
  runner_ = std::make_unique<WeightsRunner>(dense_);
  ids_ = runner_->read_text(corpus("eval"), windows);
  Weights weights = dense_->planes().current()->weights;
  dense_log_probabilities_ = runner_->log_probabilities(weights, ids_);
  dense_loss_ = runner_->loss(dense_log_probabilities_, ids_);
  for (const Matrix* m : layer_matrices(&weights))
    layer_weights_ += static_cast<double>(m->rows) * m->cols;
}

std::shared_ptr<const Model> Comparison::quantized(std::vector<std::string> flags) {
  const std::string path = folder_.path(std::to_string(++files_) + ".trit");
  flags.insert(flags.begin(), {"quantize", source_, "-o", path});
  const ProcessResult result = tritstack(flags);
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  const Result<std::shared_ptr<const Model>> model = Model::open(path, {});
  REQUIRE(model.ok());
  return model.value();
}

SizedLoss Comparison::prefix(const Model& model, size_t blocks) {
  CHECK(model.planes().set_prefix(blocks).ok());
  CHECK(model.planes().settle().ok());
  return score(layer_bytes(model.reader(), blocks), model.planes().current()->weights);
}

SizedLoss Comparison::score(uint64_t bytes, const Weights& weights) {
  const std::vector<float> ours = runner_->log_probabilities(weights, ids_);
  return {bytes, runner_->loss(ours, ids_),
          mean_divergence(dense_log_probabilities_, ours, dense_->config().vocab)};
}

SizedLoss Comparison::within(const Model& model, uint64_t bytes) {
  size_t blocks = model.reader().blocks().size();
  while (blocks > model.reader().base_blocks() && layer_bytes(model.reader(), blocks) > bytes)
    --blocks;
  return prefix(model, blocks);
}

std::vector<SizedLoss> Comparison::bitstack_losses(uint32_t rank, uint32_t blocks,
                                                   size_t calibration_windows, bool ordered) {
  Weights weights = dense_->planes().current()->weights;
  const std::vector<Matrix*> matrices = layer_matrices(&weights);
  const std::vector<int32_t> calibration = runner_->read_text(corpus("calib"), calibration_windows);
  const auto scales = runner_->input_scales(weights, calibration);
  std::vector<std::vector<std::vector<float>>> stacks;
  for (size_t m = 0; m < matrices.size(); ++m) {
    const auto* values = static_cast<const float*>(matrices[m]->dense);
    const size_t count = size_t{matrices[m]->rows} * matrices[m]->cols;
    stacks.push_back(bitstack({values, values + count}, matrices[m]->rows, matrices[m]->cols,
                              scales[m], rank, blocks));
  }
  // Returns the bytes.
  const auto use = [&](const std::vector<uint32_t>& state) {
    uint64_t bytes = 0;
    for (size_t m = 0; m < matrices.size(); ++m) {
      matrices[m]->dense = stacks[m][state[m] - 1].data();
      bytes += state[m] * bitstack_block_bytes(matrices[m]->rows, matrices[m]->cols, rank);
    }
    return bytes;
  };
  const auto run = [&](const std::vector<uint32_t>& state) {
    const uint64_t bytes = use(state);
    return score(bytes, weights);
  };
  std::vector<uint32_t> order, state(matrices.size(), 1);
  if (ordered)
    order = bitstack_order(matrices.size(), blocks, [&](const std::vector<uint32_t>& tried) {
      use(tried);
      return runner_->loss(runner_->log_probabilities(weights, calibration), calibration);
    });
  std::vector<SizedLoss> losses = {run(state)};
  for (uint32_t level = 1; level < blocks; ++level) {
    for (size_t quarter = 1; quarter <= 4; ++quarter) {
      const size_t end = matrices.size() * quarter / 4;
      for (size_t i = matrices.size() * (quarter - 1) / 4; i < end; ++i)
        ++state[ordered ? order[matrices.size() * (level - 1) + i] : i];
      if (ordered || quarter == 4) losses.push_back(run(state));
    }
  }
  return losses;
}

}  // namespace trit
