// All blocks of an open .trit file that are there, mapped: a reader maps its head alone.
#ifndef TRITSTACK_TESTS_SUPPORT_BLOCKS_H_
#define TRITSTACK_TESTS_SUPPORT_BLOCKS_H_

#include <cstdint>
#include <utility>

#include "model_format/reader.h"

namespace trit {

class Blocks {
 public:
  explicit Blocks(const ModelReader& reader)
      : reader_(reader),
        file_(std::move(
            MappedFile::open(reader.file(), reader.head_bytes(), reader.size()).value())) {}

  const ModelReader& reader() const { return reader_; }
  const uint8_t* data(size_t block) const { return file_.at(reader_.blocks()[block].offset); }

 private:
  const ModelReader& reader_;
  MappedFile file_;
};

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_BLOCKS_H_
