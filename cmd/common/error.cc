// See error.h. Messages may quote files and arguments; whatever reaches here becomes one line
// of UTF-8 that does nothing to a terminal.
#include "cmd/common/error.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "cmd/common/terminal.h"
#include "model_format/status.h"

namespace trit {

namespace {

void print_line(std::string_view prefix, std::string_view message) {
  std::string line = std::string(prefix) + std::string(message);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  line = safe_for_terminal(line) + '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

int fail(int code, std::string_view message) {
  print_line("tritstack: error: ", message);
  return code;
}

int fail(trit_status status) {
  return fail(static_cast<int>(status), trit_last_error());
}

int fail(const Status& status) {
  return fail(static_cast<int>(status.code()), status.message());
}

int fail_io(std::string_view path, std::string_view verb, int error) {
  return fail(TRIT_IO,
              std::string(path) + ": cannot " + std::string(verb) + ": " + std::strerror(error));
}

void note(std::string_view message) {
  print_line("tritstack: ", message);
}

std::string format(const char* pattern, ...) {
  va_list arguments, again;
  va_start(arguments, pattern);
  va_copy(again, arguments);
  std::string text(static_cast<size_t>(std::vsnprintf(nullptr, 0, pattern, arguments)), '\0');
  std::vsnprintf(text.data(), text.size() + 1, pattern, again);
  va_end(again);
  va_end(arguments);
  return text;
}

std::string range_text(uint32_t least, uint32_t most) {
  return least == most ? format("%u", most) : format("%u-%u", least, most);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace trit
