// Runs a model on windows of text with weights of the test's own making.
#ifndef TRITSTACK_TESTS_SUPPORT_WEIGHTS_RUNNER_H_
#define TRITSTACK_TESTS_SUPPORT_WEIGHTS_RUNNER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/forward.h"
#include "runtime/model.h"
#include "runtime/thread_pool.h"

namespace trit {

// The matrices of all layers, in the order of the file.
std::vector<Matrix*> layer_matrices(Weights* weights);

class WeightsRunner {
 public:
  // `model`: of any file of the same shape. Windows are of at most 512 tokens; planes have scales
  // for the default group.
  explicit WeightsRunner(std::shared_ptr<const Model> model);

  // `windows` whole windows from the start of a text, each after one BOS where there is one.
  std::vector<int32_t> read_text(const std::string& file, size_t windows) const;

  // After every token but the last of each window: [tokens][vocab].
  std::vector<float> log_probabilities(const Weights& weights, const std::vector<int32_t>& ids);
  // Mean negative log-likelihood of the tokens after those.
  double loss(const std::vector<float>& log_probabilities, const std::vector<int32_t>& ids) const;

  // What BitStack scales columns by: for each layer matrix and input, the mean over windows of its
  // norm over the window, + 1e-3.
  std::vector<std::vector<float>> input_scales(Weights weights, const std::vector<int32_t>& ids);

 private:
  void read_window(const Weights& weights, const int32_t* ids);

  const std::shared_ptr<const Model> model_;
  const uint32_t window_;
  CancelFlag cancel_;
  ThreadPool pool_;
  Workspace workspace_;
  std::vector<uint8_t> memory_;
  std::vector<float> logits_;  // [window - 1][vocab]
};

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_WEIGHTS_RUNNER_H_
