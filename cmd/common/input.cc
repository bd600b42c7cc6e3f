// See input.h.
#include "cmd/common/input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/interrupt.h"
#include "model_format/status.h"

namespace trit {

namespace {

int read_all(int fd, const std::string& name, uint64_t limit, std::string* text) {
  char block[1 << 16];
  while (text->size() < limit) {
    const uint64_t want = std::min<uint64_t>(sizeof block, limit - text->size());
    const ssize_t n = read(fd, block, static_cast<size_t>(want));
    if (interrupted()) return fail(TRIT_CANCELLED, "interrupted");
    if (n == 0) break;
    if (n > 0) {
      text->append(block, static_cast<size_t>(n));
    } else if (errno != EINTR) {
      return fail_io(name, "read", errno);
    }
  }
  return TRIT_OK;
}

}  // namespace

int read_text(const std::string& path, uint64_t limit, std::string* text) {
  if (path == "-") return read_all(STDIN_FILENO, "standard input", limit, text);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && interrupted()) return fail(TRIT_CANCELLED, "interrupted");
  if (fd < 0) return fail_io(path, "open", errno);
  const int code = read_all(fd, path, limit, text);
  close(fd);
  return code;
}

bool stdin_is_piped() {
  struct stat info;
  return fstat(STDIN_FILENO, &info) == 0 &&
         (S_ISFIFO(info.st_mode) || S_ISREG(info.st_mode) || S_ISSOCK(info.st_mode));
}

int refuse_input(const std::string& output, const std::string& input, const char* what) {
  std::error_code missing;
  if (!std::filesystem::equivalent(output, input, missing)) return TRIT_OK;
  return fail(TRIT_USAGE, output + ": is " + what);
}

std::string without_nul(std::string_view text) {
  std::string clean;
  for (const char c : text) c ? clean += c : clean += "\xef\xbf\xbd";
  return clean;
}

int parse_ids(std::string_view text, std::string_view what, int code, uint32_t vocab,
              std::vector<int32_t>* ids) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto wrong = [&](const std::string& found) {
    return fail(code, format("%s: expected token ids from 0 to %u such as 1,2,3, found %s",
                             std::string(what).c_str(), vocab - 1, found.c_str()));
  };
  if (text.find_first_not_of(kSpace) == std::string_view::npos) return wrong("none");
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const std::string_view field = text.substr(begin, comma - begin);
    size_t at = field.find_first_not_of(kSpace);
    if (at == std::string_view::npos) return wrong(quoted(""));  // "1,,2"
    while (at != std::string_view::npos) {
      const size_t end = std::min(field.find_first_of(kSpace, at), field.size());
      const std::string_view word = field.substr(at, end - at);
      int64_t id = 0;
      if (!parse_integer(word, &id) || id < 0 || id >= vocab) return wrong(quoted(word));
      ids->push_back(static_cast<int32_t>(id));
      at = field.find_first_not_of(kSpace, end);
    }
    begin = comma + 1;
  }
  return TRIT_OK;
}

}  // namespace trit
