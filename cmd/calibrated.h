// quantize with --calibrate: the model runs on a text while it is quantized, and afterwards on text
// that it was not fitted to, to tell what each number of planes is worth.
// Not here: how it is run (model_calibration.h), what becomes of it (convert/compensate.h).
#ifndef TRITSTACK_CMD_CALIBRATED_H_
#define TRITSTACK_CMD_CALIBRATED_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model_format/convert/converter.h"
#include "runtime/model.h"

namespace trit {

struct HfModel;

struct CalibrationText {
  std::string file, bytes;
  uint64_t tokens;        // most of them
  uint64_t order_tokens;  // to read in all for the order of planes; 0: by estimate
};

// How a model compares with the dense one on held-out text.
struct PrefixQuality {
  uint32_t planes;  // 0: the dense model
  double perplexity, divergence, top1_agreement;
};

class CalibratedQuantize {
 public:
  // Writes the dense model beside options.output; what was written has no name
  // any more when this returns.
  static Result<std::unique_ptr<CalibratedQuantize>> prepare(const QuantizeOptions& options,
                                                             const CalibrationText& text,
                                                             const QuantizeProgress& progress,
                                                             const std::atomic<bool>& cancel);

  // The file appears once its planes are chosen, and is replaced when their order is measured; it
  // stays when that fails or is cancelled.
  Result<QuantizeReport> run(const QuantizeProgress& progress, const std::atomic<bool>& cancel);

  // Of the finished file, for each number of planes in the report, after the dense model.
  Result<std::vector<PrefixQuality>> compare(const QuantizeReport& report,
                                             const QuantizeProgress& progress,
                                             const std::atomic<bool>& cancel) const;
  uint64_t compared_tokens() const { return held_out_.size(); }
  uint64_t calibration_tokens() const { return ids_.size(); }
  // False: the text was too short, so it is compared on what it was fitted to.
  bool held_out() const { return held_out_is_new_; }

 private:
  CalibratedQuantize() = default;
  Status cut(const HfModel& source, const CalibrationText& text);
  Result<uint64_t> order_planes(const QuantizeProgress& progress,
                                const std::atomic<bool>& cancel) const;

  QuantizeOptions options_;
  std::shared_ptr<const Model> dense_;
  uint32_t window_ = 0;
  uint64_t order_tokens_ = 0;
  std::vector<int32_t> ids_, held_out_;  // whole windows
  bool held_out_is_new_ = true;
};

}  // namespace trit

#endif  // TRITSTACK_CMD_CALIBRATED_H_
