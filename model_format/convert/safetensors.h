// The tensors of a Hugging Face folder: model.safetensors, or the shards that
// model.safetensors.index.json lists. Every header is checked whole before anything is read: sizes
// with overflow checks, no overlap, no hole, no trailing bytes, no name twice. Not here: what the
// tensors mean (architectures.h).
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_SAFETENSORS_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_SAFETENSORS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/mapped_file.h"
#include "model_format/status.h"

namespace trit {

// Those that the converter reads; kOther is any other (`dtype_name` says which).
enum class Dtype : uint8_t { kF32, kF16, kBf16, kU8, kOther };

struct Tensor {
  std::string name;
  std::string dtype_name;
  Dtype dtype = Dtype::kOther;
  std::vector<uint64_t> shape;
  uint32_t file = 0;    // index of its file
  uint64_t offset = 0;  // of its first byte in that file
  uint64_t bytes = 0;

  uint64_t elements() const;
};

// "[64, 172]"
std::string shape_text(const std::vector<uint64_t>& shape);

class Safetensors {
 public:
  // kIo, kMalformed; kUnsupported when the folder holds weights in another form.
  static Result<Safetensors> open(const std::string& folder);

  const std::vector<Tensor>& tensors() const { return tensors_; }  // sorted by name
  const Tensor* find(std::string_view name) const;
  // The name of the file that holds it, for errors.
  const std::string& path_of(const Tensor& tensor) const { return files_[tensor.file].path; }
  // kMalformed / kUnsupported naming the tensor: "<file>: <tensor> at <where>: expected, found".
  Status bad_tensor(Code code, const Tensor& tensor, std::string_view where,
                    std::string_view expected, std::string_view found) const;

  // kUnsupported unless the tensor's values can be read as floats.
  Status check_readable(const Tensor& tensor) const;
  // Elements [first, first + count) as f32. kMalformed naming row and column (of rows of `cols`)
  // of the first NaN or infinity. The tensor has passed check_readable.
  Status read(const Tensor& tensor, uint64_t first, uint64_t count, uint64_t cols,
              float* out) const;
  const uint8_t* data(const Tensor& tensor) const;
  // Of the inodes, sizes and times of all files.
  uint64_t identity() const;
  // kIo when a file was cut or failed since it was opened: what was read then is worth nothing.
  Status check_files() const;
  // Gives pages of elements [first, first + count) back; they come again when touched.
  void release(const Tensor& tensor, uint64_t first, uint64_t count) const;

 private:
  struct File {
    std::string path;
    MappedFile map;
  };
  friend class HeaderParser;

  Status add_file(const std::string& path);
  Status sort_by_name();

  std::vector<File> files_;
  std::vector<Tensor> tensors_;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_SAFETENSORS_H_
