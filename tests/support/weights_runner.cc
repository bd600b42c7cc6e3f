// See weights_runner.h.
#include "tests/support/weights_runner.h"

#include <algorithm>
#include <cmath>

#include "tests/support/log_probabilities.h"
#include "tests/support/process.h"

namespace trit {

std::vector<Matrix*> layer_matrices(Weights* weights) {
  std::vector<Matrix*> matrices;
  for (LayerWeights& w : weights->layers)
    for (Matrix* m : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) matrices.push_back(m);
  return matrices;
}

WeightsRunner::WeightsRunner(std::shared_ptr<const Model> model)
    : model_(std::move(model)),
      window_(std::min(512u, model_->config().max_positions)),
      pool_(2),
      workspace_{Ops(&model_->config(), &model_->kernels(), &pool_, &cancel_), {}, {}, {}},
      logits_(size_t{window_ - 1} * model_->config().vocab) {
  // Every matrix may be dense or have planes of either kind; their products need other scratch.
  std::vector<MatrixInfo> matrices;
  for (MatrixInfo m : model_->reader().matrices()) {
    m.planes = kMaxPlanes;
    m.group = std::min(kDefaultGroup, m.cols);
    for (const Encoding encoding : {Encoding::kTied, Encoding::kFree}) {
      m.encoding = encoding;
      matrices.push_back(m);
    }
  }
  const ModelConfig& config = model_->config();
  carve_in(&memory_, [&](Arena* arena) {
    workspace_.ops.carve(arena, matrices, pool_.size(), window_, window_);
    workspace_.activations.carve(arena, config, window_);
    workspace_.rope.carve(arena, config, window_);
    workspace_.cache.carve(arena, config, window_, CacheType::kF32, CacheType::kF32);
  });
}

std::vector<int32_t> WeightsRunner::read_text(const std::string& file, size_t windows) const {
  const Tokenizer& tokenizer = *model_->tokenizer();
  const size_t start = tokenizer.bos() != kNoToken ? 1 : 0, step = window_ - start;
  std::vector<int32_t> text, ids;
  // Nine bytes a token are enough.
  tokenizer.encode(read_file(file).substr(0, windows * step * 9), false, false, &text);
  for (size_t w = 0; w < std::min(windows, text.size() / step); ++w) {
    if (start) ids.push_back(tokenizer.bos());
    ids.insert(ids.end(), &text[w * step], &text[w * step] + step);
  }
  return ids;
}

void WeightsRunner::read_window(const Weights& weights, const int32_t* ids) {
  forward(model_->config(), weights, &workspace_, ids, window_ - 1, 0, window_ - 1, logits_.data());
}

std::vector<float> WeightsRunner::log_probabilities(const Weights& weights,
                                                    const std::vector<int32_t>& ids) {
  const size_t vocab = model_->config().vocab;
  std::vector<float> all;
  for (size_t begin = 0; begin < ids.size(); begin += window_) {
    read_window(weights, &ids[begin]);
    for (size_t t = 0; t + 1 < window_; ++t) to_log_probabilities(&logits_[t * vocab], vocab);
    all.insert(all.end(), logits_.begin(), logits_.end());
  }
  return all;
}

double WeightsRunner::loss(const std::vector<float>& log_probabilities,
                           const std::vector<int32_t>& ids) const {
  const size_t vocab = model_->config().vocab, scored = window_ - 1;
  const size_t tokens = log_probabilities.size() / vocab;
  double sum = 0;
  for (size_t t = 0; t < tokens; ++t)
    sum -= log_probabilities[t * vocab +
                             static_cast<size_t>(ids[t / scored * window_ + t % scored + 1])];
  return sum / static_cast<double>(tokens);
}

std::vector<std::vector<float>> WeightsRunner::input_scales(Weights weights,
                                                            const std::vector<int32_t>& ids) {
  const std::vector<Matrix*> matrices = layer_matrices(&weights);
  std::vector<std::vector<float>> scales;
  for (const Matrix* m : matrices) scales.emplace_back(m->cols, 1e-3f);
  const float windows = static_cast<float>(ids.size() / window_);
  workspace_.ops.observe_inputs([&](const float* x, uint32_t tokens, const Matrix& first) {
    const auto at = std::find(matrices.begin(), matrices.end(), &first);
    if (at == matrices.end()) return;  // the head
    // k and v have the input of q, up that of gate.
    const size_t index = static_cast<size_t>(at - matrices.begin()), role = index % 7;
    const size_t shared = role == 0 ? 3 : role == 4 ? 2 : 1;
    for (uint32_t j = 0; j < first.cols; ++j) {
      double squares = 0;
      for (uint32_t t = 0; t < tokens; ++t) {
        const double value = x[size_t{t} * first.cols + j];
        squares += value * value;
      }
      for (size_t k = 0; k < shared; ++k)
        scales[index + k][j] += static_cast<float>(std::sqrt(squares)) / windows;
    }
  });
  for (size_t begin = 0; begin < ids.size(); begin += window_) read_window(weights, &ids[begin]);
  workspace_.ops.observe_inputs(nullptr);
  return scales;
}

}  // namespace trit
