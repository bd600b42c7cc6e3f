// See args.h.
#include "cmd/common/args.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "cmd/common/error.h"
#include "cmd/common/output.h"
#include "cmd/common/size_text.h"
#include "model_format/file_layout.h"
#include "model_format/status.h"

namespace trit {

namespace {

constexpr size_t kHelpColumn = 34;

std::vector<std::string_view> split_names(std::string_view names) {
  std::vector<std::string_view> list;
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = std::min(names.find(", ", begin), names.size());
    list.push_back(names.substr(begin, end - begin));
    begin = end + 2;
  }
  return list;
}

bool is_positional(const Flag& flag) {
  return flag.names[0] != '-';
}

int usage_error(const CommandLine& command, const std::string& what) {
  return fail(TRIT_USAGE, std::string(command.name) + ": " + what + " (see tritstack " +
                              command.name + " --help)");
}

// One overload per target: reads `text`, or says what it expected.
bool assign(const SwitchTarget& target, std::string_view, std::string*) {
  return *target.value = true;
}

bool assign(const IntegerTarget& target, std::string_view text, std::string* expected) {
  int64_t value = 0;
  *expected = "an integer from " + std::to_string(target.min) + " to " + std::to_string(target.max);
  if (!parse_integer(text, &value) || value < target.min || value > target.max) return false;
  *target.value = value;
  return true;
}

bool assign(const NumberTarget& target, std::string_view text, std::string* expected) {
  double value = 0;
  *expected = format("a number from %g to %g", target.min, target.max);
  if (!parse_number(text, &value) || value < target.min || value > target.max) return false;
  *target.value = value;
  return true;
}

bool assign(const SizeTarget& target, std::string_view text, std::string* expected) {
  uint64_t value = 0;
  *expected = "a size such as 700M, 1.5G, 900MiB or a number of bytes";
  if (target.automatic && text == "auto") {
    target.value->reset();
    return true;
  }
  if (target.automatic) *expected += ", or auto";
  if (!parse_size(text, &value) || value == 0) return false;
  *target.value = value;
  return true;
}

bool assign(const TextTarget& target, std::string_view text, std::string* expected) {
  *expected = "one of";
  for (const std::string& choice : target.choices) *expected += " " + choice;
  const auto& choices = target.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end())
    return false;
  *target.value = std::string(text);
  return true;
}

bool assign(const ListTarget& target, std::string_view text, std::string* expected) {
  *expected = "a text that is not empty";
  if (text.empty()) return false;
  target.values->emplace_back(text);
  return true;
}

const std::optional<std::string>* text_of(const Flag& flag) {
  const auto* target = std::get_if<TextTarget>(&flag.target);
  return target ? target->value : nullptr;
}

std::string default_text(const Flag& flag) {
  if (const auto* t = std::get_if<IntegerTarget>(&flag.target); t && t->value->has_value())
    return std::to_string(**t->value);
  if (const auto* t = std::get_if<NumberTarget>(&flag.target); t && t->value->has_value())
    return format("%g", **t->value);
  if (const auto* t = std::get_if<SizeTarget>(&flag.target); t && t->value->has_value())
    return std::to_string(**t->value);
  if (const auto* t = std::get_if<TextTarget>(&flag.target); t && t->value->has_value())
    return **t->value;
  return "";
}

void print_help(const CommandLine& command) {
  print(std::string("tritstack ") + command.name + ": " + command.summary + "\n\nexamples:\n" +
        command.examples + "\nflags:\n");
  for (const Flag& flag : command.flags) {
    std::string line = std::string("  ") + flag.names;
    if (*flag.value) line += std::string(" ") + flag.value;
    if (line.size() + 1 >= kHelpColumn) {
      print(line + "\n");
      line.clear();
    }
    line.resize(kHelpColumn, ' ');
    line += flag.help;
    if (flag.required) line += " (required)";
    const std::string value = default_text(flag);
    if (!value.empty()) line += " (default " + value + ")";
    print(line + "\n");
  }
  print("  -h, --help                      this text\n");
  print("  --version                       version, format and kernels of this build\n");
}

// Walks argv once; every step either assigns a value or ends with an error.
class ArgumentWalk {
 public:
  ArgumentWalk(const CommandLine& command, int argc, char** argv)
      : command_(command), argc_(argc), argv_(argv) {
    for (const Flag& flag : command.flags) {
      if (is_positional(flag)) positional_.push_back(&flag);
    }
  }

  std::optional<int> run() {
    while (next_ < argc_) {
      const std::string_view word = argv_[next_++];
      std::optional<int> end;
      if (flags_ended_ || word == "-" || word.substr(0, 1) != "-") {
        end = take_positional(word);
      } else if (word == "--") {
        flags_ended_ = true;
      } else if (word == "-h" || word == "--help") {
        print_help(command_);
        return TRIT_OK;
      } else if (word == "--version") {
        return argc_ == 2 ? print_version() : usage_error(command_, "--version goes alone");
      } else {
        end = take_flag(word);
      }
      if (end) return end;
    }
    return check_required();
  }

 private:
  std::optional<int> set(const Flag& flag, std::string_view name, std::string_view text) {
    std::string expected;
    if (std::visit([&](const auto& t) { return assign(t, text, &expected); }, flag.target))
      return std::nullopt;
    return usage_error(command_,
                       std::string(name) + ": expected " + expected + ", found " + quoted(text));
  }

  std::optional<int> take_positional(std::string_view word) {
    if (positional_.empty()) return usage_error(command_, "unexpected argument " + quoted(word));
    const Flag& flag = *positional_.front();
    positional_.erase(positional_.begin());
    if (const auto* text = text_of(flag)) {
      if (*text) return usage_error(command_, "unexpected argument " + quoted(word));  // a flag's
      in_place_.push_back(text);
    }
    return set(flag, flag.names, word);
  }

  std::optional<int> take_flag(std::string_view word) {
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const Flag* flag = find(name);
    if (!flag) {
      return usage_error(command_, "unknown flag " + quoted(name) + nearest_name(name, known_));
    }
    if (std::find(in_place_.begin(), in_place_.end(), text_of(*flag)) != in_place_.end())
      return usage_error(command_, std::string(name) + ": " + flag->value + " was given before");
    const bool is_switch = std::holds_alternative<SwitchTarget>(flag->target);
    if (equals != std::string_view::npos) {
      if (is_switch) return usage_error(command_, std::string(name) + " takes no value");
      return set(*flag, name, word.substr(equals + 1));
    }
    if (is_switch) return set(*flag, name, "");
    if (next_ == argc_)
      return usage_error(command_, std::string(name) + ": missing its value " + flag->value);
    return set(*flag, name, argv_[next_++]);
  }

  const Flag* find(std::string_view name) {
    known_.assign({"--help", "--version"});
    for (const Flag& flag : command_.flags) {
      if (is_positional(flag)) continue;
      for (const std::string_view own : split_names(flag.names)) {
        if (own == name) return &flag;
        known_.push_back(own);
      }
    }
    return nullptr;
  }

  std::optional<int> check_required() {
    for (const Flag& flag : command_.flags) {
      const auto* text = std::get_if<TextTarget>(&flag.target);
      if (flag.required && !text->value->has_value()) {
        const std::string value = is_positional(flag) ? "" : std::string(" ") + flag.value;
        return usage_error(command_, std::string("missing ") + flag.names + value);
      }
    }
    return std::nullopt;
  }

  const CommandLine& command_;
  int argc_;
  char** argv_;
  int next_ = 1;
  bool flags_ended_ = false;
  std::vector<const Flag*> positional_;
  std::vector<const std::optional<std::string>*> in_place_;  // what words without a flag have set
  std::vector<std::string_view> known_;
};

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::optional<int> parse_args(const CommandLine& command, int argc, char** argv) {
  return ArgumentWalk(command, argc, argv).run();
}

int print_version() {
  print(format("tritstack %s\nreads .trit format version %d\nkernels %s\n", trit_version(),
               kVersionMajor, trit_kernel_level()));
  return TRIT_OK;
}

bool parse_integer(std::string_view text, int64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_number(std::string_view text, double* value) {
  // strtod also reads " 1", "inf", "nan" and "0x1p3"; the process stays in the C locale, so the
  // point is always '.'. (Not every C++ library has from_chars for double yet.)
  if (text.empty() || text.find_first_not_of("0123456789+-.eE") != std::string_view::npos)
    return false;
  const std::string copy(text);
  char* end = nullptr;
  *value = std::strtod(copy.c_str(), &end);
  return end == copy.c_str() + copy.size() && std::isfinite(*value);
}

std::string nearest_name(std::string_view word, const std::vector<std::string_view>& names) {
  // The beginning of a name is near to it, however long the rest is.
  const auto distance = [word](std::string_view name) {
    return word.size() > 2 && name.substr(0, word.size()) == word ? 1 : edit_distance(word, name);
  };
  const std::string_view nearest = *std::min_element(
      names.begin(), names.end(), [&](auto a, auto b) { return distance(a) < distance(b); });
  if (2 * distance(nearest) >= word.size()) return "";
  return ", the nearest is " + std::string(nearest);
}

}  // namespace trit
