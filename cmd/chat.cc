// tritstack chat: a conversation in the model's own chat format. Uses only the public C API: each
// turn renders the whole conversation again and trit_session_prompt() keeps what the cache already
// holds. On a terminal there is a line editor and in-chat commands; elsewhere each line of standard
// input is a turn. Answers are all that is ever written to standard output.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/conversation.h"
#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/line_editor.h"
#include "cmd/common/memory_budget.h"
#include "cmd/common/model_flags.h"
#include "cmd/common/output.h"
#include "cmd/common/size_text.h"
#include "cmd/common/terminal.h"

namespace trit {

namespace {

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::optional<std::string> system, reasoning = "auto";
  std::optional<int64_t> max_tokens = -1;
  std::vector<std::string> stops;
  bool drop_oldest = false;
};

CommandLine command_line(ChatFlags* f) {
  const std::vector<Flag> own = {
      {"-sys, --system-prompt", "TEXT", "system message", TextTarget{&f->system, {}}},
      {"-n, --n-predict, --predict", "N", "most tokens per answer; -1: until it ends",
       IntegerTarget{&f->max_tokens, -1, INT32_MAX}},
      {"--stop", "TEXT", "end an answer before this text (repeatable)", ListTarget{&f->stops}},
      reasoning_flag(&f->reasoning),
      {"--drop-oldest", "", "when the context is full, forget the oldest turns and say so",
       SwitchTarget{&f->drop_oldest}},
  };
  return {"chat",
          "talk to a model; without a terminal each line of input is one turn; /help lists "
          "commands\n(a line that begins with / and is none: put a space before it)",
          "  tritstack chat -m qwen.trit\n"
          "  tritstack chat -m qwen.trit -sys 'You are brief.' --reasoning off\n"
          "  printf 'Tell me a story.\\n' | tritstack chat -m qwen.trit --temp 0\n",
          join_flags(join_flags(model_flags(&f->model), own), session_flags(&f->model),
                     sampling_flags(&f->sampling))};
}

std::string trimmed(const std::string& text) {
  constexpr const char* kBlank = " \t\r\n";
  const size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

class Chat;
struct ChatCommand {
  const char* name;
  const char* usage;
  const char* help;
  void (Chat::*act)(const std::string& argument);
};

class Chat {
 public:
  Chat(const ChatFlags& flags, trit_model* model, const trit_session* session,
       Conversation* conversation, bool terminal)
      : watch_(flags.model, model,
               terminal ? PressureWatch::Lines::kHeld : PressureWatch::Lines::kAtOnce),
        flags_(flags),
        model_(model),
        conversation_(conversation),
        terminal_(terminal),
        edits_lines_(terminal && has_cursor(STDERR_FILENO)),
        longest_line_(longest_message(trit_session_context(session))),
        reader_(terminal ? "> " : "", longest_line_) {
    if (flags.system) conversation_->set_system(without_nul(*flags.system));
  }

  // Reads turns until the input ends. Returns the exit code.
  int run();

 private:
  static const ChatCommand kCommands[];

  LineEnd read(std::string* line) { return edits_lines_ ? editor_.read(line) : reader_.read(line); }
  void refuse_long_line();
  bool take_command(const std::string& line);
  void answer();
  void after_answer(const Answer& answer);
  void leave(int code) {
    code_ = code;
    done_ = true;
  }

  void help(const std::string&);
  void exit(const std::string&) { leave(TRIT_OK); }
  void clear(const std::string&) {
    conversation_->clear();
    note("the conversation is forgotten");
  }
  void regenerate(const std::string&);
  void undo(const std::string&);
  void system(const std::string& text);
  void memory(const std::string& size);
  void planes(const std::string& count);
  void stats(const std::string&);
  void after_change(trit_status status);
  std::string in_use() const;

  PressureWatch watch_;
  ChatFlags flags_;
  trit_model* model_;
  Conversation* conversation_;
  const bool terminal_, edits_lines_;
  const size_t longest_line_;
  LineEditor editor_;
  LineReader reader_;
  int code_ = TRIT_OK;
  bool done_ = false;
};

const ChatCommand Chat::kCommands[] = {
    {"/help", "/help", "this list", &Chat::help},
    {"/exit", "/exit", "leave (or Ctrl-D)", &Chat::exit},
    {"/clear", "/clear", "forget the conversation", &Chat::clear},
    {"/regen", "/regen", "answer the last question again", &Chat::regenerate},
    {"/undo", "/undo", "take back the last question and its answer", &Chat::undo},
    {"/system", "/system TEXT", "set the system message (without TEXT: none)", &Chat::system},
    {"/memory", "/memory SIZE", "most memory from now on, such as 700M or auto", &Chat::memory},
    {"/planes", "/planes N", "most planes of each layer matrix from now on", &Chat::planes},
    {"/stats", "/stats", "tokens, speed, planes and memory in use", &Chat::stats},
};

int Chat::run() {
  std::string line;
  for (; !done_; forget_interrupt()) {
    watch_.show_held();
    const LineEnd end = read(&line);
    if (end == LineEnd::kEnd) break;
    if (end == LineEnd::kError) return fail_io("standard input", "read", errno);
    if (end == LineEnd::kInterrupt)
      return terminal_ ? TRIT_CANCELLED : fail(TRIT_CANCELLED, "interrupted");
    if (line.size() > longest_line_) {
      refuse_long_line();
      continue;
    }
    if (line.find_first_not_of(" \t\r\n") == std::string::npos || take_command(line)) continue;
    conversation_->add_question(without_nul(line));
    answer();
  }
  return code_;
}

void Chat::refuse_long_line() {
  Answer refused;
  refused.code = TRIT_LIMIT;
  refused.message = format("the message is longer than %zu bytes, the most that this context takes",
                           longest_line_);
  after_answer(refused);
}

// Whether the line was a command, or looks like one.
bool Chat::take_command(const std::string& line) {
  if (line[0] != '/') return false;
  const size_t space = std::min(line.find_first_of(" \t\n"), line.size());
  const std::string name = line.substr(0, space);
  std::vector<std::string_view> names;
  for (const ChatCommand& command : kCommands) {
    if (name == command.name) {
      (this->*command.act)(trimmed(line.substr(space)));
      return true;
    }
    names.emplace_back(command.name);
  }
  note("unknown command " + name + nearest_name(name, names) +
       "; a space before it makes it a message");
  return true;
}

void Chat::help(const std::string&) {
  for (const ChatCommand& command : kCommands)
    note(format("%-14s %s", command.usage, command.help));
  note(format("%-14s %s", "Ctrl-C", "stop an answer; clear a typed line; leave when it is empty"));
}

void Chat::regenerate(const std::string&) {
  if (!conversation_->drop_answer()) return note("there is no answer yet");
  answer();
}

void Chat::undo(const std::string&) {
  if (!conversation_->drop_answer()) return note("there is nothing to undo");
  conversation_->drop_question();
  note("the last question is taken back");
}

void Chat::system(const std::string& text) {
  conversation_->set_system(without_nul(text));
  note(text.empty() ? "there is no system message" : "the system message is set");
}

void Chat::memory(const std::string& size) {
  if (size.empty()) return note(in_use());
  uint64_t bytes = 0;
  const bool automatic = size == "auto";
  if (automatic) {
    trit_available_memory(nullptr, &bytes, nullptr, 0, nullptr);
  } else if (!parse_size(size, &bytes) || bytes == 0) {
    return note("/memory: expected a size such as 700M, 1.5G or auto, found '" + size + "'");
  }
  const trit_status status = trit_model_set_memory(model_, bytes);
  if (status == TRIT_OK) automatic ? watch_.start() : watch_.stop();
  after_change(status);
}

void Chat::planes(const std::string& count) {
  if (count.empty()) return note(in_use());
  int64_t planes = 0;
  if (!parse_integer(count, &planes) || planes < 1 || planes > kMostPlanes)
    return note("/planes: expected a number of planes, found '" + count + "'");
  const trit_status status =
      trit_model_set_planes(model_, static_cast<uint32_t>(planes),
                            static_cast<uint32_t>(flags_.model.head_planes.value_or(0)));
  if (status == TRIT_OK) flags_.model.planes = planes;
  after_change(status);
}

// Says what came of it once more planes, if any, are whole; a refused change changes nothing.
void Chat::after_change(trit_status status) {
  if (status == TRIT_OK) status = trit_model_settle(model_);
  if (status != TRIT_OK)
    note(trit_last_error());
  else
    note(in_use());
}

std::string Chat::in_use() const {
  const trit_model_info info = model_info(model_);
  return planes_in_use(flags_.model, info) + "; " + memory_in_use(info);
}

void Chat::stats(const std::string&) {
  note(conversation_->stats());
  note(in_use());
}

void Chat::answer() {
  Answer answer = conversation_->prepare();
  if (answer.dropped_turns > 0)
    note(format("the context is full: oldest turns forgotten: %d", answer.dropped_turns));
  if (answer.code == TRIT_OK) conversation_->generate(&answer);
  after_answer(answer);
}

void Chat::after_answer(const Answer& answer) {
  const bool stopped = answer.code == TRIT_CANCELLED;
  if (!flush_output()) return leave(TRIT_OK);  // main says why
  if (stopped && terminal_) return;
  if (answer.code == TRIT_OK) return;
  if (answer.code != TRIT_LIMIT || !terminal_) return leave(fail(answer.code, answer.message));
  note(answer.message);
}

}  // namespace

int chat_command(int argc, char** argv) {
  ChatFlags flags;
  if (const auto end = parse_args(command_line(&flags), argc, argv)) return *end;
  catch_interrupts();
  decide_memory(&flags.model);
  const bool terminal = is_terminal(STDIN_FILENO) && is_terminal(STDERR_FILENO);
  ModelHandle model;
  if (const int code = open_model(flags.model, &model)) return code;
  TokenIds none;  // a model without a tokenizer is refused now, not at the first line
  if (const trit_status s = tokenize(model.get(), "", 0, &none)) return fail(s);
  SessionHandle session;
  if (const int code = open_session(flags.model, model.get(), 0, &session)) return code;
  uint64_t seed = 0;
  if (const int code =
          set_sampling(flags.sampling, flags.model.verbose, model.get(), session.get(), &seed))
    return code;
  announce(flags.model, model.get(), session.get());
  Conversation conversation(model.get(), session.get(), parse_reasoning(*flags.reasoning),
                            static_cast<int32_t>(*flags.max_tokens), flags.stops,
                            flags.drop_oldest);
  if (terminal) {
    note(std::string(model_info(model.get()).name) +
         ": type a message; /help lists commands, Ctrl-D leaves");
  }
  return Chat(flags, model.get(), session.get(), &conversation, terminal).run();
}

}  // namespace trit
