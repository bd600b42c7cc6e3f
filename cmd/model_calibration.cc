// See model_calibration.h. Everything is summed in float, window after window in order, each window
// token after token, so statistics do not depend on the number of threads.
#include "cmd/model_calibration.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "kernels/panels.h"

namespace trit {

namespace {

// Tokens of a pass: what of a wide matrix's input stays in the L2 cache while a dense one is read.
constexpr uint32_t kChunk = 64;
// Rows of an item of add_products(): panels of one side that stay in the L2 cache.
constexpr uint32_t kItemRows = 128;

bool ends_half(MatrixRole role) {
  return role == MatrixRole::kO || role == MatrixRole::kDown;
}

// x as its int8 codes stand for it.
void round_input(const KernelTable& kernels, uint32_t cols, uint32_t group, float* x) {
  std::vector<int8_t> codes(row_vectors(group, group) * kVectorCols);
  for (uint32_t begin = 0, n; begin < cols; begin += n) {
    n = std::min(group, cols - begin);
    float scale = 0;
    int32_t sum = 0;
    const QuantizedActivations out = {codes.data(), &scale, &sum, codes.size(), 1};
    kernels.quantize_activations(x + begin, n, n, 0, &out, 0);
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
  carve_in(&memory_, [&](Arena* arena) {
    workspace_.ops.carve(arena, {matrices.data(), matrices.size()}, pool_.size(), kChunk,
                         options_.window);
    workspace_.activations.carve(arena, layer_config_, kChunk);
    workspace_.rope.carve(arena, layer_config_, options_.window);
    workspace_.cache.carve(arena, layer_config_, options_.window, CacheType::kF32, CacheType::kF32);
  });
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
      if (stream.planes == 0 && dense_is_ahead_) continue;
      for (uint32_t w = 0; w < windows_; ++w) {
        if (cancel_) return Status(Code::kCancelled, "interrupted");
        pass(&stream, w, nullptr);
      }
    }
    dense_is_ahead_ = false;
    stage_ = MatrixRole::kEmbedding;
    ffn_ = !ffn_;
    if (ffn_) continue;
    blocks_.clear();
    model_->planes().release_pages();
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
    float* at = residual_of(stream, window) + begin * hidden;
    std::memcpy(residual, at, count * hidden * sizeof *at);
    const CancelFlag::Running running(&stop_);
    workspace_.ops.observe_inputs([&](const float* x, uint32_t tokens, const Matrix& first) {
      if (&first != stop) return;
      std::memcpy(stream->inputs.data() + size_t{begin} * first.cols, x,
                  size_t{tokens} * first.cols * sizeof *x);
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
  const MatrixRole first = first_with_input_of(role);
  if (stage_ != first) TRIT_RETURN_IF_ERROR(measure_stage(first));
  std::vector<InputStatistics> statistics;
  for (const Stream& stream : streams_)
    if (stream.planes > 0)
      statistics.push_back({stream.planes, stream.moments, stream.dense, stream.outputs});
  return statistics;
}

Status ModelCalibration::measure_stage(MatrixRole first) {
  stage_ = first;
  const size_t cols = matrix_of(&streams_[0].weights, first)->cols;
  for (Stream& stream : streams_) {
    size_inputs(&stream, cols);
    if (stream.planes == 0) continue;
    stream.dense.resize(ends_half(first) ? 0 : cols * cols);
    stream.outputs.resize(ends_half(first) ? layer_config_.hidden * cols : 0);
  }
  for (uint32_t w = 0; w < windows_; ++w) {
    if (cancel_) return Status(Code::kCancelled, "interrupted");
    measure_window(w);
  }
  dense_is_ahead_ = ends_half(first);
  for (Stream& stream : streams_) complete_moments(&stream, static_cast<uint32_t>(cols));
  return Status();
}

Result<std::vector<InputStatistics>> ModelCalibration::measure_head() {
  TRIT_RETURN_IF_ERROR(reach(model_->config().n_layers, false));
  const uint32_t hidden = layer_config_.hidden;
  Stream& stream = streams_[1];
  size_inputs(&stream, hidden);
  for (uint32_t w = 0; w < windows_; ++w) {
    if (cancel_) return Status(Code::kCancelled, "interrupted");
    workspace_.ops.rms_norm(residual_of(&stream, w), dense_->weights.final_norm, options_.window,
                            hidden, stream.inputs.data());
    add_moments(&stream, hidden);
  }
  complete_moments(&stream, hidden);
  return std::vector<InputStatistics>{{stream.planes, stream.moments, {}, {}}};
}

// Room for statistics of inputs of so many columns, at zero.
void ModelCalibration::size_inputs(Stream* stream, size_t cols) {
  stream->inputs.resize(options_.window * cols);
  for (Floats* sums : {&stream->moments, &stream->dense, &stream->outputs}) Floats().swap(*sums);
  if (stream->planes > 0) stream->moments.resize(cols * cols);
}

// Rounds the inputs of a window as a model with planes would, and adds their moments, of which the
// upper triangle is left to complete_moments().
void ModelCalibration::add_moments(Stream* stream, uint32_t cols) {
  pool_.parallel_for(options_.window, [&](uint32_t t, uint32_t) {
    round_input(model_->kernels(), cols, std::min(options_.group, cols),
                stream->inputs.data() + size_t{t} * cols);
  });
  set_panels(stream->inputs, cols, &stream->panels);
  add_products(stream->panels, cols, stream->panels, cols, &stream->moments);
}

void ModelCalibration::complete_moments(Stream* stream, uint32_t cols) {
  if (stream->planes == 0) return;
  pool_.parallel_for(cols, [&](uint32_t i, uint32_t) {
    for (size_t j = i + 1; j < cols; ++j)
      stream->moments[i * cols + j] = stream->moments[j * cols + i];
  });
}

void ModelCalibration::measure_window(uint32_t window) {
  const size_t hidden = layer_config_.hidden;
  Stream& dense = streams_[0];
  const Matrix& first = *matrix_of(&dense.weights, stage_);
  pass(&dense, window, ends_half(stage_) ? nullptr : &first);
  if (!ends_half(stage_)) set_panels(dense.inputs, first.cols, &dense.panels);
  for (Stream& stream : streams_) {
    if (stream.planes == 0) continue;
    pass(&stream, window, matrix_of(&stream.weights, stage_));
    add_moments(&stream, first.cols);
    if (!ends_half(stage_)) {
      add_products(dense.panels, first.cols, stream.panels, first.cols, &stream.dense);
      continue;
    }
    Floats wanted(options_.window * hidden);
    for (size_t i = 0; i < wanted.size(); ++i)
      wanted[i] = residual_of(&dense, window)[i] - residual_of(&stream, window)[i] -
                  (first.bias ? first.bias[i % hidden] : 0);
    set_panels(wanted, layer_config_.hidden, &dense.panels);
    add_products(dense.panels, layer_config_.hidden, stream.panels, first.cols, &stream.outputs);
  }
}

float* ModelCalibration::residual_of(Stream* stream, uint32_t window) const {
  return &stream->residual[size_t{window} * options_.window * layer_config_.hidden];
}

// rows: [window][width].
void ModelCalibration::set_panels(const Floats& rows, uint32_t width, Floats* panels) {
  const uint32_t count = static_cast<uint32_t>(ceil_div(width, kPanelCols<float>));
  const size_t floats = size_t{options_.window} * kPanelCols<float>;
  panels->resize(count * floats);
  pool_.parallel_for(count, [&](uint32_t p, uint32_t) {
    const uint32_t begin = p * kPanelCols<float>;
    make_panels(rows.data() + begin, width, options_.window,
                std::min(kPanelCols<float>, width - begin), panels->data() + p * floats);
  });
}

// sums[i][j] += the sum over the window of a[i] b[j]; of moments (a is b) only where j <= i.
void ModelCalibration::add_products(const Floats& a, uint32_t rows, const Floats& b, uint32_t cols,
                                    Floats* sums) {
  constexpr uint32_t kWidth = kPanelCols<float>;
  const size_t panel = size_t{options_.window} * kWidth;
  const uint32_t rights = static_cast<uint32_t>(ceil_div(cols, kWidth));
  pool_.parallel_for(
      static_cast<uint32_t>(ceil_div(rows, kItemRows)) * rights, [&](uint32_t item, uint32_t) {
        const uint32_t right = item % rights, end = std::min((item / rights + 1) * kItemRows, rows);
        for (uint32_t i = item / rights * kItemRows; i < end; i += kWidth) {
          if (&a == &b && i < right * kWidth) continue;
          model_->kernels().panel_products(&a[i / kWidth * panel], 1, kWidth, &b[right * panel],
                                           options_.window, std::min(kWidth, end - i),
                                           std::min(kWidth, cols - right * kWidth),
                                           &(*sums)[size_t{i} * cols + right * kWidth], cols);
        }
      });
}

}  // namespace trit
