// config.json to features and sizes: the architectures, the keys of both transformers generations,
// and everything that must be refused.
#include "model_format/convert/hf_config.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_checkpoint.h"

namespace trit {
namespace {

Result<HfConfig> read(const TinyCheckpoint& checkpoint) {
  const TempDir dir;
  checkpoint.write(dir.folder());
  return read_hf_config(dir.folder());
}

// A Llama config with one key set to `json` (empty: left out).
Result<HfConfig> read_with(const std::string& key, const std::string& json,
                           const std::string& architecture = "LlamaForCausalLM") {
  TinyCheckpoint checkpoint = tiny_checkpoint(architecture, 1);
  if (json.empty()) {
    checkpoint.config.erase(key);
  } else {
    checkpoint.config[key] = json;
  }
  return read(checkpoint);
}

struct BadValue {
  const char* key;
  const char* json;
  Code code;
  const char* message;
};

constexpr Code kMalformed = Code::kMalformed, kUnsupported = Code::kUnsupported;
constexpr BadValue kBadValues[] = {
    {"num_hidden_layers", "0", kMalformed, "$.num_hidden_layers: expected an integer in 1..1024"},
    {"num_hidden_layers", "-1", kMalformed, "found -1"},
    {"num_hidden_layers", "1.5", kMalformed, "found 1.5"},
    {"num_hidden_layers", "\"32\"", kMalformed, "found \"32\""},
    {"num_hidden_layers", "1e9", kMalformed, "found 1e9"},
    {"num_hidden_layers", "[]", kMalformed, "found an empty array"},
    {"num_hidden_layers", "", kMalformed, "found nothing"},
    {"num_hidden_layers", "null", kMalformed, "num_hidden_layers"},
    {"num_attention_heads", "0", kMalformed, "num_attention_heads"},
    {"num_attention_heads", "4294967296", kMalformed, "num_attention_heads"},
    {"num_key_value_heads", "3", kMalformed, "a divisor of num_attention_heads 4, found 3"},
    {"num_key_value_heads", "8", kMalformed, "a divisor of num_attention_heads 4, found 8"},
    {"num_key_value_heads", "0", kMalformed, "num_key_value_heads"},
    {"head_dim", "9", kMalformed, "even"},
    {"head_dim", "2048", kMalformed, "head_dim"},
    {"hidden_size", "0", kMalformed, "hidden_size"},
    {"hidden_size", "2147483648", kMalformed, "hidden_size"},
    {"hidden_size", "", kMalformed, "hidden_size"},
    {"intermediate_size", "0", kMalformed, "intermediate_size"},
    {"vocab_size", "2147483648", kMalformed, "vocab_size"},
    {"vocab_size", "0", kMalformed, "vocab_size"},
    {"vocab_size", "null", kMalformed, "vocab_size"},
    {"max_position_embeddings", "0", kMalformed, "max_position_embeddings"},
    {"max_position_embeddings", "1099511627776", kMalformed, "max_position_embeddings"},
    {"rms_norm_eps", "NaN", kMalformed, ""},
    {"rms_norm_eps", "0", kMalformed, "rms_norm_eps"},
    {"rms_norm_eps", "-1e-5", kMalformed, "rms_norm_eps"},
    {"rms_norm_eps", "1", kMalformed, "rms_norm_eps"},
    {"rms_norm_eps", "1e-400", kMalformed, "rms_norm_eps"},
    {"rms_norm_eps", "", kMalformed, "rms_norm_eps"},
    {"rope_theta", "1e400", kMalformed, ""},
    {"rope_theta", "Infinity", kMalformed, ""},
    {"eos_token_id", "-2", kMalformed, "eos_token_id"},
    {"eos_token_id", "[1, \"2\"]", kMalformed, "eos_token_id"},
    {"tie_word_embeddings", "1", kMalformed, "tie_word_embeddings"},
    {"architectures", "\"LlamaForCausalLM\"", kMalformed, "architectures"},
    {"architectures", "[]", kUnsupported, "found an empty array"},
    {"architectures", "[\"GPT2LMHeadModel\"]", kUnsupported, "one of LlamaForCausalLM"},
    {"architectures", "[\"\\u001b[31m\"]", kUnsupported, "\\x1b[31m"},
    {"architectures", "", kMalformed, "architectures"},
    {"hidden_act", "\"gelu\"", kUnsupported, "silu or relu2"},
    {"sliding_window", "4096", kUnsupported, "sliding_window"},
    {"num_local_experts", "8", kUnsupported, "num_local_experts"},
    {"num_experts", "8", kUnsupported, "num_experts"},
    {"layer_types", "[\"full_attention\", \"linear_attention\"]", kUnsupported, "layer_types"},
    {"quantization_config", "{\"quant_method\": \"gptq\"}", kUnsupported, "\"gptq\""},
    {"quantization_config", "{\"quant_method\": \"bitnet\", \"linear_class\": \"other\"}",
     kUnsupported, "\"other\""},
    {"rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2}", kUnsupported, "\"dynamic\""},
};

}  // namespace

TEST_CASE("values of config.json that cannot be are refused with their path, in one line") {
  for (const BadValue& bad : kBadValues) {
    CAPTURE(bad.key);
    CAPTURE(bad.json);
    const auto config = read_with(bad.key, bad.json);
    REQUIRE(!config.ok());
    const std::string& message = config.status().message();
    CAPTURE(message);
    CHECK(config.status().code() == bad.code);
    CHECK(message.find(bad.message) != std::string::npos);
    CHECK(message.find("config.json: ") != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
    CHECK(message.size() < 400);
  }
}

TEST_CASE("each architecture has its features") {
  const struct {
    const char* name;
    bool qkv_bias, qk_norm, sub_norm;
    Activation activation;
    TernaryForm ternary;
  } rows[] = {
      {"LlamaForCausalLM", false, false, false, Activation::kSilu, TernaryForm::kNone},
      {"MistralForCausalLM", false, false, false, Activation::kSilu, TernaryForm::kNone},
      {"Qwen2ForCausalLM", true, false, false, Activation::kSilu, TernaryForm::kNone},
      {"Qwen3ForCausalLM", false, true, false, Activation::kSilu, TernaryForm::kNone},
      {"BitNetForCausalLM", false, false, true, Activation::kRelu2, TernaryForm::kMultiply},
      {"BitnetForCausalLM", false, false, true, Activation::kRelu2, TernaryForm::kMultiply},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const auto config = read(tiny_checkpoint(row.name, 1));
    REQUIRE(config.ok());
    const ModelConfig& m = config->model;
    CHECK(m.architecture == row.name);
    CHECK(m.qkv_bias == row.qkv_bias);
    CHECK(m.qk_norm == row.qk_norm);
    CHECK(m.sub_norm == row.sub_norm);
    CHECK(m.activation == row.activation);
    CHECK(config->ternary == row.ternary);
    CHECK_FALSE(m.o_bias);
    CHECK_FALSE(m.ffn_bias);
    CHECK(m.tied_head);
    CHECK(m.n_layers == 2);
    CHECK(m.hidden == 40);
    CHECK(m.n_heads == 4);
    CHECK(m.n_kv_heads == 2);
    CHECK(m.head_dim == 10);
    CHECK(m.ffn == 72);
    CHECK(m.vocab == 100);
    CHECK(m.max_positions == 64);
    CHECK(m.norm_eps == 1e-5f);
    CHECK(m.rope_frequencies.size() == 5);
    CHECK(config->eos == std::vector<int32_t>{2});
  }
}

TEST_CASE("flags and defaults of config.json become features") {
  CHECK(read_with("attention_bias", "true")->model.qkv_bias);
  CHECK(read_with("attention_bias", "true")->model.o_bias);
  CHECK(read_with("mlp_bias", "true")->model.ffn_bias);
  CHECK(read_with("attention_bias", "null")->model.o_bias == false);
  CHECK(read_with("num_key_value_heads", "null")->model.n_kv_heads == 4);
  CHECK(read_with("head_dim", "")->model.head_dim == 10);
  CHECK(read_with("tie_word_embeddings", "")->model.tied_head == false);
  CHECK(read_with("hidden_act", "\"relu2\"")->model.activation == Activation::kRelu2);
  CHECK(read_with("eos_token_id", "[1, 2]")->eos == std::vector<int32_t>{1, 2});
  CHECK(read_with("eos_token_id", "null")->eos.empty());
  CHECK(read_with("architectures", "[\"Other\", \"Qwen3ForCausalLM\"]")->model.qk_norm);
}

TEST_CASE("without architectures the model type decides") {
  TinyCheckpoint checkpoint = tiny_checkpoint("LlamaForCausalLM", 1);
  checkpoint.config["architectures"] = "null";
  checkpoint.config["model_type"] = "\"qwen3\"";
  CHECK(read(checkpoint)->model.architecture == "Qwen3ForCausalLM");
  checkpoint.config["model_type"] = "\"gpt2\"";
  CHECK(read(checkpoint).status().code() == kUnsupported);
}

TEST_CASE("a sliding window counts only where the architecture uses it") {
  CHECK(read_with("sliding_window", "null", "MistralForCausalLM").ok());
  CHECK(read_with("sliding_window", "4096", "MistralForCausalLM").status().code() == kUnsupported);
  CHECK(read_with("sliding_window", "4096", "Qwen2ForCausalLM").ok());
  CHECK(read_with("use_sliding_window", "false", "Qwen2ForCausalLM").ok());
  CHECK(read_with("use_sliding_window", "true", "Qwen2ForCausalLM").status().code() ==
        kUnsupported);
}

TEST_CASE("heads need not divide the hidden size where head_dim is given") {
  CHECK(read_with("hidden_size", "50").ok());
  TinyCheckpoint checkpoint = tiny_checkpoint("LlamaForCausalLM", 1);
  checkpoint.config["hidden_size"] = "50";
  checkpoint.config.erase("head_dim");
  const Status status = read(checkpoint).status();
  CHECK(status.code() == kMalformed);
  CHECK(status.message().find("multiple of num_attention_heads 4") != std::string::npos);
}

TEST_CASE("the four ways ternary weights arrive are told apart") {
  const auto form = [](const std::string& json) {
    return read_with("quantization_config", json, "LlamaForCausalLM")->ternary;
  };
  CHECK(form("null") == TernaryForm::kNone);
  CHECK(form(R"({"quant_method": "bitnet"})") == TernaryForm::kDivide);
  CHECK(form(R"({"quant_method": "bitnet", "linear_class": "bitlinear"})") == TernaryForm::kDivide);
  CHECK(form(R"({"quant_method": "bitnet", "linear_class": "autobitlinear"})") ==
        TernaryForm::kMultiply);
  CHECK(form(R"({"quant_method": "bitnet", "linear_class": "autobitlinear",
                 "quantization_mode": "online"})") == TernaryForm::kOnline);
  CHECK(read_with("weight_bits", "1")->ternary == TernaryForm::kOnline);
}

TEST_CASE("a missing, cut or empty config.json is an error of its own kind") {
  const TempDir dir;
  CHECK(read_hf_config(dir.folder()).status().code() == Code::kIo);
  const std::string whole = [] {
    const TempDir other;
    tiny_checkpoint("LlamaForCausalLM", 1).write(other.folder());
    return read_file(other.path("config.json"));
  }();
  for (size_t size = 0; size + 2 < whole.size(); ++size) {
    write_file(dir.path("config.json"), whole.substr(0, size));
    CHECK(read_hf_config(dir.folder()).status().code() == kMalformed);
  }
  write_file(dir.path("config.json"), "[]");
  CHECK(read_hf_config(dir.folder()).status().code() == kMalformed);
}

TEST_CASE("config.json files of real models are understood") {
  if (shared_data().empty()) return skip("no shared data");
  const struct {
    const char* name;
    uint32_t layers, head_dim, vocab;
    bool tied;
  } rows[] = {
      {"BitNet-b1.58-2B-4T", 30, 128, 128256, true}, {"Llama-3-8B", 32, 128, 128256, false},
      {"Llama-3.2-1B", 16, 64, 128256, true},        {"Llama-3.2-3B", 28, 128, 128256, true},
      {"Qwen2.5-0.5B", 24, 64, 151936, true},        {"Qwen3-0.6B", 28, 128, 151936, true},
      {"Qwen3-1.7B", 28, 128, 151936, true},         {"Qwen3-4B", 36, 128, 151936, true},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const auto config = read_hf_config(shared_data() + "/configs/" + row.name);
    REQUIRE(config.ok());
    CHECK(config->model.name == row.name);
    CHECK(config->model.n_layers == row.layers);
    CHECK(config->model.head_dim == row.head_dim);
    CHECK(config->model.vocab == row.vocab);
    CHECK(config->model.tied_head == row.tied);
  }
}

}  // namespace trit
