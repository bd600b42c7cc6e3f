// Runs a dense model and, beside it, the models that a converter is making of it, one for each
// prefix of planes, layer by layer over the same text: so each matrix is measured on inputs that
// the planes before it have already changed. In memory are the residual streams of all tokens and
// the statistics of one stage (q k v; o; gate up; down); weights are views of the dense file.
// Not here: what is made of the statistics (model_format/convert/compensate.h). It is here and not
// in the runtime because the library neither converts nor calibrates.
#ifndef TRITSTACK_CMD_MODEL_CALIBRATION_H_
#define TRITSTACK_CMD_MODEL_CALIBRATION_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "model_format/convert/calibration.h"
#include "runtime/forward.h"
#include "runtime/model.h"
#include "runtime/thread_pool.h"

namespace trit {

struct CalibrationOptions {
  uint32_t window = 512;           // tokens of a piece of text that see each other
  uint32_t group = kDefaultGroup;  // of the planes that are being made
  std::vector<uint32_t> prefixes;  // planes of layer matrices, most first
  uint32_t threads = 1;
};

class ModelCalibration : public Calibration {
 public:
  // `model`: made with --dense. ids: cut to whole windows, at least one. `cancel` may be set by a
  // signal handler and outlives this.
  static Result<std::unique_ptr<ModelCalibration>> open(std::shared_ptr<const Model> model,
                                                        Span<const int32_t> ids,
                                                        const CalibrationOptions& options,
                                                        const std::atomic<bool>& cancel);

  Result<std::vector<InputStatistics>> measure(MatrixRole role, uint32_t layer) override;
  Status take(const MatrixInfo& info, std::vector<std::vector<uint8_t>> blocks) override;

 private:
  using Floats = std::vector<float>;
  // One model: dense, or with some planes.
  struct Stream {
    uint32_t planes = 0;             // 0: dense
    Floats residual;                 // [tokens][hidden] before the current half of the layer
    LayerWeights weights;            // of the current layer; what was not taken yet is dense
    Floats inputs, panels;           // of the stage in the current window, see kernels/panels.h
    Floats moments, dense, outputs;  // see InputStatistics
  };

  ModelCalibration(std::shared_ptr<const Model> model, Span<const int32_t> ids,
                   const CalibrationOptions& options, const std::atomic<bool>& cancel);
  Status allocate();
  Status reach(uint32_t layer, bool ffn);
  void pass(Stream* stream, uint32_t window, const Matrix* stop);
  Status measure_stage(MatrixRole first);
  Result<std::vector<InputStatistics>> measure_head();
  void size_inputs(Stream* stream, size_t cols);
  void measure_window(uint32_t window);
  void add_moments(Stream* stream, uint32_t cols);
  void complete_moments(Stream* stream, uint32_t cols);
  float* residual_of(Stream* stream, uint32_t window) const;
  void set_panels(const Floats& rows, uint32_t width, Floats* panels);
  void add_products(const Floats& a, uint32_t rows, const Floats& b, uint32_t cols, Floats* sums);

  const std::shared_ptr<const Model> model_;
  const std::shared_ptr<const PlaneSet> dense_;
  const CalibrationOptions options_;
  const std::atomic<bool>& cancel_;
  ModelConfig layer_config_;  // of one layer: the cache holds the current one
  std::vector<int32_t> ids_;
  uint32_t windows_;
  CancelFlag stop_;  // ends a pass once its stage has been seen
  ThreadPool pool_;
  Workspace workspace_;
  std::vector<uint8_t> memory_;
  std::vector<Stream> streams_;                            // dense first
  std::vector<std::vector<std::vector<uint8_t>>> blocks_;  // taken, of this layer
  uint32_t layer_ = 0;  // that the streams have reached, and which half of it
  bool ffn_ = false;
  bool dense_is_ahead_ = false;                // the dense stream has passed this half already
  MatrixRole stage_ = MatrixRole::kEmbedding;  // whose statistics are there: its first matrix
};

}  // namespace trit

#endif  // TRITSTACK_CMD_MODEL_CALIBRATION_H_
