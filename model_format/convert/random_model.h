// A .trit file of the shape of a model with random planes in it, written in seconds and with
// bounded memory: what `tritstack bench --config` measures, so that nobody needs a checkpoint to
// know how fast a model would run here. Its text is noise; everything else is as in a real file.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_RANDOM_MODEL_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_RANDOM_MODEL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "model_format/model_config.h"
#include "model_format/status.h"

namespace trit {

struct RandomModel {
  ModelConfig config;
  Encoding encoding = Encoding::kTied;   // of the layer matrices: kTied, kFree or kNative
  uint32_t planes = 3, head_planes = 4;  // native layers have one; embedding and head are tied
  uint32_t group = kDefaultGroup;
  uint64_t seed = 1;
  uint32_t threads = 1;
  bool force = false;  // replace an existing file
};

// Tied matrices have one base plane, so that each prefix can be run. The bytes depend on the model
// and the seed alone. progress: in pieces, from the calling thread; `cancel` ends it with
// kCancelled and no file.
Status write_random_model(const std::string& path, const RandomModel& model,
                          const std::function<void(uint64_t done, uint64_t total)>& progress,
                          const std::atomic<bool>& cancel);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_RANDOM_MODEL_H_
