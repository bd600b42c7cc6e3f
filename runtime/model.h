// An open model: the mapped file, the views of its weights with the planes that were asked for, and
// its tokenizer. Immutable, shared by all sessions. Not here: anything that a token changes.
#ifndef TRITSTACK_RUNTIME_MODEL_H_
#define TRITSTACK_RUNTIME_MODEL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "model_format/reader.h"
#include "model_format/status.h"
#include "runtime/text/tokenizer.h"
#include "runtime/weights.h"

namespace trit {

struct ModelOptions {
  uint32_t planes = 0;       // of each layer matrix; 0 or more than stored: all that are here
  uint32_t head_planes = 0;  // of embedding and head
  IoMode io = IoMode::kMap;
  bool verify = false;                   // hash every block first
  const KernelTable* kernels = nullptr;  // null: default_kernels()
};

// Planes of one kind of matrix that are in use: the most of any, 0 when all are dense.
struct ResidentPlanes {
  uint32_t layers = 0, head = 0;
  uint64_t blocks = 0;
  uint64_t weight_bytes = 0;  // that one token reads: without a separate embedding
  uint64_t parameters = 0;    // weights of all matrices
};

class Model {
 public:
  static Result<std::shared_ptr<const Model>> open(const std::string& path,
                                                   const ModelOptions& options);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelReader& reader() const { return reader_; }
  const ModelConfig& config() const { return reader_.config(); }
  const KernelTable& kernels() const { return *kernels_; }
  const Weights& weights() const { return weights_; }
  const ResidentPlanes& resident() const { return resident_; }
  // Null when the file was made without one.
  const Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }
  // Ids that may be sampled: those with a piece, all of the vocabulary without a tokenizer.
  uint32_t sampled_ids() const;
  bool is_end_token(int32_t id) const;
  // kUsage naming the first id that is not in [0, vocab).
  Status check_ids(Span<const int32_t> ids) const;
  // Made with --dense: no plane in it but those that came ternary.
  bool dense() const { return is_dense(weights_.embedding.encoding); }
  bool dense_f32() const { return weights_.embedding.encoding == Encoding::kDenseF32; }

 private:
  class PlaneViews;
  explicit Model(ModelReader reader) : reader_(std::move(reader)) {}
  Status build_weights(const ModelOptions& options);
  Status open_tokenizer();

  ModelReader reader_;
  const KernelTable* kernels_ = nullptr;
  Weights weights_;
  ResidentPlanes resident_;
  std::optional<Tokenizer> tokenizer_;
};

// default_kernels(), or kUsage that lists the levels there are when TRIT_ISA names another one.
Result<const KernelTable*> chosen_kernels();

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_MODEL_H_
