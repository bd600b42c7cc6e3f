// What a person sees and types: safe text, the line buffer, and chat on a pseudo-terminal.
#include "cmd/common/terminal.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/common/line_editor.h"
#include "tests/cmd/models.h"
#include "tests/support/process.h"

namespace trit {
namespace {

using Key = LineBuffer::Key;

TEST_CASE("control characters of a model's text do not reach a terminal") {
  CHECK(safe_for_terminal("plain \xc3\xa9 \xe4\xbd\xa0 \xf0\x9f\x98\x80\n\t") ==
        "plain \xc3\xa9 \xe4\xbd\xa0 \xf0\x9f\x98\x80\n\t");
  CHECK(safe_for_terminal("a\x1b[31mb") == "a\xef\xbf\xbd[31mb");
  CHECK(safe_for_terminal("\xc2\x9b"
                          "2J\x7f\r") ==
        "\xef\xbf\xbd"
        "2J\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("the width of characters is 0, 1 or 2 columns") {
  CHECK(character_columns("a") == 1);
  CHECK(character_columns("\xc3\xa9") == 1);
  CHECK(character_columns("\xe4\xbd\xa0") == 2);
  CHECK(character_columns("\xf0\x9f\x98\x80") == 2);
  CHECK(character_columns("\xcc\x81") == 0);
}

TEST_CASE("keys move and delete whole characters") {
  LineBuffer line;
  line.insert("a\xc3\xa9\xe4\xbd\xa0");
  line.press(Key::kLeft);
  CHECK(line.cursor() == 3);
  line.press(Key::kBackspace);
  CHECK(line.text() == "a\xe4\xbd\xa0");
  line.press(Key::kDelete);
  CHECK(line.text() == "a");
  line.press(Key::kRight);
  line.press(Key::kHome);
  line.press(Key::kLeft);
  CHECK(line.cursor() == 0);
  line.insert("xy ");
  CHECK(line.text() == "xy a");
  line.press(Key::kEnd);
  line.press(Key::kBackspace);
  line.press(Key::kWordBack);
  CHECK(line.text() == "");
}

TEST_CASE("words and halves of a line can be killed") {
  LineBuffer line;
  line.set("one two  three");
  line.press(Key::kWordBack);
  CHECK(line.text() == "one two  ");
  line.press(Key::kWordBack);
  CHECK(line.text() == "one ");
  line.press(Key::kKillBefore);
  CHECK(line.text() == "");
  line.set("left right");
  line.press(Key::kHome);
  for (int i = 0; i < 4; ++i) line.press(Key::kRight);
  line.press(Key::kKillAfter);
  CHECK(line.text() == "left");
}

// A pseudo-terminal as standard input and standard error of `tritstack chat`.
struct Terminal {
  Terminal() : master(posix_openpt(O_RDWR | O_NOCTTY)) {
    grantpt(master);
    unlockpt(master);
    path = ptsname(master);
    slave = open(path.c_str(), O_RDWR | O_NOCTTY);
    fcntl(master, F_SETFL, O_NONBLOCK);
  }
  ~Terminal() {
    close(slave);
    close(master);
  }
  void type(std::string_view keys) { CHECK(write(master, keys.data(), keys.size()) > 0); }
  // Reads what the program shows until it holds `text`; at most ten seconds.
  bool shows(const std::string& text) {
    for (int i = 0; i < 2000; ++i) {
      char block[4096];
      const ssize_t n = read(master, block, sizeof block);
      if (n > 0) seen.append(block, static_cast<size_t>(n));
      const size_t at = seen.find(text);
      if (at != std::string::npos) {
        seen.erase(0, at + text.size());
        return true;
      }
      if (n <= 0) usleep(5000);
    }
    return false;
  }
  bool is_cooked() const {
    termios mode;
    return tcgetattr(slave, &mode) == 0 && (mode.c_lflag & ICANON) && (mode.c_lflag & ECHO);
  }
  int master, slave = -1;
  std::string path, seen;
};

TEST_CASE("chat on a terminal edits lines, keeps a history and leaves with Ctrl-D") {
  Terminal terminal;
  ProcessOptions options;
  options.input_path = options.error_path = terminal.path;
  Process chat({tritstack_path(), "chat", "-m", kDemo, "--temp", "0", "-n", "8"}, options);
  REQUIRE(terminal.shows("Ctrl-D leaves"));
  REQUIRE(terminal.shows("> "));
  CHECK(!terminal.is_cooked());
  terminal.type("/hepl\r");
  CHECK(terminal.shows("the nearest is /help"));
  // The typo is fetched from the history and mended: left, left, delete, end, p.
  terminal.type("\x1b[A\x1b[D\x1b[D\x1b[3~\x1b[Fp\r");
  CHECK(terminal.shows("take back the last question"));
  terminal.type("Tell me a story.\r");
  CHECK(chat.wait_for_output("\n"));
  terminal.type("/stats\r");
  CHECK(terminal.shows("context "));
  terminal.type("\x04");
  const ProcessResult result = chat.wait();
  CHECK(result.exit_code == 0);
  CHECK(terminal.is_cooked());
  CHECK(result.out.find('\n') == result.out.size() - 1);
}

TEST_CASE("Ctrl-C at the prompt leaves chat with 130 and the terminal as it was") {
  for (const bool by_key : {true, false}) {
    Terminal terminal;
    ProcessOptions options;
    options.input_path = options.error_path = terminal.path;
    Process chat({tritstack_path(), "chat", "-m", kDemo}, options);
    REQUIRE(terminal.shows("> "));
    by_key ? terminal.type("half a line\x03") : chat.send(SIGTERM);
    CHECK(chat.wait().exit_code == 130);
    CHECK(terminal.is_cooked());
  }
}

TEST_CASE("a signal during an answer on a terminal stops the answer only") {
  Terminal terminal;
  ProcessOptions options;
  options.input_path = options.error_path = terminal.path;
  Process chat({tritstack_path(), "chat", "-m", kDemo, "-c", "200000"}, options);
  REQUIRE(terminal.shows("> "));
  terminal.type("Tell me a story.\r");
  CHECK(chat.wait_for_output(" "));
  chat.send(SIGINT);
  REQUIRE(terminal.shows("> "));
  terminal.type("/exit\r");
  CHECK(chat.wait().exit_code == 0);
}

}  // namespace
}  // namespace trit
