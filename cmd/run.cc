// tritstack run: one prompt, one completion on stdout and nothing else there. Uses only the public
// C API. Running out of context is exit 7, after what came until then has been printed.
#include <poll.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/memory_budget.h"
#include "cmd/common/model_flags.h"
#include "cmd/common/output.h"
#include "cmd/common/terminal.h"
#include "cmd/common/timings.h"

namespace trit {

namespace {

struct RunOptions {
  ModelFlags model;
  SamplingFlags sampling;
  std::optional<std::string> prompt, file, tokens, system, reasoning = "auto";
  std::optional<int64_t> max_tokens = -1;
  std::vector<std::string> stops;
  bool chat = false, special = false, ignore_end = false, json = false;
};

CommandLine command_line(RunOptions* o) {
  const std::vector<Flag> own = {
      {"-p, --prompt", "TEXT", "the prompt; piped input is appended (</dev/null: none)",
       TextTarget{&o->prompt, {}}},
      {"-f, --file", "FILE",
       "read the prompt from a file (-: standard input); over 16K a byte counts 34 in --memory",
       TextTarget{&o->file, {}}},
      {"--tokens", "IDS", "token ids such as 1,2,3 as the prompt; ids come out",
       TextTarget{&o->tokens, {}}},
      {"-n, --n-predict, --predict", "N", "most tokens to write; -1: until the end",
       IntegerTarget{&o->max_tokens, -1, INT32_MAX}},
      {"--stop", "TEXT", "end before this text (repeatable)", ListTarget{&o->stops}},
      {"--chat", "", "put the prompt into the model's chat format", SwitchTarget{&o->chat}},
      {"-sys, --system-prompt", "TEXT", "system message for --chat", TextTarget{&o->system, {}}},
      reasoning_flag(&o->reasoning),
      {"--special", "", "special tokens in the prompt are recognised", SwitchTarget{&o->special}},
      {"--ignore-eos", "", "go on past end tokens", SwitchTarget{&o->ignore_end}},
      {"--json", "", "print one JSON object at the end", SwitchTarget{&o->json}},
  };
  return {"run",
          "complete one prompt; only the completion is written to standard output, "
          "with no newline added unless it is a terminal",
          "  tritstack run -m qwen.trit -p 'Once upon a time' -n 64\n"
          "  cat notes.txt | tritstack run -m qwen.trit --chat -p 'Summarise this: '\n"
          "  tritstack run -m qwen.trit --tokens 1,2,3 -n 8 --temp 0\n",
          join_flags(join_flags(model_flags(&o->model), own), session_flags(&o->model),
                     sampling_flags(&o->sampling))};
}

int check(const RunOptions& o) {
  if (o.tokens && (o.prompt || o.file || o.chat))
    return fail(TRIT_USAGE, "run: --tokens goes without -p, -f and --chat");
  if (!o.chat && (o.system || *o.reasoning != "auto"))
    return fail(TRIT_USAGE, "run: -sys and --reasoning go with --chat");
  if (o.chat && o.special) return fail(TRIT_USAGE, "run: --special goes without --chat");
  if (!o.tokens && !o.prompt && !o.file && !stdin_is_piped())
    return fail(TRIT_USAGE, "run: missing -p TEXT, -f FILE or --tokens IDS");
  return TRIT_OK;
}

int read_prompt(const RunOptions& o, std::string* prompt) {
  if (o.tokens) return TRIT_OK;
  *prompt = o.prompt.value_or("");
  if (o.file) {
    if (const int code = read_in_budget(*o.file, UINT64_MAX, o.model, prompt)) return code;
  }
  if (o.file == "-" || !stdin_is_piped()) return TRIT_OK;
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  if (!prompt->empty() && poll(&input, 1, 1000) == 0)
    note("waiting for standard input, which is appended to the prompt; </dev/null: nothing is");
  return read_in_budget("-", UINT64_MAX, o.model, prompt);
}

int tokenize_prompt(const RunOptions& o, std::string prompt, const trit_model* model,
                    TokenIds* ids) {
  if (o.tokens)
    return parse_ids(*o.tokens, "run: --tokens", TRIT_USAGE, model_info(model).vocab, ids);
  if (!o.chat) {
    const unsigned special = o.special ? unsigned{TRIT_PARSE_SPECIAL} : 0u;
    const trit_status s = tokenize(model, prompt, TRIT_ADD_BOS | special, ids);
    return s ? fail(s) : TRIT_OK;
  }
  std::vector<trit_message> messages;
  if (o.system) messages.push_back({"system", o.system->c_str()});
  prompt = without_nul(prompt);
  messages.push_back({"user", prompt.c_str()});
  trit_chat_options chat;
  trit_chat_options_init(&chat);
  chat.reasoning = parse_reasoning(*o.reasoning);
  const trit_status s = tokenize_chat(model, messages, chat, ids);
  return s ? fail(s) : TRIT_OK;
}

// What the callback does with each token: prints it, or keeps it for --json.
struct Completion {
  const RunOptions& options;
  const bool terminal = is_terminal(STDOUT_FILENO);
  std::string text = {};
  TokenIds ids = {};

  bool take(std::string_view piece, int32_t id) {
    if (!options.json) {
      if (options.tokens)
        print((ids.empty() ? "" : " ") + std::to_string(id));
      else
        print(terminal ? safe_for_terminal(piece) : std::string(piece));
    }
    text += piece;
    ids.push_back(id);
    return flush_output() && !interrupted();
  }
};

int on_text(const char* text, size_t bytes, int32_t id, void* user) {
  return static_cast<Completion*>(user)->take({text, bytes}, id) ? 0 : 1;
}

const char* stop_name(trit_stop stop) {
  switch (stop) {
    case TRIT_STOP_END:
      return "end";
    case TRIT_STOP_TEXT:
      return "text";
    case TRIT_STOP_COUNT:
      return "count";
    case TRIT_STOP_CONTEXT:
      return "context";
    case TRIT_STOP_CALLBACK:
    case TRIT_STOP_CANCELLED:
      return "cancelled";
  }
  return "";
}

void print_json(const Completion& c, trit_stop stop, const Timings& timings, uint64_t seed) {
  JsonWriter out;
  out.begin_object().member("text", c.text).key("ids").begin_array();
  for (const int32_t id : c.ids) out.value(id);
  out.end_array().member("prompt_tokens", uint64_t{timings.prompt_tokens});
  out.member("prompt_seconds", timings.prompt_seconds);
  out.member("answer_seconds", timings.answer_seconds);
  out.member("stop", stop_name(stop)).member("seed", seed).end_object();
  print(out.text() + "\n");
}

int complete(const RunOptions& o, const trit_model* model, trit_session* session, Timings timings,
             uint64_t seed) {
  std::vector<const char*> stops;
  for (const std::string& stop : o.stops) stops.push_back(stop.c_str());
  trit_generate_options options;
  trit_generate_options_init(&options);
  options.max_tokens = static_cast<int32_t>(*o.max_tokens);
  options.stops = stops.data();
  options.stop_count = stops.size();
  options.ignore_end = o.ignore_end;
  Completion completion{o};
  trit_generate_result result = {};
  result.struct_size = sizeof result;
  const Stopwatch time;
  const trit_status s = trit_session_generate(session, &options, on_text, &completion, &result);
  timings.answer_tokens = result.tokens;
  timings.answer_seconds = time.seconds();
  if (o.json) {
    if (s == TRIT_OK || s == TRIT_CANCELLED) print_json(completion, result.stop, timings, seed);
  } else if (o.tokens ||
             (completion.terminal && !completion.text.empty() && completion.text.back() != '\n')) {
    print("\n");
  }
  if (!flush_output()) return TRIT_OK;  // main says why
  if (o.model.verbose) note(timings.text());
  if (interrupted()) return fail(TRIT_CANCELLED, "interrupted");
  if (s) return fail(s);
  const uint32_t context = trit_session_context(session);
  if (result.stop == TRIT_STOP_CONTEXT)
    return fail(TRIT_LIMIT, format("the context of %u tokens is full", context) +
                                larger_context(model, context));
  return TRIT_OK;
}

}  // namespace

int run_command(int argc, char** argv) {
  RunOptions options;
  if (const auto end = parse_args(command_line(&options), argc, argv)) return *end;
  if (const int code = check(options)) return code;
  catch_interrupts();
  decide_memory(&options.model);
  ModelHandle model;
  if (const int code = open_model(options.model, &model)) return code;
  std::string text;
  if (const int code = read_prompt(options, &text)) return code;
  if (const int code = set_aside(tokenizing_bytes(text), model.get(), &options.model)) return code;
  SessionHandle session;
  if (const int code = open_session(options.model, model.get(), 0, &session)) return code;
  TokenIds prompt;
  if (const int code = tokenize_prompt(options, std::move(text), model.get(), &prompt)) return code;
  if (prompt.empty()) return fail(TRIT_USAGE, "run: the prompt is empty");
  uint64_t seed = 0;
  if (const int code =
          set_sampling(options.sampling, options.model.verbose, model.get(), session.get(), &seed))
    return code;
  if (const int code = check_prompt(prompt, model.get(), session.get())) return code;
  if (options.model.aside > 0) {
    const uint64_t kept = prompt.size() * sizeof(int32_t);
    if (const int code = set_aside(kept, model.get(), &options.model)) return code;
  }
  announce(options.model, model.get(), session.get());
  PressureWatch watch(options.model, model.get(), PressureWatch::Lines::kAtOnce);
  if (interrupted()) return fail(TRIT_CANCELLED, "interrupted");
  const Stopwatch time;
  if (const trit_status s =
          trit_session_prefill(session.get(), prompt.data(), prompt.size(), nullptr))
    return fail(s);
  const Timings timings = {prompt.size(), 0, time.seconds(), 0};
  return complete(options, model.get(), session.get(), timings, seed);
}

}  // namespace trit
