// From a Hugging Face folder to a .trit file: the one entry of this room, used by `tritstack
// quantize` and by tests. Streams by row blocks with bounded memory, on all cores, and the bytes do
// not depend on the number of threads.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_CONVERTER_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_CONVERTER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model_format/convert/calibration.h"
#include "model_format/model_config.h"
#include "model_format/status.h"

namespace trit {

struct QuantizeOptions {
  std::string source;  // folder
  std::string output;
  uint32_t planes = 3;       // layer matrices
  uint32_t head_planes = 4;  // embedding and head
  // kTied, kFree, kDenseF32 or kDenseBf16; matrices that arrive ternary (BitNet) stay kNative in
  // all of them. kNative alone is the request that nothing but ternary layers be accepted.
  Encoding encoding = Encoding::kTied;
  uint32_t group = kDefaultGroup;
  uint32_t threads = 1;
  bool force = false;
  // Null: from the weights alone. Otherwise layer matrices are tied, and of a model of this source.
  Calibration* calibration = nullptr;
  std::string calibrated_on;  // what the file says about it
  // Lines for stderr while it runs; may be null.
  std::function<void(const std::string& line)> note;
};

// The prefixes of layer matrices that calibration watches, most planes first.
std::vector<uint32_t> watched_prefixes(uint32_t planes);

// Called from one thread; `done` and `total` in weights. Stages: "reading", "layers.3.q",
// "writing".
using QuantizeProgress =
    std::function<void(const std::string& stage, uint64_t done, uint64_t total)>;

struct QuantizeReport {
  struct Row {  // the model with `planes` planes in the layer matrices
    uint32_t planes = 0;
    uint64_t bytes = 0;          // of all blocks resident then
    double bits_per_weight = 0;  // layer matrices, digits and scales
    double relative_error = 0;   // sqrt of the mean squared relative error, layer matrices
  };
  std::vector<Row> rows;
  uint64_t file_bytes = 0;
  uint64_t parameters = 0;
  double head_bits_per_weight = 0, head_relative_error = 0;
  std::vector<std::string> warnings;  // one line each, for stderr
};

// `cancel` may be set from a signal handler: the run stops with kCancelled and leaves no output,
// but the matrices that are done, in `<output>.partial`. The next run with the same options goes on
// from there (also after a kill), to the same bytes; others are refused, or with `force` begin
// anew. Dense output is copied anew each time.
Result<QuantizeReport> quantize(const QuantizeOptions& options, const QuantizeProgress& progress,
                                const std::atomic<bool>& cancel);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_CONVERTER_H_
