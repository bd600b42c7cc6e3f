// Opens a .trit file: checks the head (magic, version, sections, their hashes, every field and
// bound) and the structure of all blocks once, then hands out views. After open() nothing here can
// fail. Only the head is resident: who needs blocks maps them (runtime/plane_stack.h, verify.h,
// which also hashes them). No length in the file is trusted: each is checked against the real size
// of the open file.
#ifndef TRITSTACK_MODEL_FORMAT_READER_H_
#define TRITSTACK_MODEL_FORMAT_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/mapped_file.h"
#include "model_format/model_config.h"
#include "model_format/span.h"
#include "model_format/status.h"

namespace trit {

// One stored block = one plane of one matrix (with its scales), in stored order.
struct BlockInfo {
  uint32_t matrix = 0;  // index in matrices()
  uint32_t plane = 0;   // 0-based
  uint64_t offset = 0;  // in the file, a multiple of 64
  uint64_t bytes = 0;   // block_bytes(matrix, plane)
  uint64_t hash = 0;    // XXH3-64 seeded with block_seed(file_id, matrix, plane)
  float gain = 0;       // expected value per byte; base blocks: 0
  float quality = 0;    // expected perplexity of the prefix that ends here; NaN: not measured
};

class ModelReader {
 public:
  // kMalformed, kUnsupported (magic, version, unknown required feature), kIo. A file cut after its
  // head opens (see whole_blocks and check_base).
  static Result<ModelReader> open(const std::string& path, IoMode io = IoMode::kAuto);

  const std::string& path() const { return path_; }
  const ModelConfig& config() const { return config_; }
  const GenerationDefaults& generation() const { return generation_; }
  Span<const MatrixInfo> matrices() const { return matrices_; }
  Span<const BlockInfo> blocks() const { return blocks_; }  // base blocks first, then by value
  size_t base_blocks() const { return base_blocks_; }
  size_t whole_blocks() const { return whole_blocks_; }  // < blocks().size() in a cut file
  size_t whole_blocks_now() const;  // of a file that may have grown (a download) or been cut
  // kMalformed naming the bytes needed when the file is cut inside the base: nothing can run then.
  Status check_base() const;
  uint64_t file_id() const { return file_id_; }
  uint64_t size() const { return size_; }              // of the file when it was opened
  uint64_t file_bytes() const { return file_bytes_; }  // as the head says
  uint64_t head_bytes() const { return head_bytes_; }
  uint64_t base_end() const { return base_end_; }
  uint16_t version_major() const { return version_major_; }
  uint16_t version_minor() const { return version_minor_; }

  // Index of a matrix; the reader has checked that every one the config asks for exists.
  size_t matrix_index(MatrixRole role, uint32_t layer) const;
  // Norm weights and biases; empty when the model has none of this role.
  Span<const float> vector(VectorRole role, uint32_t layer) const;

  Span<const uint8_t> tokenizer() const { return tokenizer_; }       // empty: converted without one
  std::string_view chat_template() const { return chat_template_; }  // the source's text
  std::string_view quantizer_options() const { return quantizer_options_; }

  const std::shared_ptr<const InputFile>& file() const { return file_; }

 private:
  friend class HeadParser;
  ModelReader() = default;

  Status read_head(uint64_t bytes);
  size_t whole_blocks_in(uint64_t size) const;

  std::string path_;
  std::shared_ptr<const InputFile> file_;
  MappedFile head_;
  ModelConfig config_;
  GenerationDefaults generation_;
  std::vector<MatrixInfo> matrices_;
  std::vector<BlockInfo> blocks_;
  std::vector<Span<const float>> vectors_;  // [role * n_layers + layer]
  Span<const uint8_t> tokenizer_;
  std::string_view chat_template_, quantizer_options_;
  size_t base_blocks_ = 0, whole_blocks_ = 0;
  uint64_t file_id_ = 0, size_ = 0, file_bytes_ = 0, head_bytes_ = 0, base_end_ = 0;
  uint16_t version_major_ = 0, version_minor_ = 0;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_READER_H_
