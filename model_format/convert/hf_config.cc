// See hf_config.h.
#include "model_format/convert/hf_config.h"

#include <filesystem>

#include "model_format/convert/architectures.h"
#include "model_format/convert/json_fields.h"
#include "model_format/convert/rope.h"
#include "model_format/utf8.h"

namespace trit {
namespace {

constexpr double kMinNormEps = 1e-30, kMaxNormEps = 1e-2;

const Architecture* read_architecture(JsonFields* f) {
  const std::string known = "one of " + architecture_names();
  if (!f->has("architectures")) {
    const std::string type = f->text_or("model_type", "");
    const Architecture* row = find_model_type(type);
    if (type.empty()) f->fail(Code::kMalformed, "architectures", known, "nothing");
    if (!row) f->fail(Code::kUnsupported, "model_type", known, trit::quoted(type));
    return row;
  }
  const JsonValue names = f->value("architectures");
  if (!names.is_array()) {
    f->fail(Code::kMalformed, "architectures", "an array of names", found_text(names));
    return nullptr;
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const Architecture* row = names[i].is_string() ? find_architecture(names[i].string()) : nullptr;
    if (row) return row;
  }
  f->fail(Code::kUnsupported, "architectures", known,
          names.size() ? found_text(names[0]) : "an empty array");
  return nullptr;
}

// "num_attention_heads 8 / num_key_value_heads 3": both fields with both values.
void read_heads(JsonFields* f, ModelConfig* c) {
  c->n_heads = f->integer("num_attention_heads", 1, kMaxDim);
  c->n_kv_heads = f->integer_or("num_key_value_heads", c->n_heads, 1, kMaxDim);
  const std::string heads = "num_attention_heads " + std::to_string(c->n_heads);
  if (c->n_heads % c->n_kv_heads != 0)
    f->fail(Code::kMalformed, "num_key_value_heads", "a divisor of " + heads,
            std::to_string(c->n_kv_heads));
  if (f->has("head_dim")) {
    c->head_dim = f->integer("head_dim", 2, kMaxHeadDim);
  } else {
    if (c->hidden % c->n_heads != 0)
      f->fail(Code::kMalformed, "hidden_size",
              "a multiple of " + heads + " where there is no head_dim", std::to_string(c->hidden));
    c->head_dim = c->hidden / c->n_heads;
  }
  if (c->head_dim % 2 != 0 || c->head_dim < 2 || c->head_dim > kMaxHeadDim)
    f->fail(Code::kMalformed, "head_dim", "an even number in 2.." + std::to_string(kMaxHeadDim),
            std::to_string(c->head_dim));
  if (uint64_t{c->n_heads} * c->head_dim > kMaxDim)
    f->fail(Code::kMalformed, "num_attention_heads",
            "num_attention_heads * head_dim at most " + std::to_string(kMaxDim),
            std::to_string(c->n_heads) + " * " + std::to_string(c->head_dim));
}

void read_sizes(JsonFields* f, ModelConfig* c) {
  c->n_layers = f->integer("num_hidden_layers", 1, kMaxLayers);
  c->hidden = f->integer("hidden_size", 1, kMaxDim);
  read_heads(f, c);
  c->ffn = f->integer("intermediate_size", 1, kMaxDim);
  c->vocab = f->integer("vocab_size", 1, kMaxVocab);
  c->max_positions = f->integer("max_position_embeddings", 1, kMaxContext);
  c->norm_eps = static_cast<float>(f->number("rms_norm_eps", kMinNormEps, kMaxNormEps));
}

void read_features(JsonFields* f, const Architecture& a, ModelConfig* c) {
  const auto has = [](When when, bool flag) {
    return when == When::kAlways || (when == When::kFlag && flag);
  };
  const bool attention_bias = f->boolean_or("attention_bias", false);
  c->qkv_bias = has(a.qkv_bias, attention_bias);
  c->o_bias = has(a.o_bias, attention_bias);
  c->ffn_bias = has(a.ffn_bias, f->boolean_or("mlp_bias", false));
  c->qk_norm = a.qk_norm;
  c->sub_norm = a.sub_norm;
  c->tied_head = f->boolean_or("tie_word_embeddings", false);
  c->activation = a.activation;
  if (f->has("hidden_act")) {
    const std::string act = f->text_or("hidden_act", "");
    c->activation = act == "relu2" ? Activation::kRelu2 : Activation::kSilu;
    if (act != "silu" && act != "relu2")
      f->fail(Code::kUnsupported, "hidden_act", "silu or relu2", trit::quoted(act));
  }
}

// What would change the model and is not built.
void refuse_unsupported(JsonFields* f, const Architecture& a) {
  for (const char* key : {"num_local_experts", "num_experts", "n_routed_experts",
                          "num_experts_per_tok", "moe_intermediate_size"})
    if (f->has(key))
      f->fail(Code::kUnsupported, key, "no experts (mixtures of experts are not supported)",
              found_text(f->value(key)));
  const bool window_on = f->boolean_or("use_sliding_window", false);
  if (window_on || (a.window == When::kAlways && f->has("sliding_window")))
    f->fail(Code::kUnsupported, window_on ? "use_sliding_window" : "sliding_window",
            "no sliding window",
            found_text(f->value(window_on ? "use_sliding_window" : "sliding_window")));
  const JsonValue layers = f->value("layer_types");
  for (size_t i = 0; i < layers.size(); ++i)
    if (!layers[i].is_string() || layers[i].string() != "full_attention")
      f->fail(Code::kUnsupported, "layer_types", "full_attention", found_text(layers[i]));
}

TernaryForm read_ternary(JsonFields* f) {
  if (!f->has("quantization_config")) {
    // 1bitLLM's first models say it with a key of their own.
    const bool one_bit = f->integer_or("weight_bits", 0, 0, 64) == 1;
    return one_bit ? TernaryForm::kOnline : TernaryForm::kNone;
  }
  JsonFields q = f->object("quantization_config");
  TernaryForm form = TernaryForm::kNone;
  const std::string method = q.text_or("quant_method", "");
  const std::string mode = q.text_or("quantization_mode", "offline");
  const std::string linear = q.text_or("linear_class", "bitlinear");
  if (method != "bitnet") {
    q.fail(Code::kUnsupported, "quant_method",
           "bitnet (quantize from the original weights instead)", trit::quoted(method));
  } else if (q.boolean_or("use_rms_norm", false)) {
    q.fail(Code::kUnsupported, "use_rms_norm", "false", "true");
  } else if (mode == "online") {
    form = TernaryForm::kOnline;
  } else if (mode != "offline") {
    q.fail(Code::kUnsupported, "quantization_mode", "offline or online", trit::quoted(mode));
  } else if (linear == "autobitlinear") {
    form = TernaryForm::kMultiply;
  } else if (linear == "bitlinear") {
    form = TernaryForm::kDivide;
  } else {
    q.fail(Code::kUnsupported, "linear_class", "autobitlinear or bitlinear", trit::quoted(linear));
  }
  f->keep(q.status());
  return form;
}

std::string folder_name(const std::string& folder) {
  std::error_code ignored;
  std::filesystem::path path = std::filesystem::weakly_canonical(folder, ignored);
  const std::string name =
      path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  return is_utf8(name) ? name : "model";
}

}  // namespace

Result<HfConfig> read_hf_config(const std::string& folder) {
  return read_hf_config_file(folder + "/config.json", folder_name(folder));
}

Result<HfConfig> read_hf_config_file(const std::string& path, const std::string& name) {
  auto file = JsonFile::open(path);
  if (!file.ok()) return file.status();
  JsonFields f = file->fields();
  TRIT_RETURN_IF_ERROR(f.status());
  const Architecture* architecture = read_architecture(&f);
  TRIT_RETURN_IF_ERROR(f.status());

  HfConfig config;
  ModelConfig& model = config.model;
  model.name = name;
  model.architecture = architecture->name;
  refuse_unsupported(&f, *architecture);
  read_sizes(&f, &model);
  TRIT_RETURN_IF_ERROR(f.status());  // the rest computes with sizes
  read_features(&f, *architecture, &model);
  read_rope(&f, &model);
  config.ternary = read_ternary(&f);
  config.eos = f.integers("eos_token_id");
  TRIT_RETURN_IF_ERROR(f.status());
  return config;
}

}  // namespace trit
