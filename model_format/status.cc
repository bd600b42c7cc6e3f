// See status.h. The one idea: whatever a message quotes stays on one line and cannot command a
// terminal, because every foreign byte that is not a printable character is escaped here.
#include "model_format/status.h"

#include <cerrno>
#include <system_error>

#include "model_format/utf8.h"

namespace trit {
namespace {

constexpr size_t kMaxQuotedBytes = 64;

// `text` with control characters (C1 too: some terminals obey them) and bytes that are not UTF-8 as
// \xNN.
std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    size_t bytes = utf8_character_bytes(text);
    const unsigned char lead = static_cast<unsigned char>(text[0]);
    const bool c1 = lead == 0xc2 && bytes == 2 && static_cast<unsigned char>(text[1]) < 0xa0;
    if (bytes == 0 || lead < 0x20 || lead == 0x7f || c1) {
      bytes = c1 ? 2 : 1;
      for (const char c : text.substr(0, bytes)) {
        const unsigned value = static_cast<unsigned char>(c);
        out += {'\\', 'x', "0123456789abcdef"[value >> 4], "0123456789abcdef"[value & 15]};
      }
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return out;
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string_view kept = text.substr(0, kMaxQuotedBytes);
  // A character that the cut halves goes whole; what was never UTF-8 stays and is escaped.
  for (size_t back = 1; kept.size() < text.size() && back <= 3; ++back) {
    const size_t bytes = utf8_character_bytes(text.substr(kept.size() - back));
    if (bytes > back) {
      kept.remove_suffix(back);
      break;
    }
  }
  std::string out = "\"" + escaped(kept) + "\"";
  if (kept.size() < text.size()) out += "...";
  return out;
}

Status bad_field(Code code, std::string_view file, std::string_view field, std::string_view where,
                 std::string_view expected, std::string_view found) {
  std::string message = escaped(file);
  message.append(": ").append(field).append(" at ").append(where);
  message.append(": expected ").append(expected).append(", found ").append(found);
  return Status(code, std::move(message));
}

Status file_error(Code code, std::string_view file, std::string_view sentence) {
  return Status(code, escaped(file.empty() ? "''" : file).append(": ").append(sentence));
}

Status io_error(std::string_view file, std::string_view verb, int error) {
  const std::string reason = std::generic_category().message(error);
  return file_error(error == ENOMEM ? Code::kMemory : Code::kIo, file,
                    "cannot " + std::string(verb) + ": " + reason);
}

}  // namespace trit
