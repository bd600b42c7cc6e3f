// Lines typed by a person: a small editor on a terminal (cursor keys, home/end, history, Ctrl-A
// E K U W), UTF-8 aware, one screen row that scrolls sideways. History stays in memory only.
#ifndef TRITSTACK_CMD_COMMON_LINE_EDITOR_H_
#define TRITSTACK_CMD_COMMON_LINE_EDITOR_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trit {

// The text being edited and the cursor in it: what keys do, without a terminal.
class LineBuffer {
 public:
  enum class Key {
    kLeft,
    kRight,
    kHome,
    kEnd,
    kBackspace,
    kDelete,
    kWordBack,
    kKillBefore,
    kKillAfter
  };
  const std::string& text() const { return text_; }
  size_t cursor() const { return cursor_; }
  void set(std::string text);
  void insert(std::string_view bytes);
  void press(Key key);

 private:
  size_t before(size_t i) const;  // start of the character that ends at i
  void erase(size_t begin, size_t end);

  std::string text_;
  size_t cursor_ = 0;  // in bytes, always between characters
};

enum class LineEnd { kLine, kEnd, kInterrupt };

class LineEditor {
 public:
  // Shows "> " on stderr and reads a line from the terminal.
  LineEnd read(std::string* line);

 private:
  enum class Step { kMore, kLine, kEnd, kInterrupt };
  Step take(unsigned char byte);
  void insert_character(unsigned char lead);
  void escape_sequence();
  void recall(int direction);
  void suspend();
  void show() const;

  LineBuffer buffer_;
  std::string draft_;  // the new line while history is shown
  std::vector<std::string> history_;
  size_t recalled_ = 0;  // index in history_; history_.size(): the draft
};

// Lines of a pipe or file: without the newline (or CR LF). kEnd after the last.
class LineReader {
 public:
  LineEnd read(std::string* line);

 private:
  std::string pending_;
};

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_LINE_EDITOR_H_
