// Our files and other methods on one real checkpoint, at equal bytes: losses on held-out text with
// our runtime. Bytes are those of layer matrices. Where a method says nothing (embedding, head,
// activations) a baseline stays in float, which is to its advantage.
#ifndef TRITSTACK_TESTS_SUPPORT_COMPARISON_H_
#define TRITSTACK_TESTS_SUPPORT_COMPARISON_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/support/weights_runner.h"

namespace trit {

struct SizedLoss {
  uint64_t bytes;
  double loss;        // mean negative log-likelihood
  double divergence;  // from the dense model; on little text far steadier
};

class Comparison {
 public:
  // `checkpoint`: a folder of shared_data()/models. Losses are over so many windows of
  // tinystories.eval.txt.
  Comparison(const std::string& checkpoint, size_t windows);

  double dense_loss() const { return dense_loss_; }
  double layer_weights() const { return layer_weights_; }

  // What `tritstack quantize` makes of it with these flags.
  std::shared_ptr<const Model> quantized(std::vector<std::string> flags);
  // With the first `blocks` blocks of a file.
  SizedLoss prefix(const Model& model, size_t blocks);
  // With the longest prefix of at most so many bytes.
  SizedLoss within(const Model& model, uint64_t bytes);
  SizedLoss whole(const Model& model) { return prefix(model, model.reader().blocks().size()); }

  // BitStack with 1, 2, .. blocks of each matrix; columns scaled by the inputs on so many windows
  // of tinystories.calib.txt. With `ordered`, between two of these its order's quarters too, as
  // measured on those windows.
  std::vector<SizedLoss> bitstack_losses(uint32_t rank, uint32_t blocks, size_t calibration_windows,
                                         bool ordered);

 private:
  SizedLoss score(uint64_t bytes, const Weights& weights);

  const std::string source_;
  TempDir folder_;
  int files_ = 0;
  std::shared_ptr<const Model> dense_;
  std::unique_ptr<WeightsRunner> runner_;
  std::vector<int32_t> ids_;
  std::vector<float> dense_log_probabilities_;
  double dense_loss_ = 0, layer_weights_ = 0;
};

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_COMPARISON_H_
