// A model of a finished file reads text with any choice of planes, beside the dense model: what a
// plane is worth is measured by trying. In memory are the dense model's probabilities for one
// window and the residual stream of one.
// Not here: which choices are tried, and what follows from them (measured_order.h).
#ifndef TRITSTACK_CMD_PLANE_TRIALS_H_
#define TRITSTACK_CMD_PLANE_TRIALS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/forward.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "runtime/session_buffers.h"
#include "runtime/thread_pool.h"

namespace trit {

struct PlaneTrial {
  std::vector<uint32_t> planes;  // of each matrix of the file; 1 where it is dense
  // Means over all tokens but the first of each window.
  double divergence = 0;  // from the dense model
  double loss = 0;        // negative log-likelihood
};

class PlaneTrials {
 public:
  using Progress = std::function<void(uint64_t done, uint64_t total)>;

  // `model`: all planes in use, of the same model as `dense`. `cancel` outlives this.
  static Result<std::unique_ptr<PlaneTrials>> open(std::shared_ptr<const Model> dense,
                                                   std::shared_ptr<const Model> model,
                                                   uint32_t window, uint32_t threads,
                                                   const std::atomic<bool>& cancel);

  // Runs all trials over ids, whole windows. A trial begins where it differs from the first one,
  // so those that change one layer cost half of a pass on average.
  Status run(Span<const int32_t> ids, const Progress& progress, std::vector<PlaneTrial>* trials);

 private:
  using Floats = std::vector<float>;
  struct Sums {
    double divergence = 0, loss = 0;
  };

  PlaneTrials(std::shared_ptr<const Model> model, const SessionShape& shape,
              std::unique_ptr<Session> dense, const std::atomic<bool>& cancel);
  Weights weights_of(const PlaneTrial& trial) const;
  uint32_t first_difference(const PlaneTrial& a, const PlaneTrial& b) const;
  Status read_dense();
  void embed(const Weights& weights);
  void advance(const LayerWeights& weights, uint32_t layer);
  void finish(const Weights& weights, uint32_t layer, Sums* sums);
  void score(uint32_t begin, uint32_t count, Sums* sums);

  const std::shared_ptr<const Model> model_;
  const std::shared_ptr<const PlaneSet> full_;
  const std::unique_ptr<Session> dense_;
  const std::atomic<bool>& cancel_;
  CancelFlag never_;
  ThreadPool pool_;
  SessionBuffers buffers_;
  std::vector<uint8_t> memory_;
  const uint32_t window_, chunk_;
  Span<const int32_t> ids_;                 // of the current window
  Floats residual_;                         // [window][hidden] of the first trial
  Floats logits_;                           // [chunk][vocab]
  Floats reference_;                        // [window - 1][vocab] probabilities of the dense model
  std::vector<double> negative_entropies_;  // [window - 1] of those
};

}  // namespace trit

#endif  // TRITSTACK_CMD_PLANE_TRIALS_H_
