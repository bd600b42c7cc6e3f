// An open model: its file, its stack of planes and its tokenizer. Shared by all sessions, in any
// threads; but for the planes in use it never changes. Not here: anything that a token changes.
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
#include "runtime/plane_stack.h"
#include "runtime/text/tokenizer.h"

namespace trit {

struct ModelOptions {
  PlaneOptions planes;
  IoMode io = IoMode::kAuto;
  bool verify = false;                   // hash every block first
  const KernelTable* kernels = nullptr;  // null: default_kernels()
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
  PlaneStack& planes() const { return *planes_; }
  // Of the set in use now.
  ResidentPlanes resident() const { return planes_->current()->resident; }
  // Null when the file was made without one.
  const Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }
  // Ids that may be sampled: those with a piece, all of the vocabulary without a tokenizer.
  uint32_t sampled_ids() const;
  bool is_end_token(int32_t id) const;
  // kUsage naming the first id that is not in [0, vocab).
  Status check_ids(Span<const int32_t> ids) const;
  // Made with --dense: no plane in it but those that came ternary.
  bool dense() const { return is_dense(reader_.matrices()[0].encoding); }
  bool dense_f32() const { return reader_.matrices()[0].encoding == Encoding::kDenseF32; }

 private:
  explicit Model(ModelReader reader) : reader_(std::move(reader)) {}
  Status open_tokenizer();

  ModelReader reader_;
  const KernelTable* kernels_ = nullptr;
  std::unique_ptr<PlaneStack> planes_;
  std::optional<Tokenizer> tokenizer_;
};

// default_kernels(), or kUsage that lists the levels there are when TRIT_ISA names another one.
Result<const KernelTable*> chosen_kernels();

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_MODEL_H_
