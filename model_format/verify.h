// The full check of a .trit file: opens it, hashes every block, and checks what no hash can: gaps
// are zero, every byte is accounted for, digits are < 243, padding digits are 0, scales are finite.
#ifndef TRITSTACK_MODEL_FORMAT_VERIFY_H_
#define TRITSTACK_MODEL_FORMAT_VERIFY_H_

#include <cstdint>
#include <functional>
#include <string>

#include "model_format/mapped_file.h"
#include "model_format/status.h"

namespace trit {

struct VerifyReport {
  uint64_t blocks = 0;  // checked
  uint64_t bytes = 0;   // of the file
};

// kMalformed (a cut file too) naming the first bad block, kUnsupported for magic or version, kIo.
// progress(done, total) in bytes; may be empty.
Result<VerifyReport> verify_file(const std::string& path,
                                 const std::function<void(uint64_t, uint64_t)>& progress,
                                 IoMode io = IoMode::kMap);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_VERIFY_H_
