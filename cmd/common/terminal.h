// What the process knows about its terminal: whether there is one, raw mode that is always undone,
// and text made safe to show. Line editing is line_editor.h.
#ifndef TRITSTACK_CMD_COMMON_TERMINAL_H_
#define TRITSTACK_CMD_COMMON_TERMINAL_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace trit {

bool is_terminal(int fd);
// A terminal that knows escape sequences: TERM is set and not dumb.
bool has_cursor(int fd);
// One that wants colour too: NO_COLOR unset or empty.
bool use_color(int fd);
uint32_t terminal_columns(int fd);  // 80 when unknown
// Whether braille and box characters can be expected to show: the locale does not say otherwise,
// and it is not the console of Linux, whose font lacks them.
bool shows_unicode();

// Raw mode of standard input, pastes bracketed (ESC [ 200 ~ text ESC [ 201 ~); false when it is not
// a terminal. restore_terminal() undoes both from anywhere, signal handlers included, and does
// nothing when there is nothing to undo.
bool enter_raw_mode();
void restore_terminal();

// Writes to standard error at once; nothing but write(2), so signal handlers may.
void show_bytes(std::string_view bytes);

// Control characters (escape sequences of a model's text: C0 but \n and \t, DEL, C1), and bytes
// that are not UTF-8, become U+FFFD.
std::string safe_for_terminal(std::string_view text);

// The character that begins at text[i]: its bytes (1 where it is not UTF-8), and its columns on a
// terminal.
size_t character_bytes(std::string_view text, size_t i);
uint32_t character_columns(std::string_view character);
// Bytes of the longest beginning of a text that takes no more columns.
size_t bytes_in_columns(std::string_view text, uint32_t columns);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_TERMINAL_H_
