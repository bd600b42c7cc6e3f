// tritstack tokenize: text to token ids and back, with a model's own tokenizer.
#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/memory_budget.h"
#include "cmd/common/model_flags.h"
#include "cmd/common/output.h"
#include "cmd/common/terminal.h"

namespace trit {

namespace {

void print_ids(const TokenIds& ids, bool json) {
  if (json) {
    JsonWriter out;
    out.begin_object().key("ids").begin_array();
    for (const int32_t id : ids) out.value(id);
    out.end_array().end_object();
    return print(out.text() + "\n");
  }
  for (size_t i = 0; i < ids.size(); ++i) print((i ? " " : "") + std::to_string(ids[i]));
  print("\n");
}

int decode(const trit_model* model, const std::string& list, unsigned flags, bool json) {
  TokenIds ids;
  const uint32_t vocab = model_info(model).vocab;
  if (const int code = parse_ids(list, "tokenize: --decode", TRIT_USAGE, vocab, &ids)) return code;
  std::string text;
  if (const trit_status s = detokenize(model, ids, flags, &text)) return fail(s);
  if (json) {
    JsonWriter out;
    print(out.begin_object().member("text", text).end_object().text() + "\n");
  } else if (is_terminal(1)) {
    print(safe_for_terminal(text) + "\n");
  } else {
    print(text);
  }
  return TRIT_OK;
}

}  // namespace

int tokenize_command(int argc, char** argv) {
  ModelFlags flags;
  std::optional<std::string> prompt, file, ids_to_decode;
  bool special = false, bos = false, json = false;
  const CommandLine command = {
      "tokenize", "turn text into token ids and back",
      "  tritstack tokenize -m qwen.trit -p 'Hello world'\n"
      "  tritstack tokenize -m qwen.trit -f text.txt\n"
      "  tritstack tokenize -m qwen.trit --decode 9707,1879\n",
      join_flags(
          model_flags(&flags),
          {{"-p, --prompt", "TEXT", "the text", TextTarget{&prompt, {}}},
           {"-f, --file", "FILE", "the bytes of a file (-: standard input)", TextTarget{&file, {}}},
           {"--special", "", "special tokens are recognised, and shown by --decode",
            SwitchTarget{&special}},
           {"--bos", "", "put the BOS token first, if the model has one", SwitchTarget{&bos}},
           {"--decode", "IDS", "print the text of ids such as 1,2,3",
            TextTarget{&ids_to_decode, {}}},
           {"--json", "", "print one JSON object", SwitchTarget{&json}}})};
  if (const auto end = parse_args(command, argc, argv)) return *end;
  if (prompt.has_value() + file.has_value() + ids_to_decode.has_value() != 1)
    return fail(TRIT_USAGE, "tokenize: expected exactly one of -p TEXT, -f FILE and --decode IDS");

  ModelHandle model;
  if (const int code = open_model(flags, &model)) return code;
  const unsigned special_flag = special ? unsigned{TRIT_PARSE_SPECIAL} : 0u;
  if (ids_to_decode) return decode(model.get(), *ids_to_decode, special_flag, json);
  std::string text = prompt.value_or("");
  if (file) {
    if (const int code = read_in_budget(*file, UINT64_MAX, flags, &text)) return code;
  }
  TokenIds ids;
  const unsigned bos_flag = bos ? unsigned{TRIT_ADD_BOS} : 0u;
  if (const trit_status s = tokenize(model.get(), text, special_flag | bos_flag, &ids))
    return fail(s);
  print_ids(ids, json);
  return TRIT_OK;
}

}  // namespace trit
