// Lines typed by a person: a small editor on a terminal (cursor keys, home/end, history, Ctrl-A
// E K U W), UTF-8 aware, one screen row that scrolls sideways. A paste of several lines is part of
// one line, newlines kept. History stays in memory only.
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
  size_t before(size_t i) const;  // start of the character that ends at i

 private:
  void erase(size_t begin, size_t end);

  std::string text_;
  size_t cursor_ = 0;  // in bytes, always between characters
};

enum class LineEnd { kLine, kEnd, kInterrupt, kError /* in errno */ };

// Bytes of standard input, taken from the system as many as there are.
class TypedBytes {
 public:
  int next();    // waits for one; -1 at the end, on an error and after a signal that interrupts us
  bool ready();  // whether next() would not wait

 private:
  std::string bytes_;
  size_t taken_ = 0;
};

class LineEditor {
 public:
  // Shows "> " on stderr and reads a line from the terminal. Ctrl-C clears what is typed;
  // kInterrupt when nothing is.
  LineEnd read(std::string* line);

 private:
  enum class Step { kMore, kLine, kEnd, kInterrupt };
  Step take(unsigned char byte);
  void escape_sequence();
  void paste();
  void recall(int direction);
  void suspend();
  void show() const;

  TypedBytes typed_;
  LineBuffer buffer_;
  std::string draft_;  // the new line while history is shown
  std::vector<std::string> history_;
  size_t recalled_ = 0;  // index in history_; history_.size(): the draft
};

// Lines of a pipe, a file or a terminal without a cursor, which shows `prompt`: without the newline
// (or CR LF), of one that has more than `most` bytes the first most + 1. kEnd after the last.
class LineReader {
 public:
  LineReader(const char* prompt, size_t most) : prompt_(prompt), most_(most) {}
  LineEnd read(std::string* line);

 private:
  LineEnd read_line(std::string* line);

  const char* prompt_;
  const size_t most_;
  std::string pending_;  // read, and not part of a line yet
};

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_LINE_EDITOR_H_
