// Tokens, chat templates and sampling defaults of a folder, from all the places that name them.
#include "model_format/convert/hf_text.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace trit {
namespace {

// Ids: 0 <unk>, 1 <s>, 2 </s>, 3 "a", 4 <|im_end|>. `bos`: a post-processor puts <s> first.
std::string tokenizer_json(bool bos) {
  std::string added;
  const char* const special[] = {"<unk>", "<s>", "</s>", nullptr, "<|im_end|>"};
  for (int id = 0; id < 5; ++id) {
    if (!special[id]) continue;
    added += (added.empty() ? "" : ",") + std::string(R"({"id":)") + std::to_string(id) +
             R"(,"content":")" + special[id] +
             R"(","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,)"
             R"("special":true})";
  }
  const std::string post = R"({"type":"TemplateProcessing","single":[)"
                           R"({"SpecialToken":{"id":"<s>","type_id":0}},)"
                           R"({"Sequence":{"id":"A","type_id":0}}],"pair":[],)"
                           R"("special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}})";
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[)" + added +
         R"(],"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},)"
         R"({"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"pre_tokenizer":null,)"
         R"("post_processor":)" +
         (bos ? post : "null") +
         R"(,"decoder":{"type":"Sequence","decoders":[)"
         R"({"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},)"
         R"({"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},)"
         R"("model":{"type":"BPE","dropout":null,"unk_token":"<unk>",)"
         R"("continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":true,)"
         R"("byte_fallback":true,"ignore_merges":false,)"
         R"("vocab":{"<unk>":0,"<s>":1,"</s>":2,"a":3},"merges":[]}})";
}

struct Folder {
  TempDir dir;
  HfConfig config;
  std::vector<std::string> warnings;

  Folder() { config.model.vocab = 10; }
  void file(const char* name, const std::string& text) { write_file(dir.path(name), text); }
  Result<HfText> read() { return read_hf_text(dir.folder(), &config, &warnings); }
};

}  // namespace

TEST_CASE("a folder with no text files converts with one warning") {
  Folder f;
  f.config.eos = {2};
  const auto text = f.read();
  REQUIRE(text.ok());
  CHECK(text->tokenizer.empty());
  CHECK(f.warnings.size() == 1);
  CHECK(f.config.model.bos == kNoToken);
  CHECK(f.config.model.eos == 2);
  CHECK(f.config.model.end_tokens == std::vector<int32_t>{2});
}

TEST_CASE("end tokens are those of all files and of the tokenizer's own end tags") {
  Folder f;
  f.config.eos = {7, 3};
  f.file("tokenizer.json", tokenizer_json(true));
  f.file("tokenizer_config.json", R"({"eos_token": {"content": "</s>"}, "bos_token": "<s>"})");
  f.file("generation_config.json", R"({"eos_token_id": [3, 9, 99]})");
  const auto text = f.read();
  REQUIRE_MESSAGE(text.ok(), text.status().message());
  CHECK(f.config.model.end_tokens == std::vector<int32_t>{2, 3, 4, 7, 9});
  CHECK(f.config.model.eos == 2);
  CHECK(f.config.model.bos == 1);
  CHECK(f.warnings ==
        std::vector<std::string>{"end token 99 is not below vocab_size 10 and was left out"});
}

TEST_CASE("BOS is a token only where tokenizer.json puts it first") {
  for (const bool post_processor : {true, false}) {
    Folder f;
    f.file("tokenizer.json", tokenizer_json(post_processor));
    f.file("tokenizer_config.json", R"({"bos_token": "<s>"})");
    REQUIRE(f.read().ok());
    CHECK(f.config.model.bos == (post_processor ? 1 : kNoToken));
    CHECK(f.config.model.eos == kNoToken);
  }
}

TEST_CASE("chat templates come as text, as a list, or as a file that wins") {
  Folder f;
  f.file("tokenizer_config.json", R"({"chat_template": "one"})");
  CHECK(f.read()->chat_template == "one");
  f.file("tokenizer_config.json",
         R"({"chat_template": [{"name": "tool_use", "template": "two"},
                               {"name": "default", "template": "three"}]})");
  CHECK(f.read()->chat_template == "three");
  f.file("tokenizer_config.json",
         R"({"chat_template": [{"name": "rag", "template": "four"}, {"name": "x"}]})");
  CHECK(f.read()->chat_template == "four");
  f.file("chat_template.jinja", "five\n");
  CHECK(f.read()->chat_template == "five\n");
  CHECK(f.config.model.chat_family == ChatFamily::kPlain);
  CHECK(f.warnings.back().find("plain form") != std::string::npos);
  f.file("tokenizer_config.json", R"({"chat_template": []})");
  CHECK(f.read().status().code() == Code::kMalformed);
}

TEST_CASE("sampling defaults are read, absent ones stay unset") {
  Folder f;
  CHECK(f.read()->generation.do_sample);
  f.file("generation_config.json",
         R"({"do_sample": false, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": null,
             "repetition_penalty": 1.1})");
  const GenerationDefaults g = f.read()->generation;
  CHECK_FALSE(g.do_sample);
  CHECK(g.temperature == 0.6f);
  CHECK(g.top_k == 20);
  CHECK(g.top_p == 0.95f);
  CHECK(g.min_p < 0);
  CHECK(g.repeat_penalty == 1.1f);
  f.file("generation_config.json", R"({"top_k": -1})");
  CHECK(f.read()->generation.top_k == 0);
}

TEST_CASE("impossible values in the text files are malformed and named") {
  const struct {
    const char* file;
    const char* json;
    const char* message;
  } cases[] = {
      {"generation_config.json", R"({"temperature": -1})", "$.temperature"},
      {"generation_config.json", R"({"temperature": "hot"})", "$.temperature"},
      {"generation_config.json", R"({"top_p": 1.5})", "$.top_p"},
      {"generation_config.json", R"({"top_k": 2.5})", "$.top_k"},
      {"generation_config.json", R"({"top_k": -2})", "$.top_k"},
      {"generation_config.json", R"({"eos_token_id": [-1]})", "$.eos_token_id"},
      {"generation_config.json", R"({"do_sample": 1})", "$.do_sample"},
      {"generation_config.json", R"({"temperature": NaN})", "generation_config.json"},
      {"generation_config.json", R"([])", "an object"},
      {"tokenizer_config.json", R"({"eos_token": 2})", "$.eos_token"},
      {"tokenizer_config.json", R"({"eos_token": {"content": 2}})", "$.eos_token.content"},
      {"tokenizer_config.json", R"({"chat_template": 1})", "$.chat_template"},
      {"tokenizer.json", "{", "tokenizer.json"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.json);
    Folder f;
    f.file(c.file, c.json);
    const Status status = f.read().status();
    CAPTURE(status.message());
    CHECK(status.code() == Code::kMalformed);
    CHECK(status.message().find(c.message) != std::string::npos);
  }
}

}  // namespace trit
