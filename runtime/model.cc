// See model.h. Everything that can be wrong with a model is found here or in the reader.
#include "runtime/model.h"

#include <algorithm>
#include <cstdlib>

#include "model_format/verify.h"

namespace trit {

Result<const KernelTable*> chosen_kernels() {
  if (const KernelTable* table = default_kernels()) return table;
  const char* named = std::getenv("TRIT_ISA");
  std::string message = "TRIT_ISA: expected one of";
  uint32_t count = 0;
  const char* const* isas = available_isas(&count);
  for (uint32_t i = 0; i < count; ++i) message += std::string(" ") + isas[i];
  return Status(Code::kUsage, message + ", found " + quoted(named ? named : ""));
}

Status Model::open_tokenizer() {
  if (reader_.tokenizer().empty()) return Status();
  Result<Tokenizer> tokenizer =
      Tokenizer::open(reader_.tokenizer(), config().vocab, reader_.path());
  if (!tokenizer.ok()) return tokenizer.status();
  tokenizer_ = std::move(tokenizer.value());
  return Status();
}

Result<std::shared_ptr<const Model>> Model::open(const std::string& path,
                                                 const ModelOptions& options) {
  const KernelTable* kernels = options.kernels;
  if (!kernels) {
    Result<const KernelTable*> chosen = chosen_kernels();
    if (!chosen.ok()) return chosen.status();
    kernels = chosen.value();
  }
  if (options.verify) {
    const Result<VerifyReport> verified = verify_file(path, nullptr, options.io);
    if (!verified.ok()) return verified.status();
  }
  Result<ModelReader> reader = ModelReader::open(path, options.io);
  if (!reader.ok()) return reader.status();
  TRIT_RETURN_IF_ERROR(reader->check_base());
  std::shared_ptr<Model> model(new Model(std::move(reader.value())));
  model->kernels_ = kernels;
  Result<std::unique_ptr<PlaneStack>> planes = PlaneStack::open(model->reader_, options.planes);
  if (!planes.ok()) return planes.status();
  model->planes_ = std::move(planes.value());
  TRIT_RETURN_IF_ERROR(model->open_tokenizer());
  return std::shared_ptr<const Model>(std::move(model));
}

uint32_t Model::sampled_ids() const {
  return tokenizer_ ? std::min(tokenizer_->size(), config().vocab) : config().vocab;
}

bool Model::is_end_token(int32_t id) const {
  const std::vector<int32_t>& ends = config().end_tokens;
  return std::binary_search(ends.begin(), ends.end(), id);
}

Status Model::check_ids(Span<const int32_t> ids) const {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (static_cast<uint32_t>(ids[i]) < config().vocab) continue;
    return Status(Code::kUsage, "token " + std::to_string(i) + ": expected an id in [0, " +
                                    std::to_string(config().vocab) + "), found " +
                                    std::to_string(ids[i]));
  }
  return Status();
}

}  // namespace trit
