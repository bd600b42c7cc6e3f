// See model_calibration.h. Everything is summed in float, window after window in order, each window
// by dot products of a fixed order, so statistics do not depend on the number of threads.
#include "cmd/model_calibration.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace trit {

namespace {

// Tokens of a pass: what of a wide matrix's input stays in the L2 cache while a dense one is read.
constexpr uint32_t kChunk = 64;
// Rows of the two sides of an item of add_products().
constexpr uint32_t kLeftRows = 128, kRightRows = 16;

// Matrices with the same input, in the order of the file.
constexpr MatrixRole kStages[4][3] = {{MatrixRole::kQ, MatrixRole::kK, MatrixRole::kV},
                                      {MatrixRole::kO},
                                      {MatrixRole::kGate, MatrixRole::kUp},
                                      {MatrixRole::kDown}};
constexpr uint32_t kStageSizes[4] = {3, 1, 2, 1};

Span<const MatrixRole> stage_of(MatrixRole role) {
  for (size_t i = 0; i < 4; ++i)
    if (const Span<const MatrixRole> stage{kStages[i], kStageSizes[i]};
        std::find(stage.begin(), stage.end(), role) != stage.end())
      return stage;
  assert(false);
  return {};
}

Matrix* matrix_of(LayerWeights* w, MatrixRole role) {
  Matrix* const matrices[] = {&w->q, &w->k, &w->v, &w->o, &w->gate, &w->up, &w->down};
  return matrices[static_cast<size_t>(role) - static_cast<size_t>(MatrixRole::kQ)];
}

// x as its int8 codes stand for it.
void round_input(const KernelTable& kernels, uint32_t cols, uint32_t group, float* x) {
  std::vector<int8_t> codes(row_vectors(group, group) * kVectorCols);
  for (uint32_t begin = 0, n; begin < cols; begin += n) {
    n = std::min(group, cols - begin);
    float scale = 0;
    int32_t sum = 0;
    kernels.quantize_activations(x + begin, n, n, 0, codes.data(), &scale, &sum);
    for (uint32_t i = 0; i < n; ++i) x[begin + i] = static_cast<float>(codes[i]) * scale;
  }
}

}  // namespace

ModelCalibration::ModelCalibration(std::shared_ptr<const Model> model, Span<const int32_t> ids,
                                   const CalibrationOptions& options,
                                   const std::atomic<bool>& cancel)
    : model_(std::move(model)),
      dense_(model_->planes().current()),
      options_(options),
      cancel_(cancel),
      layer_config_(model_->config()),
      ids_(ids.begin(), ids.begin() + ids.size() / options.window * options.window),
      windows_(static_cast<uint32_t>(ids_.size() / options.window)),
      pool_(options.threads),
      workspace_{Ops(&model_->config(), &model_->kernels(), &pool_, &stop_), {}, {}, {}} {
  layer_config_.n_layers = 1;
}

Result<std::unique_ptr<ModelCalibration>> ModelCalibration::open(std::shared_ptr<const Model> model,
                                                                 Span<const int32_t> ids,
                                                                 const CalibrationOptions& options,
                                                                 const std::atomic<bool>& cancel) {
  assert(model->dense());
  TRIT_RETURN_IF_ERROR(model->check_ids(ids));
  if (ids.size() < options.window)
    return Status(Code::kUsage, "calibration text: expected at least " +
                                    std::to_string(options.window) + " tokens, found " +
                                    std::to_string(ids.size()));
  std::unique_ptr<ModelCalibration> calibration(
      new ModelCalibration(std::move(model), ids, options, cancel));
  TRIT_RETURN_IF_ERROR(calibration->allocate());
  return calibration;
}

Status ModelCalibration::allocate() {
  // Scratch for every matrix as it may become: in groups, or (native) whole rows.
  std::vector<MatrixInfo> matrices;
  for (MatrixInfo m : model_->reader().matrices()) {
    m.encoding = Encoding::kTied;
    m.planes = kMaxPlanes;
    m.group = std::min(options_.group, m.cols);
    matrices.push_back(m);
  }
  const auto carve = [&](Arena* arena) {
    workspace_.ops.carve(arena, {matrices.data(), matrices.size()}, pool_.size(), kChunk,
                         options_.window);
    workspace_.activations.carve(arena, layer_config_, kChunk);
    workspace_.rope.carve(arena, layer_config_, options_.window);
    workspace_.cache.carve(arena, layer_config_, options_.window, CacheType::kF32, CacheType::kF32);
  };
  Arena measured(nullptr);
  carve(&measured);
  memory_.resize(measured.used() + Arena::kAlignment);
  const size_t past = reinterpret_cast<uintptr_t>(memory_.data()) % Arena::kAlignment;
  Arena arena(memory_.data() + (Arena::kAlignment - past) % Arena::kAlignment);
  carve(&arena);
  workspace_.rope.reach(options_.window);
  streams_.resize(1 + options_.prefixes.size());
  for (size_t i = 0; i < streams_.size(); ++i) {
    streams_[i].planes = i == 0 ? 0 : options_.prefixes[i - 1];
    streams_[i].residual.resize(ids_.size() * layer_config_.hidden);
    streams_[i].weights = dense_->weights.layers[0];
    workspace_.ops.embed(dense_->weights.embedding, ids_.data(), static_cast<uint32_t>(ids_.size()),
                         streams_[i].residual.data());
  }
  return Status();
}

Status ModelCalibration::take(const MatrixInfo& info, std::vector<std::vector<uint8_t>> blocks) {
  TRIT_RETURN_IF_ERROR(reach(info.layer, ffn_ && info.layer == layer_));
  const uint8_t* data[kMaxPlanes] = {};
  for (size_t p = 0; p < blocks.size(); ++p) data[p] = blocks[p].data();
  blocks_.push_back(std::move(blocks));
  for (Stream& stream : streams_) {
    if (stream.planes == 0) continue;
    Matrix* matrix = matrix_of(&stream.weights, info.role);
    matrix->encoding = info.encoding;
    matrix->dense = nullptr;
    matrix->planes = trit_view(info, std::min(stream.planes, info.planes), data);
  }
  return Status();
}

// The residual streams move to a later place: what is passed is complete.
Status ModelCalibration::reach(uint32_t layer, bool ffn) {
  while (layer_ != layer || ffn_ != ffn) {
    for (Stream& stream : streams_) {
      for (uint32_t w = 0; w < windows_; ++w) {
        if (cancel_) return Status(Code::kCancelled, "interrupted");
        pass(&stream, w, nullptr);
      }
    }
    stage_ = MatrixRole::kEmbedding;
    ffn_ = !ffn_;
    if (ffn_) continue;
    blocks_.clear();
    ++layer_;
    for (Stream& stream : streams_)
      if (layer_ < model_->config().n_layers) stream.weights = dense_->weights.layers[layer_];
  }
  return Status();
}

// A window through the current half of a layer: until the input of `stop` is known, which is then
// in `inputs`; to the end without one, and the residual stream is what comes out.
void ModelCalibration::pass(Stream* stream, uint32_t window, const Matrix* stop) {
  const size_t hidden = layer_config_.hidden;
  float* residual = workspace_.activations.residual;
  for (uint32_t begin = 0, count; begin < options_.window; begin += count) {
    count = std::min(kChunk, options_.window - begin);
    float* at = stream->residual.data() + (size_t{window} * options_.window + begin) * hidden;
    std::memcpy(residual, at, count * hidden * sizeof *at);
    const CancelFlag::Running running(&stop_);
    workspace_.ops.observe_inputs([&](const float* x, uint32_t tokens, const Matrix& first) {
      if (&first != stop) return;
      std::memcpy(stream->inputs.data() + size_t{begin} * first.cols, x,
                  size_t{tokens} * first.cols * sizeof *x);
      std::memcpy(stream->beside.data() + begin * hidden, residual,
                  tokens * hidden * sizeof *residual);
      stop_.cancel();
    });
    if (ffn_)
      ffn_block(layer_config_, stream->weights, &workspace_, count);
    else
      attention_block(layer_config_, stream->weights, 0, &workspace_, count, begin);
    workspace_.ops.observe_inputs(nullptr);
    if (!stop) std::memcpy(at, residual, count * hidden * sizeof *at);
  }
}

Result<std::vector<InputStatistics>> ModelCalibration::measure(MatrixRole role, uint32_t layer) {
  if (!is_layer_role(role)) return measure_head();
  TRIT_RETURN_IF_ERROR(reach(layer, role >= MatrixRole::kGate));
  const Span<const MatrixRole> stage = stage_of(role);
  if (stage_ != stage[0]) {
    stage_ = stage[0];
    for (Stream& stream : streams_) {
      size_inputs(&stream, matrix_of(&stream.weights, stage_)->cols);
      for (const MatrixRole r : stage)
        if (stream.planes > 0)
          stream.corrections.emplace_back(size_t{matrix_of(&stream.weights, r)->rows} *
                                          matrix_of(&stream.weights, r)->cols);
    }
    for (uint32_t w = 0; w < windows_; ++w) {
      if (cancel_) return Status(Code::kCancelled, "interrupted");
      measure_window(w, stage);
    }
  }
  const size_t index =
      static_cast<size_t>(std::find(stage.begin(), stage.end(), role) - stage.begin());
  std::vector<InputStatistics> statistics;
  for (const Stream& stream : streams_)
    if (stream.planes > 0)
      statistics.push_back({stream.planes, stream.moments, stream.corrections[index]});
  return statistics;
}

Result<std::vector<InputStatistics>> ModelCalibration::measure_head() {
  TRIT_RETURN_IF_ERROR(reach(model_->config().n_layers, false));
  const uint32_t hidden = layer_config_.hidden;
  Stream& stream = streams_[1];
  size_inputs(&stream, hidden);
  for (uint32_t w = 0; w < windows_; ++w) {
    if (cancel_) return Status(Code::kCancelled, "interrupted");
    workspace_.ops.rms_norm(&stream.residual[size_t{w} * options_.window * hidden],
                            dense_->weights.final_norm, options_.window, hidden,
                            stream.inputs.data());
    add_moments(&stream, hidden);
  }
  return std::vector<InputStatistics>{{stream.planes, stream.moments, {}}};
}

// Room for statistics of inputs of so many columns, at zero; without corrections.
void ModelCalibration::size_inputs(Stream* stream, size_t cols) {
  stream->inputs.resize(options_.window * cols);
  stream->turned.resize(options_.window * cols);
  stream->beside.resize(options_.window * size_t{layer_config_.hidden});
  if (stream->planes > 0) stream->moments.assign(cols * cols, 0);
  stream->corrections.clear();
}

// Rounds the inputs of a window as a model with planes would, and adds their moments.
void ModelCalibration::add_moments(Stream* stream, uint32_t cols) {
  pool_.parallel_for(options_.window, [&](uint32_t t, uint32_t) {
    round_input(model_->kernels(), cols, std::min(options_.group, cols),
                stream->inputs.data() + size_t{t} * cols);
  });
  turn(stream->inputs, cols, &stream->turned);
  add_products(stream->turned, cols, stream->turned, cols, &stream->moments);
}

void ModelCalibration::measure_window(uint32_t window, Span<const MatrixRole> stage) {
  for (Stream& stream : streams_) {
    const Matrix& first = *matrix_of(&stream.weights, stage[0]);
    pass(&stream, window, &first);
    if (stream.planes == 0) continue;
    add_moments(&stream, first.cols);
    for (size_t i = 0; i < stage.size(); ++i)
      add_corrections(&stream, *matrix_of(&streams_[0].weights, stage[i]), stage.size() == 1,
                      &stream.corrections[i]);
  }
}

// sums += T^T X of the window, see InputStatistics.
void ModelCalibration::add_corrections(Stream* stream, const Matrix& matrix, bool to_residual,
                                       Floats* sums) {
  const Stream& dense = streams_[0];
  const size_t rows = matrix.rows, cols = matrix.cols;
  Floats missing(options_.window * rows), turned(missing.size()), difference(kChunk * cols);
  Matrix plain = matrix;  // a bias is in both models
  plain.bias = nullptr;
  for (uint32_t begin = 0, count; begin < options_.window; begin += count) {
    count = std::min(kChunk, options_.window - begin);
    for (size_t i = 0; i < count * cols; ++i)
      difference[i] = dense.inputs[begin * cols + i] - stream->inputs[begin * cols + i];
    workspace_.ops.linear(difference.data(), count, {{&plain, missing.data() + begin * rows}});
  }
  if (to_residual)
    for (size_t i = 0; i < missing.size(); ++i) missing[i] += dense.beside[i] - stream->beside[i];
  turn(missing, matrix.rows, &turned);
  add_products(stream->turned, matrix.cols, turned, matrix.rows, sums);
}

// [window][width] to [width][window].
void ModelCalibration::turn(const Floats& rows, uint32_t width, Floats* turned) {
  constexpr uint32_t kBlock = 16;
  const uint32_t window = options_.window;
  pool_.parallel_for(static_cast<uint32_t>(ceil_div(width, kBlock)), [&](uint32_t block, uint32_t) {
    const uint32_t begin = block * kBlock, end = std::min(begin + kBlock, width);
    for (uint32_t t = 0; t < window; ++t)
      for (uint32_t i = begin; i < end; ++i)
        (*turned)[size_t{i} * window + t] = rows[size_t{t} * width + i];
  });
}

// sums[i][j] += b[i] . a[j] for turned inputs: sums is [b_rows][a_rows].
void ModelCalibration::add_products(const Floats& a, uint32_t a_rows, const Floats& b,
                                    uint32_t b_rows, Floats* sums) {
  const uint32_t window = options_.window;
  const uint32_t lefts = static_cast<uint32_t>(ceil_div(a_rows, kLeftRows));
  const uint32_t rights = static_cast<uint32_t>(ceil_div(b_rows, kRightRows));
  pool_.parallel_for(lefts * rights, [&](uint32_t item, uint32_t) {
    const uint32_t j = item / rights * kLeftRows, i = item % rights * kRightRows;
    const uint32_t width = std::min(kLeftRows, a_rows - j),
                   count = std::min(kRightRows, b_rows - i);
    float products[kRightRows * kLeftRows];
    model_->kernels().dense_gemm(a.data() + size_t{j} * window, Encoding::kDenseF32, window,
                                 b.data() + size_t{i} * window, window, count, 0, width, products,
                                 kLeftRows);
    for (uint32_t r = 0; r < count; ++r)
      for (uint32_t c = 0; c < width; ++c)
        (*sums)[size_t{i + r} * a_rows + j + c] += products[r * kLeftRows + c];
  });
}

}  // namespace trit
