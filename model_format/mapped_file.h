// A file as read-only memory: mapped, or read whole into owned memory (IoMode::kRead).
// Regular files only; opened once, sized by fstat of the open descriptor. Move-only.
#ifndef TRITSTACK_MODEL_FORMAT_MAPPED_FILE_H_
#define TRITSTACK_MODEL_FORMAT_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "model_format/status.h"

namespace trit {

enum class IoMode { kMap, kRead };

class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path, IoMode io = IoMode::kMap);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  // Give the pages of a range back (a hint; whole pages inside it). They come back when touched.
  void release(size_t offset, size_t bytes) const;

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  IoMode io_ = IoMode::kMap;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_MAPPED_FILE_H_
