// What a person sees and types: safe text, the line buffer, and chat on a pseudo-terminal.
#include "cmd/common/terminal.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>

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
  CHECK(bytes_in_columns("a\xe4\xbd\xa0z", 2) == 1);
  CHECK(bytes_in_columns("a\xe4\xbd\xa0z", 3) == 4);
  CHECK(bytes_in_columns("\xe4z", 1) == 1);  // Latin-1
  CHECK(bytes_in_columns("z", 0) == 0);
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
  // Chat with the demo, on this terminal but for its answers.
  ProcessOptions options(const std::string& kind = "xterm") const {
    ProcessOptions options;
    options.input_path = options.error_path = path;
    options.environment = {"TERM=" + kind};
    return options;
  }
  // As fast as the program takes them.
  void type(std::string_view keys) {
    for (int waits = 0; !keys.empty() && waits < 2000;) {
      const ssize_t n = write(master, keys.data(), std::min<size_t>(keys.size(), 1024));
      if (n > 0) keys.remove_prefix(static_cast<size_t>(n));
      if (n > 0) continue;
      ++waits;
      look();
      usleep(5000);
    }
    CHECK(keys.empty());
  }
  ssize_t look() {
    char block[4096];
    const ssize_t n = read(master, block, sizeof block);
    if (n > 0) seen.append(block, static_cast<size_t>(n));
    if (n > 0) all.append(block, static_cast<size_t>(n));
    return n;
  }
  // Reads what the program shows until it holds `text`; at most ten seconds.
  bool shows(const std::string& text, int looks = 2000) {
    for (int i = 0; i < looks; ++i) {
      const ssize_t n = look();
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
  std::string path;
  std::string seen, all;  // what was not looked for yet, and everything
};

TEST_CASE("chat on a terminal edits lines, keeps a history and leaves with Ctrl-D") {
  Terminal terminal;
  Process chat({tritstack_path(), "chat", "-m", kDemo, "--temp", "0", "-n", "8"},
               terminal.options());
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

TEST_CASE("bytes that are not UTF-8 swallow no keys, and what cannot fit forgets nothing") {
  Terminal terminal;
  Process chat({tritstack_path(), "chat", "-m", kDemo, "--temp", "0", "-n", "8", "--drop-oldest"},
               terminal.options());
  REQUIRE(terminal.shows("> "));
  terminal.type("/caf\xe9\r");  // Latin-1
  CHECK(terminal.shows("unknown command /caf\xef\xbf\xbd"));
  terminal.type("Tell me a story.\r");
  CHECK(chat.wait_for_output("\n"));
  terminal.type(std::string(3000, 'x') + "\r");
  CHECK(terminal.shows("this turn alone fills it"));
  terminal.type("/undo\r");
  CHECK(terminal.shows("the last question is taken back"));
  terminal.type("\x04");
  CHECK(chat.wait().exit_code == 0);
}

TEST_CASE("Ctrl-C clears a typed line; on an empty one, as a signal, it leaves with 130") {
  for (const bool by_key : {true, false}) {
    Terminal terminal;
    Process chat({tritstack_path(), "chat", "-m", kDemo}, terminal.options());
    REQUIRE(terminal.shows("> "));
    if (by_key) {
      terminal.type("half a line\x03/help\r");
      CHECK(terminal.shows("clear a typed line"));
      REQUIRE(terminal.shows("> "));
    }
    by_key ? terminal.type("\x03") : chat.send(SIGTERM);
    CHECK(chat.wait().exit_code == 130);
    CHECK(terminal.shows("\x1b[?2004l"));
    CHECK(terminal.is_cooked());
  }
}

TEST_CASE("a signal that is not Ctrl-C ends the chat during an answer too") {
  for (const int signal : {SIGTERM, SIGHUP}) {
    Terminal terminal;
    Process chat({tritstack_path(), "chat", "-m", kDemo}, terminal.options());
    REQUIRE(terminal.shows("> "));
    terminal.type("Tell me a story.\r");
    REQUIRE(terminal.shows("\x1b[?2004l"));  // the line is read
    chat.send(signal);
    terminal.type("\x04");  // would leave with 0
    CHECK(chat.wait().exit_code == 130);
  }
}

TEST_CASE("Ctrl-D typed during an answer leaves after it") {
  Terminal terminal;
  Process chat({tritstack_path(), "chat", "-m", kDemo, "--temp", "0", "-n", "50"},
               terminal.options());
  REQUIRE(terminal.shows("> "));
  terminal.type("Tell me a story.\r");
  REQUIRE(terminal.shows("\x1b[?2004l"));  // the terminal is as it was
  terminal.type("\x04");
  const ProcessResult result = chat.wait();
  CHECK(result.exit_code == 0);
  CHECK(result.out.size() > 100);
}

TEST_CASE("a paste of several lines is one message, newlines kept") {
  Terminal terminal;
  Process chat({tritstack_path(), "chat", "-m", kDemo, "--temp", "0", "-n", "8"},
               terminal.options());
  REQUIRE(terminal.shows("\x1b[?2004h"));
  terminal.type("\x1b[200~Tell me a story.\r\nAbout\ta\rdog.\r\x1b[201~");
  CHECK(
      terminal.shows("Tell me a story.\xe2\x86\xb5"
                     "About a\xe2\x86\xb5"
                     "dog.\xe2\x86\xb5\x1b[K"));
  terminal.type("\r");
  CHECK(chat.wait_for_output("\n"));
  REQUIRE(terminal.shows("\x1b[?2004h"));
  terminal.type("/exit\r");
  const std::string answer = tritstack({"run", "-m", kDemo, "--chat", "--temp", "0", "-n", "8",
                                        "-p", "Tell me a story.\nAbout\ta\ndog."})
                                 .out;
  CHECK(chat.wait().out == answer + "\n");
}

TEST_CASE("a long paste is drawn a few times, not once for each byte") {
  Terminal terminal;
  Process chat({tritstack_path(), "chat", "-m", kDemo}, terminal.options());
  REQUIRE(terminal.shows("> "));
  const std::string text(100000, 'x');
  terminal.type(text + "y");
  CHECK(terminal.shows("y\x1b[K"));
  terminal.type("\x1b[200~" + text + "z\x1b[201~");
  CHECK(terminal.shows("z\x1b[K"));
  // A row is about 100 bytes.
  CHECK(terminal.all.size() < text.size());
  terminal.type("\x03/exit\r");
  CHECK(chat.wait().exit_code == 0);
}

TEST_CASE("while chat is suspended the terminal is as it was") {
  Terminal terminal;
  Process chat({tritstack_path(), "chat", "-m", kDemo}, terminal.options());
  REQUIRE(terminal.shows("\x1b[?2004h"));
  terminal.type("\x1a");
  CHECK(terminal.shows("\x1b[?2004l"));
  bool resumed = false;  // a signal that comes before it stops is lost
  for (int i = 0; i < 200 && !resumed; ++i) {
    chat.send(SIGCONT);
    resumed = terminal.shows("\x1b[?2004h", 10);
  }
  CHECK(resumed);
  terminal.type("/exit\r");
  CHECK(chat.wait().exit_code == 0);
}

TEST_CASE("a terminal without a cursor is sent no escape sequence") {
  for (const char* kind : {"dumb", ""}) {
    Terminal terminal;
    Process chat({tritstack_path(), "chat", "-m", kDemo, "--temp", "0", "-n", "8"},
                 terminal.options(kind));
    REQUIRE(terminal.shows("> "));
    CHECK(terminal.is_cooked());
    terminal.type("/hepl\n");
    CHECK(terminal.shows("the nearest is /help"));
    terminal.type("Who are you?\n");
    CHECK(chat.wait_for_output("\n"));
    REQUIRE(terminal.shows("> "));
    terminal.type("\x04");
    CHECK(chat.wait().exit_code == 0);
    while (terminal.look() > 0) continue;
    CHECK(terminal.all.find('\x1b') == std::string::npos);
  }
}

TEST_CASE("a signal during an answer on a terminal stops the answer only") {
  Terminal terminal;
  Process chat({tritstack_path(), "chat", "-m", kDemo, "-c", "200000"}, terminal.options());
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
