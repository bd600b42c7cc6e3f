// See terminal.h.
#include "cmd/common/terminal.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "model_format/utf8.h"

namespace trit {

namespace {

termios saved_mode;
std::atomic<bool> raw{false};

// Characters of two columns and of none, the blocks that matter (Unicode East Asian Width, Mn).
struct Range {
  uint32_t first, last;
};
constexpr Range kWide[] = {
    {0x1100, 0x115f}, {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},  {0x4e00, 0x9fff},
    {0xa000, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},  {0xff00, 0xff60},
    {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
constexpr Range kZero[] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},
                           {0x610, 0x61a},   {0x64b, 0x65f},   {0x200b, 0x200f},
                           {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};

template <size_t n>
bool contains(const Range (&ranges)[n], uint32_t code) {
  return std::any_of(ranges, ranges + n,
                     [&](const Range& r) { return code >= r.first && code <= r.last; });
}

uint32_t code_point(std::string_view character) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  uint32_t code = byte(0);
  if (character.size() == 1) return std::min(code, 0x80u);  // no UTF-8: as a control character
  code &= 0x7fu >> character.size();
  for (size_t i = 1; i < character.size(); ++i) code = code << 6 | (byte(i) & 0x3f);
  return code;
}

}  // namespace

bool is_terminal(int fd) {
  return isatty(fd) == 1;
}

bool has_cursor(int fd) {
  const char* term = std::getenv("TERM");
  return is_terminal(fd) && term && *term && std::string_view(term) != "dumb";
}

bool use_color(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  return has_cursor(fd) && !(no_color && *no_color);
}

uint32_t terminal_columns(int fd) {
  winsize size = {};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool shows_unicode() {
  const char* term = std::getenv("TERM");
  if (term && std::string_view(term) == "linux") return false;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view locale = std::getenv(name) ? std::getenv(name) : "";
    if (locale.empty()) continue;
    return locale.find("UTF-8") != locale.npos || locale.find("utf8") != locale.npos;
  }
  return true;
}

bool enter_raw_mode() {
  if (tcgetattr(STDIN_FILENO, &saved_mode) != 0) return false;
  termios mode = saved_mode;
  mode.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
  mode.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN | ISIG);
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &mode) == 0;
  if (raw) show_bytes("\x1b[?2004h");
  return raw;
}

void restore_terminal() {
  if (!raw.exchange(false)) return;
  show_bytes("\x1b[?2004l");
  tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_mode);
}

void show_bytes(std::string_view bytes) {
  // The terminal is gone when this fails; the next read says so.
  if (write(STDERR_FILENO, bytes.data(), bytes.size()) < 0) return;
}

std::string safe_for_terminal(std::string_view text) {
  std::string safe;
  for (size_t i = 0; i < text.size();) {
    const std::string_view character = text.substr(i, character_bytes(text, i));
    const uint32_t code = code_point(character);
    const bool control =
        (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0);
    safe += control ? std::string_view("\xef\xbf\xbd") : character;
    i += character.size();
  }
  return safe;
}

size_t character_bytes(std::string_view text, size_t i) {
  return std::max<size_t>(utf8_character_bytes(text.substr(i)), 1);
}

uint32_t character_columns(std::string_view character) {
  const uint32_t code = code_point(character);
  return contains(kZero, code) ? 0 : contains(kWide, code) ? 2 : 1;
}

size_t bytes_in_columns(std::string_view text, uint32_t columns) {
  size_t end = 0;
  for (uint32_t used = 0; end < text.size();) {
    const size_t bytes = character_bytes(text, end);
    used += character_columns(text.substr(end, bytes));
    if (used > columns) break;
    end += bytes;
  }
  return end;
}

}  // namespace trit
