// See model.h. Everything that can be wrong with a model is found here or in the reader; what is
// handed out afterwards is only read.
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

// Turns blocks of the file into Matrix views, with as many planes as asked for and present.
class Model::PlaneViews {
 public:
  PlaneViews(const ModelReader& reader, const ModelOptions& options, ResidentPlanes* resident)
      : reader_(reader), options_(options), resident_(*resident) {
    first_block_.resize(reader.matrices().size() * kMaxPlanes, kMissing);
    for (size_t block = 0; block < reader.whole_blocks(); ++block) {
      const BlockInfo& info = reader.blocks()[block];
      first_block_[info.matrix * kMaxPlanes + info.plane] = block;
    }
  }

  // The planes asked for must hold the base of every matrix of their kind.
  Status check() const {
    uint32_t least_layers = 1, least_head = 1;
    for (const MatrixInfo& m : reader_.matrices()) {
      uint32_t& least = is_layer_role(m.role) ? least_layers : least_head;
      least = std::max(least, m.base_planes);
    }
    TRIT_RETURN_IF_ERROR(check_one("planes", options_.planes, least_layers));
    return check_one("head planes", options_.head_planes, least_head);
  }

  Matrix matrix(MatrixRole role, uint32_t layer) {
    const size_t index = reader_.matrix_index(role, layer);
    const MatrixInfo& info = reader_.matrices()[index];
    Matrix m;
    m.encoding = info.encoding;
    m.rows = info.rows;
    m.cols = info.cols;
    if (is_dense(info.encoding)) {
      m.dense = data(index, 0);
      count(info, 1, 0);
    } else {
      m.planes = view(info, index, planes_in_use(info, index));
      count(info, m.planes.planes, m.planes.planes);
    }
    return m;
  }

 private:
  static constexpr size_t kMissing = SIZE_MAX;

  Status check_one(const char* kind, uint32_t asked, uint32_t least) const {
    if (asked == 0 || asked >= least) return Status();
    return Status(Code::kUsage, reader_.path() + ": " + kind + ": expected at least " +
                                    std::to_string(least) + " (the base of this model), found " +
                                    std::to_string(asked));
  }

  const uint8_t* data(size_t matrix, uint32_t plane) const {
    return reader_.block_data(first_block_[matrix * kMaxPlanes + plane]);
  }

  uint32_t planes_in_use(const MatrixInfo& info, size_t index) const {
    const uint32_t asked = is_layer_role(info.role) ? options_.planes : options_.head_planes;
    const uint32_t most = asked == 0 ? info.planes : std::min(asked, info.planes);
    uint32_t planes = 0;
    while (planes < most && first_block_[index * kMaxPlanes + planes] != kMissing) ++planes;
    return planes;  // at least the base: the reader refuses a file cut inside it
  }

  TritView view(const MatrixInfo& info, size_t index, uint32_t planes) const {
    TritView v = {};
    v.rows = info.rows;
    v.cols = info.cols;
    v.group = info.group;
    v.planes = planes;
    v.encoding = info.encoding;
    v.prefix_factor = 1;
    for (uint32_t p = 0; p < planes; ++p) {
      const uint8_t* block = data(index, p);
      v.digits[p] = block + block_scale_bytes(info, p);
      if (info.encoding == Encoding::kFree || (info.encoding == Encoding::kTied && p == 0))
        v.scales[p] = reinterpret_cast<const uint16_t*>(block);
      if (info.encoding == Encoding::kNative) v.row_scales = reinterpret_cast<const float*>(block);
    }
    if (info.encoding == Encoding::kTied)
      for (uint32_t p = planes; p < info.planes; ++p) v.prefix_factor *= 3;
    return v;
  }

  void count(const MatrixInfo& info, uint32_t blocks, uint32_t planes) {
    uint32_t& most = is_layer_role(info.role) ? resident_.layers : resident_.head;
    most = std::max(most, planes);
    resident_.blocks += blocks;
    resident_.parameters += static_cast<uint64_t>(info.rows) * info.cols;
    // Of a separate embedding a token reads one row.
    if (info.role == MatrixRole::kEmbedding && !reader_.config().tied_head) return;
    for (uint32_t p = 0; p < blocks; ++p) resident_.weight_bytes += block_bytes(info, p);
  }

  const ModelReader& reader_;
  const ModelOptions& options_;
  ResidentPlanes& resident_;
  std::vector<size_t> first_block_;  // [matrix * kMaxPlanes + plane] index of the block
};

Status Model::build_weights(const ModelOptions& options) {
  PlaneViews views(reader_, options, &resident_);
  TRIT_RETURN_IF_ERROR(views.check());
  const auto vector = [&](VectorRole role, uint32_t layer) {
    const Span<const float> v = reader_.vector(role, layer);
    return v.empty() ? nullptr : v.data();
  };
  const auto linear = [&](MatrixRole role, uint32_t layer, VectorRole bias) {
    Matrix m = views.matrix(role, layer);
    m.bias = vector(bias, layer);
    return m;
  };
  weights_.embedding = views.matrix(MatrixRole::kEmbedding, 0);
  weights_.head = config().tied_head ? weights_.embedding : views.matrix(MatrixRole::kHead, 0);
  weights_.final_norm = vector(VectorRole::kFinalNorm, 0);
  weights_.layers.reserve(config().n_layers);
  for (uint32_t i = 0; i < config().n_layers; ++i) {
    LayerWeights layer;
    layer.attention_norm = vector(VectorRole::kAttentionNorm, i);
    layer.q = linear(MatrixRole::kQ, i, VectorRole::kQBias);
    layer.k = linear(MatrixRole::kK, i, VectorRole::kKBias);
    layer.v = linear(MatrixRole::kV, i, VectorRole::kVBias);
    layer.q_norm = vector(VectorRole::kQNorm, i);
    layer.k_norm = vector(VectorRole::kKNorm, i);
    layer.attention_sub_norm = vector(VectorRole::kAttentionSubNorm, i);
    layer.o = linear(MatrixRole::kO, i, VectorRole::kOBias);
    layer.ffn_norm = vector(VectorRole::kFfnNorm, i);
    layer.gate = linear(MatrixRole::kGate, i, VectorRole::kGateBias);
    layer.up = linear(MatrixRole::kUp, i, VectorRole::kUpBias);
    layer.ffn_sub_norm = vector(VectorRole::kFfnSubNorm, i);
    layer.down = linear(MatrixRole::kDown, i, VectorRole::kDownBias);
    weights_.layers.push_back(layer);
  }
  return Status();
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
    const Result<VerifyReport> verified = verify_file(path, nullptr);
    if (!verified.ok()) return verified.status();
  }
  Result<ModelReader> reader = ModelReader::open(path, options.io);
  if (!reader.ok()) return reader.status();
  TRIT_RETURN_IF_ERROR(reader->check_base());
  std::shared_ptr<Model> model(new Model(std::move(reader.value())));
  model->kernels_ = kernels;
  TRIT_RETURN_IF_ERROR(model->build_weights(options));
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
