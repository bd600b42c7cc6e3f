// See hf_text.h.
#include "model_format/convert/hf_text.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "model_format/convert/hf_tokenizer.h"
#include "model_format/convert/json_fields.h"

namespace trit {
namespace {

// Tokens that end an answer in every model whose tokenizer has them, listed by the model or not.
constexpr const char* kEndTags[] = {"<|im_end|>", "<|endoftext|>",   "<|eot_id|>",
                                    "<|eom_id|>", "<|end_of_text|>", "<end_of_turn>"};

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

Result<std::string> read_text(const std::string& path) {
  auto file = MappedFile::open(path);
  if (!file.ok()) return file.status();
  return std::string(reinterpret_cast<const char*>(file->data()), file->size());
}

// generation_config.json; its end tokens are appended to *eos.
Status read_generation(const std::string& folder, GenerationDefaults* g,
                       std::vector<int32_t>* eos) {
  const std::string path = folder + "/generation_config.json";
  if (!exists(path)) return Status();
  auto file = JsonFile::open(path);
  if (!file.ok()) return file.status();
  JsonFields f = file->fields();
  const auto number = [&f](const char* key, double max) {
    return static_cast<float>(f.number_or(key, -1, 0, max));
  };
  g->do_sample = f.boolean_or("do_sample", true);
  g->temperature = number("temperature", 1000);
  g->top_p = number("top_p", 1);
  g->min_p = number("min_p", 1);
  g->repeat_penalty = number("repetition_penalty", 1000);
  if (f.has("top_k")) {  // 0 and -1 are both in use for "off", as are numbers past any vocabulary
    const int64_t k = f.integer("top_k", -1, INT32_MAX);
    g->top_k = static_cast<int32_t>(std::min<int64_t>(std::max<int64_t>(k, 0), kMaxVocab));
  }
  for (const int32_t id : f.integers("eos_token_id")) eos->push_back(id);
  return f.status();
}

// What tokenizer_config.json says.
struct TokenizerConfig {
  std::string eos;
  std::string chat_template;
};

// A token as a string or as {"content": string}.
std::string token_text(JsonFields* f, const char* key) {
  if (!f->value(key).is_object()) return f->text_or(key, "");
  JsonFields token = f->object(key);
  const std::string text = token.text_or("content", "");
  f->keep(token.status());
  return text;
}

// A template as a string or as a list of {name, template}, of which "default" or the first counts.
std::string template_text(JsonFields* f) {
  const JsonValue list = f->value("chat_template");
  if (!list.is_array()) return f->text_or("chat_template", "");
  JsonValue chosen;
  for (size_t i = 0; i < list.size(); ++i)
    if (!chosen.exists() || (list[i]["name"].is_string() && list[i]["name"].string() == "default"))
      chosen = list[i]["template"];
  if (chosen.is_string()) return std::string(chosen.string());
  f->fail(Code::kMalformed, "chat_template", "a string or a list of {name, template}",
          found_text(chosen));
  return "";
}

Result<TokenizerConfig> read_tokenizer_config(const std::string& folder) {
  TokenizerConfig config;
  const std::string path = folder + "/tokenizer_config.json";
  if (exists(path)) {
    auto file = JsonFile::open(path);
    if (!file.ok()) return file.status();
    JsonFields f = file->fields();
    config.eos = token_text(&f, "eos_token");
    config.chat_template = template_text(&f);
    TRIT_RETURN_IF_ERROR(f.status());
  }
  const std::string template_path = folder + "/chat_template.jinja";
  if (exists(template_path)) {
    auto text = read_text(template_path);
    if (!text.ok()) return text.status();
    config.chat_template = std::move(text.value());
  }
  return config;
}

// bos, eos and end_tokens of the model, from all the places that name them.
void settle_tokens(const TokenizerConfig& tokens, const std::vector<uint8_t>& tokenizer,
                   std::vector<int32_t> ends, ModelConfig* model,
                   std::vector<std::string>* warnings) {
  const auto find = [&](std::string_view text) {
    return tokenizer.empty() || text.empty() ? kNoToken : find_token(tokenizer, text);
  };
  if (!tokenizer.empty()) model->bos = section_bos(tokenizer);
  const int32_t named = find(tokens.eos);
  model->eos = named != kNoToken ? named : ends.empty() ? kNoToken : ends[0];
  ends.push_back(named);
  for (const char* tag : kEndTags) ends.push_back(find(tag));

  const int32_t vocab = static_cast<int32_t>(model->vocab);
  for (int32_t* id : {&model->bos, &model->eos})
    if (*id >= vocab) *id = kNoToken;
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  for (const int32_t id : ends) {
    if (id >= vocab)
      warnings->push_back("end token " + std::to_string(id) + " is not below vocab_size " +
                          std::to_string(vocab) + " and was left out");
    else if (id != kNoToken && model->end_tokens.size() < kMaxEndTokens)
      model->end_tokens.push_back(id);
  }
}

}  // namespace

Result<HfText> read_hf_text(const std::string& folder, HfConfig* config,
                            std::vector<std::string>* warnings) {
  HfText text;
  ModelConfig& model = config->model;
  std::vector<int32_t> ends = config->eos;
  TRIT_RETURN_IF_ERROR(read_generation(folder, &text.generation, &ends));
  auto tokens = read_tokenizer_config(folder);
  if (!tokens.ok()) return tokens.status();

  const std::string path = folder + "/tokenizer.json";
  if (exists(path)) {
    auto json = MappedFile::open(path);
    if (!json.ok()) return json.status();
    auto section = convert_tokenizer({reinterpret_cast<const char*>(json->data()), json->size()},
                                     path, model.vocab);
    if (!section.ok()) return section.status();
    text.tokenizer = std::move(section.value());
  } else {
    warnings->push_back("no tokenizer.json: the model takes token ids, not text" +
                        std::string(exists(folder + "/tokenizer.model")
                                        ? " (tokenizer.model is not read: save a fast tokenizer)"
                                        : ""));
  }
  settle_tokens(tokens.value(), text.tokenizer, std::move(ends), &model, warnings);
  text.chat_template = std::move(tokens->chat_template);
  model.chat_family = detect_chat_family(text.chat_template);
  if (!text.chat_template.empty() && model.chat_family == ChatFamily::kPlain)
    warnings->push_back("the chat template is none that is known: chat will use plain form");
  return text;
}

}  // namespace trit
