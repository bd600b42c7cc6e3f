// Chat formats against prompts that Jinja rendered (../shared/data/rendered), and the rules that no
// rendered file shows.
#include "runtime/text/chat_template.h"

#include <doctest/doctest.h>

#include "model_format/convert/hf_tokenizer.h"
#include "model_format/json.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"
#include "tests/text/tokenizers.h"

namespace trit {
namespace {

std::string text_of(const std::vector<ChatPart>& parts) {
  std::string text;
  for (const ChatPart& p : parts) text += p.text;
  return text;
}

std::string render(ChatFamily family, const std::vector<ChatMessage>& messages,
                   const ChatOptions& options = {}) {
  const auto parts = render_chat(family, messages, options);
  REQUIRE_MESSAGE(parts.ok(), parts.status().message());
  return text_of(parts.value());
}

// One conversation of one template of the manifest.
void check_rendered(JsonValue manifest, JsonValue entry, const std::string& name,
                    JsonValue result) {
  CAPTURE(name);
  const std::string templ = read_file(shared_data() + "/" + std::string(entry["file"].string()));
  const ChatFamily family = detect_chat_family(templ);
  REQUIRE(family != ChatFamily::kPlain);
  const JsonValue source = result["conversation"];
  const JsonValue conversation =
      manifest["conversations"][source.exists() ? source.string() : std::string_view(name)];
  std::vector<ChatMessage> messages;
  for (size_t i = 0; i < conversation.size(); ++i) {
    messages.push_back({conversation[i]["role"].string(), conversation[i]["content"].string()});
  }
  ChatOptions options;
  options.date = manifest["date_string"].string();
  options.bos = entry["bos_token"].string();
  options.eos = entry["eos_token"].string();
  if (result["options"]["enable_thinking"].exists()) options.reasoning = Reasoning::kOff;
  const auto parts = render_chat(family, messages, options);
  if (result["error"].exists()) {
    REQUIRE_FALSE(parts.ok());
    CHECK(parts.status().code() == Code::kUsage);
    return;
  }
  REQUIRE_MESSAGE(parts.ok(), parts.status().message());
  const std::string path = shared_data() + "/" + std::string(result["file"].string());
  CHECK(text_of(parts.value()) == read_file(path));
}

TEST_CASE("Every rendered template matches byte for byte") {
  if (shared_data().empty()) return skip("no shared data");
  const std::string text = read_file(shared_data() + "/rendered/manifest.json");
  const auto document = JsonDocument::parse(text, "manifest.json");
  REQUIRE(document.ok());
  const JsonValue manifest = document.value()->root(), templates = manifest["templates"];
  size_t rendered = 0;
  for (size_t t = 0; t < templates.size(); ++t) {
    CAPTURE(templates.key(t));
    const JsonValue results = templates[t]["rendered"];
    for (size_t i = 0; i < results.size(); ++i, ++rendered) {
      check_rendered(manifest, templates[t], std::string(results.key(i)), results[i]);
    }
  }
  CHECK(rendered == 43);
}

TEST_CASE("Families are recognised by the text of their templates") {
  const struct {
    const char* text;
    ChatFamily family;
  } cases[] = {
      {"", ChatFamily::kPlain},
      {"{{ messages[0].content }}", ChatFamily::kPlain},
      {"{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}", ChatFamily::kPlain},
      {"{{ '<|im_start|>' + role }}", ChatFamily::kChatMl},
      {"<|im_start|>system\nYou are a helpful AI assistant named SmolLM", ChatFamily::kChatMl},
      {"'<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud.", ChatFamily::kQwen25},
      {"<|im_start|> enable_thinking is false '<think>\\n\\n</think>'", ChatFamily::kQwen3},
      {"'<|start_header_id|>' 'Cutting Knowledge Date'", ChatFamily::kLlama31},
      {"{% set content = '<|start_header_id|>' + message['role'] %}", ChatFamily::kLlama3},
      {"'[INST] ' '<<SYS>>\\n'", ChatFamily::kLlama2},
      {"'[INST] ' + message['content'] + ' [/INST]'", ChatFamily::kLlama2},
      {"\"[INST]\" + message[\"content\"] + \"[/INST]\"", ChatFamily::kMistral},
      {"{% set content = message['role'] | capitalize + ': '+ message['content'] | trim + "
       "'<|eot_id|>' %}",
       ChatFamily::kBitNet},
  };
  for (const auto& c : cases) {
    CAPTURE(c.text);
    CHECK(detect_chat_family(c.text) == c.family);
  }
}

TEST_CASE("The shared templates are recognised, the story model's own as ChatML") {
  if (shared_data().empty()) return skip("no shared data");
  const struct {
    const char* file;
    ChatFamily family;
  } cases[] = {{"chatml", ChatFamily::kChatMl},       {"llama-2", ChatFamily::kLlama2},
               {"llama-3.1", ChatFamily::kLlama31},   {"llama-3.2", ChatFamily::kLlama31},
               {"qwen2.5", ChatFamily::kQwen25},      {"qwen3", ChatFamily::kQwen3},
               {"mistral-nemo", ChatFamily::kMistral}};
  for (const auto& c : cases) {
    const std::string path = shared_data() + "/templates/" + c.file + ".jinja";
    CHECK(detect_chat_family(read_file(path)) == c.family);
  }
  const std::string config =
      read_file(shared_data() + "/models/stories-qwen3-hf/tokenizer_config.json");
  const auto document = JsonDocument::parse(config, "tokenizer_config.json");
  REQUIRE(document.ok());
  const std::string_view own = document.value()->root()["chat_template"].string();
  CHECK(detect_chat_family(own) == ChatFamily::kChatMl);
  CHECK(render(ChatFamily::kChatMl, {{"system", "S"}, {"user", "U"}}) ==
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n");
}

TEST_CASE("BitNet and plain text name the roles in words") {
  const std::vector<ChatMessage> messages{
      {"system", " Be kind. "}, {"user", "Hi"}, {"assistant", "Hello"}, {"user", "Bye\n"}};
  ChatOptions options;
  options.bos = "<bos>";
  CHECK(render(ChatFamily::kBitNet, messages, options) ==
        "<bos>System: Be kind.<|eot_id|>User: Hi<|eot_id|>Assistant: Hello<|eot_id|>"
        "User: Bye<|eot_id|>Assistant: ");
  CHECK(render(ChatFamily::kPlain, messages, options) ==
        "<bos>Be kind.\n\nUser: Hi\nAssistant: Hello\nUser: Bye\nAssistant:");
}

TEST_CASE("Llama 3 before 3.1 has no dates and no system turn of its own") {
  ChatOptions options;
  options.bos = "<bos>";
  CHECK(render(ChatFamily::kLlama3, {{"system", "S"}, {"user", " U\n"}}, options) ==
        "<bos><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST_CASE("Qwen3 drops the thoughts of past answers and keeps those behind the last question") {
  const std::string open = "<|im_start|>assistant\n", thought = "<think>\n\nwhy\n</think>\n\nyes";
  CHECK(render(ChatFamily::kQwen3, {{"user", "a"}, {"assistant", thought}, {"user", "b"}}) ==
        "<|im_start|>user\na<|im_end|>\n" + open +
            "yes<|im_end|>\n<|im_start|>user\nb<|im_end|>\n" + open);
  CHECK(render(ChatFamily::kQwen3, {{"user", "a"}, {"assistant", thought}}) ==
        "<|im_start|>user\na<|im_end|>\n" + open + "<think>\nwhy\n</think>\n\nyes<|im_end|>\n" +
            open);
  CHECK(render(ChatFamily::kQwen3, {{"user", "a"}, {"assistant", "\nyes"}}) ==
        "<|im_start|>user\na<|im_end|>\n" + open + "<think>\n\n</think>\n\nyes<|im_end|>\n" + open);
  // An answer of a tool is no question.
  CHECK(render(ChatFamily::kQwen3, {{"user", "a"},
                                    {"assistant", thought},
                                    {"user", "<tool_response>x</tool_response>"}}) ==
        "<|im_start|>user\na<|im_end|>\n" + open + "<think>\nwhy\n</think>\n\nyes<|im_end|>\n" +
            "<|im_start|>user\n<tool_response>x</tool_response><|im_end|>\n" + open);
  ChatOptions off;
  off.reasoning = Reasoning::kOff;
  CHECK(render(ChatFamily::kQwen3, {{"user", "a"}}, off) ==
        "<|im_start|>user\na<|im_end|>\n" + open + "<think>\n\n</think>\n\n");
}

TEST_CASE("Trimming is Python's: Unicode white space and the separators of ASCII") {
  CHECK(render(ChatFamily::kChatMl, {{"user", " \u3000\x1C\u00A0x y\u2028\x1F\n"}}) ==
        "<|im_start|>user\nx y<|im_end|>\n<|im_start|>assistant\n");
  CHECK(render(ChatFamily::kChatMl, {{"user", "\u200Bx\xFF"}}) ==
        "<|im_start|>user\n\u200Bx\xFF<|im_end|>\n<|im_start|>assistant\n");
  ChatOptions options;
  options.bos = "<s>";
  CHECK(render(ChatFamily::kLlama2, {{"system", "S"}, {"user", " \n "}}, options) ==
        "<s>[INST] <<SYS>>\nS\n<</SYS>> [/INST]");
  CHECK(render(ChatFamily::kLlama2, {{"system", "S"}, {"user", " x "}}, options) ==
        "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\n x [/INST]");
}

TEST_CASE("Roles that do not fit are usage errors") {
  const struct {
    ChatFamily family;
    std::vector<ChatMessage> messages;
  } cases[] = {
      {ChatFamily::kQwen3, {}},
      {ChatFamily::kPlain, {{"tool", "x"}}},
      {ChatFamily::kLlama3, {{"User", "x"}}},
      {ChatFamily::kChatMl, {{"assistant", "x"}}},
      {ChatFamily::kChatMl, {{"user", "x"}, {"user", "y"}}},
      {ChatFamily::kLlama2, {{"user", "x"}, {"assistant", "y"}, {"assistant", "z"}}},
      {ChatFamily::kLlama2, {{"system", "x"}}},
      {ChatFamily::kMistral, {{"system", "x"}, {"assistant", "y"}}},
      {ChatFamily::kMistral, {{"user", "x"}, {"system", "y"}, {"user", "z"}}},
  };
  for (const auto& c : cases) {
    const auto parts = render_chat(c.family, c.messages, {});
    REQUIRE_FALSE(parts.ok());
    CHECK(parts.status().code() == Code::kUsage);
  }
}

TEST_CASE("No message content can become a special token, in any family") {
  SmallTokenizer small;
  std::string added;
  std::vector<std::string> controls{
      "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<|start_header_id|>",
      "<|eot_id|>",   "[INST]",     "[/INST]", "<s>",      "</s>"};
  for (size_t i = 0; i < controls.size(); ++i) {
    added += (i == 0 ? "" : ",") + std::string("{\"id\":") + std::to_string(256 + i) +
             ",\"content\":\"" + controls[i] + "\",\"special\":true}";
  }
  small.added = added;
  const LoadedTokenizer t = load_tokenizer(small.json());
  auto count_special = [&](ChatFamily family, const std::string& content) {
    ChatOptions options;
    options.bos = "<s>";
    options.eos = "</s>";
    const std::vector<ChatMessage> messages{
        {"system", content}, {"user", content}, {"assistant", content}, {"user", content}};
    const auto parts = render_chat(family, messages, options);
    REQUIRE(parts.ok());
    std::vector<TextPart> text;
    for (const ChatPart& p : parts.value()) text.push_back({p.text, p.from_template});
    std::vector<int32_t> ids;
    t.tokenizer.encode(text, false, &ids);
    CHECK(t.tokenizer.decode(ids, true) == text_of(parts.value()));
    size_t special = 0;
    for (const int32_t id : ids) special += t.tokenizer.is_special(id) ? 1 : 0;
    return special;
  };
  Random random{7};
  for (uint32_t family = 0; family <= static_cast<uint32_t>(ChatFamily::kBitNet); ++family) {
    const ChatFamily f = static_cast<ChatFamily>(family);
    const size_t expected = count_special(f, "x");
    for (int i = 0; i < 120; ++i) {
      std::string content = "x";
      for (uint32_t n = random.next(4); n > 0; --n) {
        const std::string& c = controls[random.next(static_cast<uint32_t>(controls.size()))];
        content += c.substr(random.next(2));
        content += c.substr(0, c.size() - random.next(2));
      }
      content += "x";
      if (f == ChatFamily::kQwen3 && content.find("</think>") != content.npos) continue;
      CHECK(count_special(f, content) == expected);
    }
  }
}

}  // namespace
}  // namespace trit
