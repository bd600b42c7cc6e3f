// Writes a .trit file: streaming (blocks arrive piecewise, in any order, from any thread),
// deterministic (same calls, same bytes) and atomic (the output appears whole or not at all).
// Base blocks go to their final place; residual blocks go to an unlinked spill file in the output's
// folder and are copied in stored order by finish(). Nothing larger than a piece is held in memory.
// A run that may be interrupted and go on has all its blocks in a PartialFile until finish().
#ifndef TRITSTACK_MODEL_FORMAT_WRITER_H_
#define TRITSTACK_MODEL_FORMAT_WRITER_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "model_format/model_config.h"
#include "model_format/partial_file.h"
#include "model_format/span.h"
#include "model_format/status.h"

namespace trit {

constexpr float kNoQuality = std::numeric_limits<float>::quiet_NaN();

struct VectorData {
  VectorRole role;
  uint32_t layer;
  std::vector<float> values;
};

// Everything of a file but the blocks. MatrixInfo::errors may be filled until finish().
struct FileDescription {
  ModelConfig config;
  GenerationDefaults generation;
  std::vector<MatrixInfo> matrices;  // embedding, [head], then layer by layer q k v o gate up down
  std::vector<VectorData> vectors;
  std::vector<uint8_t> tokenizer;  // the tokenizer section, empty if there is none
  std::string chat_template;
  std::string quantizer_options;  // canonical text; goes into the file id, shown by inspect
};

class ModelWriter {
 public:
  // Creates the temporary output. kUsage when `path` exists and not `force`; kIo. `resume`: go on
  // with what an interrupted run of the same description and the same `*resume` has finished.
  // One of another description is in the way: kUsage when not `force`.
  static Result<std::unique_ptr<ModelWriter>> create(const std::string& path,
                                                     FileDescription description, bool force,
                                                     const uint64_t* resume = nullptr);
  // Without finish() everything written is removed, but what keep() asks for.
  ~ModelWriter();

  // Bytes of block (matrix, plane), at `offset` inside the block. Thread-safe for disjoint ranges.
  Status write(uint32_t matrix, uint32_t plane, uint64_t offset, Span<const uint8_t> bytes);

  // The matrix is written; its squared relative errors per plane count (`planes` values).
  Status finish_matrix(uint32_t matrix, const float* errors);

  // With `resume`: what there is, and of a finished matrix its errors and blocks.
  const PartialFile& partial() const;
  Result<std::vector<std::vector<uint8_t>>> read_blocks(uint32_t matrix) const;
  // What is finished stays for the next run.
  void keep();

  // Every residual block once, plane p after p - 1, in the order they shall have. `quality` of a
  // block: the expected perplexity of the prefix that ends with it; NaN: not measured.
  // base_quality: of the base alone. Copies the residual blocks, hashes all blocks, writes the
  // head, fsync, renames.
  struct Residual {
    uint32_t matrix, plane;
    float gain;
    float quality = kNoQuality;
  };
  Status finish(const std::vector<Residual>& residual_order, float base_quality = kNoQuality);

  uint64_t file_bytes() const;

 private:
  struct State;
  explicit ModelWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_WRITER_H_
