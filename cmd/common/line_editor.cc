// See line_editor.h.
#include "cmd/common/line_editor.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cmd/common/interrupt.h"
#include "cmd/common/terminal.h"

namespace trit {

namespace {

constexpr uint32_t kPromptColumns = 2;  // "> "

constexpr unsigned char control(char letter) {
  return static_cast<unsigned char>(letter & 0x1f);
}

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// Text as one row: newlines and tabs of a paste get a column each.
std::string as_row(std::string_view text) {
  std::string row;
  for (const char c : text) {
    if (c == '\n') {
      row += "\xe2\x86\xb5";  // U+21B5
    } else {
      row += c == '\t' ? ' ' : c;
    }
  }
  return safe_for_terminal(row);
}

}  // namespace

void LineBuffer::set(std::string text) {
  text_ = std::move(text);
  cursor_ = text_.size();
}

void LineBuffer::insert(std::string_view bytes) {
  text_.insert(cursor_, bytes);
  cursor_ += bytes.size();
}

size_t LineBuffer::before(size_t i) const {
  if (i > 0) --i;
  while (i > 0 && is_continuation(text_[i])) --i;
  return i;
}

void LineBuffer::erase(size_t begin, size_t end) {
  text_.erase(begin, end - begin);
  cursor_ = begin;
}

void LineBuffer::press(Key key) {
  const size_t after = cursor_ < text_.size() ? cursor_ + character_bytes(text_, cursor_) : cursor_;
  size_t word = cursor_;
  switch (key) {
    case Key::kLeft:
      cursor_ = before(cursor_);
      break;
    case Key::kRight:
      cursor_ = after;
      break;
    case Key::kHome:
      cursor_ = 0;
      break;
    case Key::kEnd:
      cursor_ = text_.size();
      break;
    case Key::kBackspace:
      erase(before(cursor_), cursor_);
      break;
    case Key::kDelete:
      erase(cursor_, after);
      break;
    case Key::kKillBefore:
      erase(0, cursor_);
      break;
    case Key::kKillAfter:
      erase(cursor_, text_.size());
      break;
    case Key::kWordBack:
      while (word > 0 && text_[word - 1] == ' ') --word;
      while (word > 0 && text_[word - 1] != ' ') --word;
      erase(word, cursor_);
      break;
  }
}

int TypedBytes::next() {
  if (interrupted()) return -1;
  if (taken_ == bytes_.size()) {
    taken_ = 0;
    bytes_.resize(4096);
    ssize_t n = 0;
    do {
      n = ::read(STDIN_FILENO, bytes_.data(), bytes_.size());
    } while (n < 0 && errno == EINTR && !interrupted());
    bytes_.resize(n > 0 ? static_cast<size_t>(n) : 0);
    if (bytes_.empty()) return -1;
  }
  return static_cast<unsigned char>(bytes_[taken_++]);
}

bool TypedBytes::ready() {
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  return taken_ < bytes_.size() || poll(&input, 1, 0) > 0;
}

LineEnd LineEditor::read(std::string* line) {
  if (!enter_raw_mode()) return LineEnd::kEnd;
  buffer_.set("");
  draft_.clear();
  recalled_ = history_.size();
  Step step = Step::kMore;
  bool ahead = typed_.ready();  // typed before the terminal was raw: it made NUL of a Ctrl-D
  while (step == Step::kMore) {
    if (!typed_.ready()) show();  // a paste is shown once, not at every byte
    int byte = typed_.next();
    if (byte == 0 && ahead) byte = control('D');
    ahead = false;
    step = byte >= 0       ? take(static_cast<unsigned char>(byte))
           : interrupted() ? Step::kInterrupt
                           : Step::kEnd;
  }
  show();
  restore_terminal();
  show_bytes("\n");
  if (step == Step::kInterrupt) return LineEnd::kInterrupt;
  if (step == Step::kEnd) return LineEnd::kEnd;
  *line = buffer_.text();
  line->resize(line->find_last_not_of('\n') + 1);  // a paste often ends with a newline
  if (!line->empty() && (history_.empty() || history_.back() != *line)) history_.push_back(*line);
  return LineEnd::kLine;
}

LineEditor::Step LineEditor::take(unsigned char byte) {
  using Key = LineBuffer::Key;
  struct Binding {
    unsigned char byte;
    Key key;
  };
  constexpr Binding kBindings[] = {
      {control('A'), Key::kHome},       {control('B'), Key::kLeft},
      {control('D'), Key::kDelete},     {control('E'), Key::kEnd},
      {control('F'), Key::kRight},      {control('H'), Key::kBackspace},
      {0x7f, Key::kBackspace},          {control('K'), Key::kKillAfter},
      {control('U'), Key::kKillBefore}, {control('W'), Key::kWordBack}};
  if (byte == '\r' || byte == '\n') return Step::kLine;
  if (byte == control('C')) {
    if (buffer_.text().empty()) return Step::kInterrupt;
    buffer_.set("");
    recalled_ = history_.size();
  }
  if (byte == control('D') && buffer_.text().empty()) return Step::kEnd;
  for (const Binding& binding : kBindings) {
    if (binding.byte == byte) buffer_.press(binding.key);
  }
  if (byte == control('L')) show_bytes("\x1b[H\x1b[2J");
  if (byte == control('N')) recall(1);
  if (byte == control('P')) recall(-1);
  if (byte == control('Z')) suspend();
  if (byte == 0x1b) escape_sequence();
  if (byte == '\t') buffer_.insert(" ");
  // A character comes byte by byte: what is not UTF-8 must not swallow what follows.
  const char character = static_cast<char>(byte);
  if (byte >= 0x20 && byte != 0x7f) buffer_.insert({&character, 1});
  return Step::kMore;
}

// ESC [ A and its like (ESC O A on some terminals); what is not known is read and ignored.
void LineEditor::escape_sequence() {
  using Key = LineBuffer::Key;
  const int kind = typed_.next();
  if (kind != '[' && kind != 'O') return;
  std::string parameters;
  int last = typed_.next();
  while (last >= '0' && last < '@') {
    parameters += static_cast<char>(last);
    last = typed_.next();
  }
  switch (last) {
    case 'A':
      recall(-1);
      break;
    case 'B':
      recall(1);
      break;
    case 'C':
      buffer_.press(Key::kRight);
      break;
    case 'D':
      buffer_.press(Key::kLeft);
      break;
    case 'H':
      buffer_.press(Key::kHome);
      break;
    case 'F':
      buffer_.press(Key::kEnd);
      break;
    case '~':
      if (parameters == "1" || parameters == "7") buffer_.press(Key::kHome);
      if (parameters == "4" || parameters == "8") buffer_.press(Key::kEnd);
      if (parameters == "3") buffer_.press(Key::kDelete);
      if (parameters == "200") paste();
      break;
    default:
      break;
  }
}

// The text up to ESC [ 201 ~; terminals send its newlines as Enter, a carriage return.
void LineEditor::paste() {
  constexpr std::string_view kEnd = "\x1b[201~";
  std::string text;
  while (text.size() < kEnd.size() ||
         text.compare(text.size() - kEnd.size(), kEnd.size(), kEnd) != 0) {
    const int byte = typed_.next();
    if (byte < 0) return;
    if (byte == '\n' && !text.empty() && text.back() == '\r') continue;
    text += static_cast<char>(byte);
  }
  text.resize(text.size() - kEnd.size());
  std::replace(text.begin(), text.end(), '\r', '\n');
  buffer_.insert(text);
}

void LineEditor::recall(int direction) {
  if (direction < 0 ? recalled_ == 0 : recalled_ == history_.size()) return;
  if (recalled_ == history_.size()) draft_ = buffer_.text();
  recalled_ += static_cast<size_t>(direction);
  buffer_.set(recalled_ == history_.size() ? draft_ : history_[recalled_]);
}

// Raw mode keeps Ctrl-Z from the terminal driver, so it is done by hand.
void LineEditor::suspend() {
  restore_terminal();
  raise(SIGTSTP);
  enter_raw_mode();
}

void LineEditor::show() const {
  const std::string& text = buffer_.text();
  const uint32_t columns = terminal_columns(STDERR_FILENO);
  const uint32_t room = columns > kPromptColumns + 1 ? columns - kPromptColumns - 1 : 1;
  // Show from the first character that leaves the cursor on the row.
  const auto width = [&](size_t i) {
    return character_columns(std::string_view(text).substr(i, character_bytes(text, i)));
  };
  size_t first = buffer_.cursor();
  uint32_t cursor_column = 0;
  while (first > 0) {
    const size_t before = buffer_.before(first);
    if (cursor_column + width(before) > room) break;
    cursor_column += width(before);
    first = before;
  }
  const std::string_view rest = std::string_view(text).substr(first);
  std::string row = use_color(STDERR_FILENO) ? "\r\x1b[32m> \x1b[0m" : "\r> ";
  row += as_row(rest.substr(0, bytes_in_columns(rest, room)));
  row += "\x1b[K\r\x1b[" + std::to_string(kPromptColumns + cursor_column) + "C";
  show_bytes(row);
}

LineEnd LineReader::read(std::string* line) {
  show_bytes(prompt_);
  const LineEnd end = read_line(line);
  if (end != LineEnd::kLine && *prompt_) show_bytes("\n");
  return end;
}

LineEnd LineReader::read_line(std::string* line) {
  line->clear();
  for (;;) {
    const size_t newline = pending_.find('\n');
    const size_t end = std::min(newline, pending_.size());
    line->append(pending_, 0, std::min(end, most_ + 1 - line->size()));
    pending_.erase(0, end + 1);
    if (newline != std::string::npos) break;
    char block[4096];
    const ssize_t n = interrupted() ? -1 : ::read(STDIN_FILENO, block, sizeof block);
    if (interrupted()) return LineEnd::kInterrupt;
    if (n > 0) {
      pending_.assign(block, static_cast<size_t>(n));
    } else if (n == 0) {
      if (line->empty()) return LineEnd::kEnd;
      break;
    } else if (errno != EINTR) {
      return LineEnd::kError;
    }
  }
  if (!line->empty() && line->back() == '\r') line->pop_back();
  return LineEnd::kLine;
}

}  // namespace trit
