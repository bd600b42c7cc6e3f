// What is finished of a file that is being written, matrix by matrix, so that a run that was
// interrupted can go on: `<output>.partial`, which only this program reads, and only to write the
// same output from the same source. Nothing in it is believed without its hash.
#ifndef TRITSTACK_MODEL_FORMAT_PARTIAL_FILE_H_
#define TRITSTACK_MODEL_FORMAT_PARTIAL_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model_format/model_config.h"
#include "model_format/output_file.h"
#include "model_format/status.h"

namespace trit {

class PartialFile {
 public:
  PartialFile() = default;
  // Opens or creates it, for these matrices; `identity`: of the run. What is damaged is forgotten,
  // and with `force` what another run has finished. kUsage, and nothing is changed: it is another
  // run's and not force, it is none of our files, or another process is writing it. kIo.
  static Result<PartialFile> open(const std::string& output, uint64_t identity,
                                  const std::vector<MatrixInfo>& matrices, bool force);

  bool is_open() const { return file_.is_open(); }
  const OpenFile& file() const { return file_; }
  // Where the block (matrix, plane) is in file().
  uint64_t place(uint32_t matrix, uint32_t plane) const {
    return places_[matrix * kMaxPlanes + plane];
  }
  bool finished(uint32_t matrix) const { return entries_[matrix].hash != 0; }
  uint32_t finished_count() const;
  const float* errors(uint32_t matrix) const { return entries_[matrix].errors; }
  // There was one, but of another run or damaged.
  bool forgot() const { return forgot_; }
  // All blocks of the matrix are written.
  Status finish(uint32_t matrix, const float* errors, uint32_t planes);
  void remove() const;

 private:
  struct Entry {
    float errors[kMaxPlanes];
    uint64_t hash;  // 0: not finished
  };
  Status read_entries();
  Result<uint64_t> hash(uint32_t matrix) const;

  OpenFile file_;
  uint64_t identity_ = 0;
  std::vector<Entry> entries_;    // [matrix]
  std::vector<uint64_t> places_;  // [matrix * kMaxPlanes + plane], and the end
  bool forgot_ = false;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_PARTIAL_FILE_H_
