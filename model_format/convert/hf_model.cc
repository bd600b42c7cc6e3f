// See hf_model.h.
#include "model_format/convert/hf_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model_format/convert/architectures.h"
#include "model_format/head_sections.h"

namespace trit {
namespace {

// Finds tensors by role and remembers which were asked for.
class Binder {
 public:
  explicit Binder(HfModel* model)
      : model_(*model), config_(model->config.model), used_(model->tensors.tensors().size()) {}

  Status bind() {
    const Safetensors& tensors = model_.tensors;
    TRIT_RETURN_IF_ERROR(bind_matrix(MatrixRole::kEmbedding, 0));
    const Tensor* head = tensors.find(matrix_tensor(MatrixRole::kHead, 0) + ".weight");
    if (!config_.tied_head) {
      TRIT_RETURN_IF_ERROR(bind_matrix(MatrixRole::kHead, 0));
    } else if (head) {
      mark(*head);
      if (!same_values(*model_.matrices[0].tensor, *head))
        model_.warnings.push_back(
            "tie_word_embeddings is true, so lm_head.weight, which differs from the embedding, "
            "was left out");
    }
    for (uint32_t layer = 0; layer < config_.n_layers; ++layer)
      for (uint32_t r = static_cast<uint32_t>(MatrixRole::kQ); r < kMatrixRoles; ++r)
        TRIT_RETURN_IF_ERROR(bind_matrix(static_cast<MatrixRole>(r), layer));
    for (uint32_t r = 0; r < kVectorRoles; ++r) {
      const VectorRole role = static_cast<VectorRole>(r);
      const uint32_t layers = is_layer_role(role) ? config_.n_layers : 1;
      for (uint32_t layer = 0; layer < layers; ++layer)
        TRIT_RETURN_IF_ERROR(bind_vector(role, layer));
    }
    warn_of_unused();
    return Status();
  }

 private:
  void mark(const Tensor& t) {
    used_[static_cast<size_t>(&t - model_.tensors.tensors().data())] = true;
  }

  // The named tensor, or an error that says who needs it.
  Result<const Tensor*> require(const std::string& name, const std::string& hint) {
    const Tensor* t = model_.tensors.find(name);
    if (!t)
      return bad_field(Code::kMalformed,
                       model_.tensors.tensors().empty()
                           ? std::string("model.safetensors")
                           : model_.tensors.path_of(model_.tensors.tensors()[0]),
                       quoted(name), "header", "a tensor" + hint, "nothing");
    mark(*t);
    return t;
  }

  Status check_shape(const Tensor& t, const std::vector<uint64_t>& shape) const {
    if (t.shape == shape) return Status();
    return model_.tensors.bad_tensor(Code::kMalformed, t, "shape", shape_text(shape),
                                     shape_text(t.shape));
  }

  Status bind_matrix(MatrixRole role, uint32_t layer) {
    SourceMatrix m{role, layer, matrix_shape(config_, role), nullptr, TernaryForm::kNone, 0};
    if (is_layer_role(role)) m.ternary = model_.config.ternary;
    const std::string name = matrix_tensor(role, layer);
    auto tensor =
        require(name + ".weight",
                role == MatrixRole::kHead ? " (or tie_word_embeddings true in config.json)" : "");
    if (!tensor.ok()) return tensor.status();
    m.tensor = tensor.value();
    if (m.ternary == TernaryForm::kMultiply || m.ternary == TernaryForm::kDivide) {
      TRIT_RETURN_IF_ERROR(bind_packed(name, &m));
    } else {
      TRIT_RETURN_IF_ERROR(model_.tensors.check_readable(*m.tensor));
      TRIT_RETURN_IF_ERROR(check_shape(*m.tensor, {m.shape.rows, m.shape.cols}));
    }
    model_.matrices.push_back(m);
    return Status();
  }

  Status bind_packed(const std::string& name, SourceMatrix* m) {
    if (m->tensor->dtype != Dtype::kU8)
      return model_.tensors.bad_tensor(Code::kMalformed, *m->tensor, "dtype",
                                       "U8 (packed ternary weights)",
                                       quoted(m->tensor->dtype_name));
    TRIT_RETURN_IF_ERROR(check_shape(*m->tensor, {ceil_div(m->shape.rows, 4), m->shape.cols}));
    auto found = require(name + ".weight_scale", " (the scale of packed weights)");
    if (!found.ok()) return found.status();
    const Tensor& scale = *found.value();
    TRIT_RETURN_IF_ERROR(model_.tensors.check_readable(scale));
    if (scale.elements() != 1)
      return model_.tensors.bad_tensor(Code::kMalformed, scale, "shape", "one element",
                                       shape_text(scale.shape));
    float value = 0;
    TRIT_RETURN_IF_ERROR(model_.tensors.read(scale, 0, 1, 1, &value));
    m->scale = m->ternary == TernaryForm::kMultiply ? value : 1.0f / value;
    if (value > 0 && std::isfinite(m->scale) && m->scale > 0) return Status();
    return model_.tensors.bad_tensor(Code::kMalformed, scale, "[0]", "a positive scale",
                                     number_text(value));
  }

  Status bind_vector(VectorRole role, uint32_t layer) {
    const auto names = vector_tensors(role, layer);
    const auto there = std::find_if(names.begin(), names.end(), [this](const std::string& n) {
      return model_.tensors.find(n) != nullptr;
    });
    const std::string& name = there == names.end() ? names[0] : *there;
    if (!has_vector(config_, role)) {
      // Silently leaving a bias or a norm out would give another model.
      if (there == names.end()) return Status();
      return model_.tensors.bad_tensor(
          Code::kMalformed, *model_.tensors.find(name), "header",
          std::string("no ") + role_name(role) + " (so says config.json)", "it");
    }
    auto tensor = require(name, "");
    if (!tensor.ok()) return tensor.status();
    const uint32_t size = vector_size(config_, role);
    TRIT_RETURN_IF_ERROR(model_.tensors.check_readable(*tensor.value()));
    TRIT_RETURN_IF_ERROR(check_shape(*tensor.value(), {size}));
    VectorData vector{role, layer, std::vector<float>(size)};
    TRIT_RETURN_IF_ERROR(model_.tensors.read(*tensor.value(), 0, size, size, vector.values.data()));
    model_.vectors.push_back(std::move(vector));
    return Status();
  }

  // Compared piece by piece: an embedding need not fit in memory.
  bool same_values(const Tensor& a, const Tensor& b) const {
    if (a.dtype != b.dtype || a.shape != b.shape) return false;
    constexpr uint64_t kPiece = 1u << 20;
    const uint64_t count = a.elements();
    for (uint64_t at = 0; at < count; at += kPiece) {
      const uint64_t n = std::min(kPiece, count - at), size = a.bytes / count;
      const bool same = std::memcmp(model_.tensors.data(a) + at * size,
                                    model_.tensors.data(b) + at * size, n * size) == 0;
      model_.tensors.release(a, at, n);
      model_.tensors.release(b, at, n);
      if (!same) return false;
    }
    return true;
  }

  void warn_of_unused() {
    const auto& tensors = model_.tensors.tensors();
    size_t count = 0;
    std::string first;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (used_[i] || is_harmless_tensor(tensors[i].name)) continue;
      if (count++ == 0) first = quoted(tensors[i].name);
    }
    if (count > 0)
      model_.warnings.push_back("unused tensors: " + std::to_string(count) + ", the first is " +
                                first);
  }

  HfModel& model_;
  const ModelConfig& config_;
  std::vector<bool> used_;
};

}  // namespace

Result<HfModel> read_hf_model(const std::string& folder) {
  auto config = read_hf_config(folder);
  if (!config.ok()) return config.status();
  HfModel model;
  model.config = std::move(config.value());
  auto text = read_hf_text(folder, &model.config, &model.warnings);
  if (!text.ok()) return text.status();
  model.text = std::move(text.value());
  auto tensors = Safetensors::open(folder);
  if (!tensors.ok()) return tensors.status();
  model.tensors = std::move(tensors.value());
  TRIT_RETURN_IF_ERROR(Binder(&model).bind());
  return model;
}

}  // namespace trit
