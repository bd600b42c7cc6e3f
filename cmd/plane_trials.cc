// See plane_trials.h. Every token is scored by itself and the scores are added in order, so results
// do not depend on the number of threads.
#include "cmd/plane_trials.h"

#include <algorithm>
#include <cstring>

#include "cmd/common/scoring.h"
#include "model_format/portable_math.h"

namespace trit {

namespace {

constexpr uint32_t kChunk = 64;  // tokens whose logits are in memory at once

}  // namespace

PlaneTrials::PlaneTrials(std::shared_ptr<const Model> model, const SessionShape& shape,
                         std::unique_ptr<Session> dense, const std::atomic<bool>& cancel)
    : model_(std::move(model)),
      full_(model_->planes().current()),
      dense_(std::move(dense)),
      cancel_(cancel),
      pool_(shape.threads),
      buffers_{{Ops(&model_->config(), &model_->kernels(), &pool_, &never_), {}, {}, {}},
               {},
               nullptr,
               nullptr},
      window_(shape.context),
      chunk_(shape.chunk) {
  carve_in(&memory_, [&](Arena* arena) { buffers_.carve(arena, model_->reader(), shape); });
  buffers_.workspace.rope.reach(window_);
  const ModelConfig& config = model_->config();
  residual_.resize(size_t{window_} * config.hidden);
  logits_.resize(size_t{chunk_} * config.vocab);
  reference_.resize(size_t{window_ - 1} * config.vocab);
  negative_entropies_.resize(window_ - 1);
}

Result<std::unique_ptr<PlaneTrials>> PlaneTrials::open(std::shared_ptr<const Model> dense,
                                                       std::shared_ptr<const Model> model,
                                                       uint32_t window, uint32_t threads,
                                                       const std::atomic<bool>& cancel) {
  SessionOptions options;
  options.context = window;
  options.threads = threads;
  options.chunk = std::min(window, kChunk);
  Result<std::unique_ptr<Session>> session = Session::open(std::move(dense), options);
  if (!session.ok()) return session.status();
  const Result<SessionShape> shape = session_shape(model->reader(), options);
  if (!shape.ok()) return shape.status();
  return std::unique_ptr<PlaneTrials>(
      new PlaneTrials(std::move(model), shape.value(), std::move(session.value()), cancel));
}

Weights PlaneTrials::weights_of(const PlaneTrial& trial) const {
  Weights weights = full_->weights;
  const Span<const MatrixInfo> matrices = model_->reader().matrices();
  for (size_t m = 0; m < matrices.size(); ++m) {
    const MatrixInfo& info = matrices[m];
    Matrix* const matrix = info.role == MatrixRole::kEmbedding ? &weights.embedding
                           : info.role == MatrixRole::kHead
                               ? &weights.head
                               : matrix_of(&weights.layers[info.layer], info.role);
    if (!is_dense(info.encoding))
      matrix->planes = first_planes(matrix->planes, info, trial.planes[m]);
  }
  if (model_->config().tied_head) weights.head = weights.embedding;
  return weights;
}

// The layer from which a trial goes its own way; for the embedding the first.
uint32_t PlaneTrials::first_difference(const PlaneTrial& a, const PlaneTrial& b) const {
  const Span<const MatrixInfo> matrices = model_->reader().matrices();
  uint32_t first = model_->config().n_layers;
  for (size_t m = 0; m < matrices.size(); ++m)
    if (a.planes[m] != b.planes[m] && matrices[m].role != MatrixRole::kHead)
      first = std::min(first, matrices[m].layer);
  return first;
}

Status PlaneTrials::run(Span<const int32_t> ids, const Progress& progress,
                        std::vector<PlaneTrial>* trials) {
  const uint32_t n_layers = model_->config().n_layers;
  const size_t windows = ids.size() / window_;
  std::vector<uint32_t> first;
  for (const PlaneTrial& trial : *trials) first.push_back(first_difference(trials->front(), trial));
  const Weights base = weights_of(trials->front());
  std::vector<Sums> sums(trials->size());
  uint64_t count = 0;
  for (size_t w = 0; w < windows; ++w) {
    ids_ = {ids.data() + w * window_, window_};
    TRIT_RETURN_IF_ERROR(read_dense());
    embed(base);
    for (uint32_t layer = 0; layer <= n_layers; ++layer) {
      for (size_t t = 0; t < trials->size(); ++t) {
        if (first[t] != layer) continue;
        if (progress) progress(count++, windows * trials->size());
        if (cancel_) return Status(Code::kCancelled, "interrupted");
        finish(weights_of((*trials)[t]), layer, &sums[t]);
      }
      if (layer < n_layers) advance(base.layers[layer], layer);
    }
  }
  const double tokens = static_cast<double>(windows * (window_ - 1));
  for (size_t t = 0; t < trials->size(); ++t) {
    (*trials)[t].divergence = sums[t].divergence / tokens;
    (*trials)[t].loss = sums[t].loss / tokens;
  }
  return Status();
}

// The dense model's probabilities for the window.
Status PlaneTrials::read_dense() {
  const uint32_t vocab = model_->config().vocab;
  TRIT_RETURN_IF_ERROR(dense_->rewind(0));
  TRIT_RETURN_IF_ERROR(dense_->prefill({ids_.data(), window_ - 1}, reference_.data()));
  pool_.parallel_for(window_ - 1, [&](uint32_t t, uint32_t) {
    float* row = &reference_[size_t{t} * vocab];
    const double total = log_sum_exp(row, vocab);
    double sum = 0;
    for (uint32_t i = 0; i < vocab; ++i) {
      const double log_p = row[i] - total, p = portable_exp(log_p);
      sum += p * log_p;
      row[i] = static_cast<float>(p);
    }
    negative_entropies_[t] = sum;
  });
  return Status();
}

void PlaneTrials::embed(const Weights& weights) {
  buffers_.workspace.ops.embed(weights.embedding, ids_.data(), window_, residual_.data());
}

// The residual stream through one layer.
void PlaneTrials::advance(const LayerWeights& weights, uint32_t layer) {
  const ModelConfig& config = model_->config();
  float* residual = buffers_.workspace.activations.residual;
  for (uint32_t begin = 0, count; begin < window_; begin += count) {
    count = std::min(chunk_, window_ - begin);
    float* at = &residual_[size_t{begin} * config.hidden];
    const size_t bytes = size_t{count} * config.hidden * sizeof *at;
    std::memcpy(residual, at, bytes);
    attention_block(config, weights, layer, &buffers_.workspace, count, begin);
    ffn_block(config, weights, &buffers_.workspace, count);
    std::memcpy(at, residual, bytes);
  }
}

// A trial from the residual stream before `layer` to its scores.
void PlaneTrials::finish(const Weights& weights, uint32_t layer, Sums* sums) {
  const ModelConfig& config = model_->config();
  Workspace& work = buffers_.workspace;
  float* residual = work.activations.residual;
  for (uint32_t begin = 0, count; begin < window_ - 1; begin += count) {
    count = std::min(chunk_, window_ - 1 - begin);
    if (layer == 0)
      work.ops.embed(weights.embedding, ids_.data() + begin, count, residual);
    else
      std::memcpy(residual, &residual_[size_t{begin} * config.hidden],
                  size_t{count} * config.hidden * sizeof *residual);
    for (uint32_t i = layer; i < config.n_layers; ++i) {
      attention_block(config, weights.layers[i], i, &work, count, begin);
      ffn_block(config, weights.layers[i], &work, count);
    }
    work.ops.rms_norm(residual, weights.final_norm, count, config.hidden, work.activations.normed);
    work.ops.linear(work.activations.normed, count, {{&weights.head, logits_.data()}});
    score(begin, count, sums);
  }
}

void PlaneTrials::score(uint32_t begin, uint32_t count, Sums* sums) {
  const uint32_t vocab = model_->config().vocab;
  std::vector<Sums> scores(count);
  pool_.parallel_for(count, [&](uint32_t t, uint32_t) {
    const float* logits = &logits_[size_t{t} * vocab];
    const float* reference = &reference_[size_t{begin + t} * vocab];
    const double total = log_sum_exp(logits, vocab);
    double expected = 0;
    for (uint32_t i = 0; i < vocab; ++i) expected += static_cast<double>(reference[i]) * logits[i];
    scores[t] = {negative_entropies_[begin + t] - expected + total,
                 total - static_cast<double>(logits[ids_[begin + t + 1]])};
  });
  for (const Sums& s : scores) {
    sums->divergence += s.divergence;
    sums->loss += s.loss;
  }
}

}  // namespace trit
