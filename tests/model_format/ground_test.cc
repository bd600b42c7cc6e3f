// The small tools of the room: messages on one line, hashes, mapped files, sizes of blocks.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "model_format/checksum.h"
#include "model_format/mapped_file.h"
#include "model_format/model_config.h"
#include "model_format/status.h"
#include "model_format/utf8.h"
#include "tests/support/temp_dir.h"

namespace trit {

TEST_CASE("quoted text cannot leave its line or command a terminal") {
  CHECK(quoted("plain \xc3\xa9") == "\"plain \xc3\xa9\"");
  CHECK(quoted("a\nb\x1b[31m\x7f") == "\"a\\x0ab\\x1b[31m\\x7f\"");
  CHECK(quoted("\xff\xc3") == "\"\\xff\\xc3\"");
  CHECK(quoted("\xc2\x9b") == "\"\\xc2\\x9b\"");  // CSI as one character
  CHECK(quoted(std::string_view("\0", 1)) == "\"\\x00\"");
}

TEST_CASE("quoted text is cut at 64 bytes, between characters") {
  CHECK(quoted(std::string(64, 'x')) == "\"" + std::string(64, 'x') + "\"");
  CHECK(quoted(std::string(65, 'x')) == "\"" + std::string(64, 'x') + "\"...");
  const std::string cut = std::string(62, 'x') + "\xe2\x82\xac";
  CHECK(quoted(cut) == "\"" + std::string(62, 'x') + "\"...");
  const std::string damaged = std::string(63, 'x') + "\xe2z";
  CHECK(quoted(damaged) == "\"" + std::string(63, 'x') + "\\xe2\"...");
}

TEST_CASE("a wrong field and a refusal of the system read as documented") {
  const Status field = bad_field(Code::kMalformed, "a\nb", "heads", "$.heads", "1..8", "0");
  CHECK(field.code() == Code::kMalformed);
  CHECK(field.message() == "a\\x0ab: heads at $.heads: expected 1..8, found 0");
  CHECK(io_error("f", "open", ENOENT).message() == "f: cannot open: No such file or directory");
  CHECK(io_error("f", "open", ENOENT).code() == Code::kIo);
  CHECK(file_error(Code::kUsage, "a\x1b", "is a directory").message() == "a\\x1b: is a directory");
  CHECK(io_error("f", "map", ENOMEM).code() == Code::kMemory);
}

TEST_CASE("UTF-8 is recognised to its edges") {
  for (const char* good : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    CHECK(is_utf8(good));
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2g", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"})
    CHECK_FALSE(is_utf8(bad));
}

TEST_CASE("hashes are XXH3-64, whole and in pieces") {
  CHECK(hash64("", 0, 0) == 0x2d06800538d394c2u);  // the value xxHash publishes
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 7);
  Hasher hasher(9);
  for (size_t at = 0, piece = 0; at < text.size(); at += piece++)
    hasher.update(text.data() + at, std::min(piece, text.size() - at));
  CHECK(hasher.digest() == hash64(text.data(), text.size(), 9));
  CHECK(hasher.digest() != hash64(text.data(), text.size(), 10));
}

TEST_CASE("no two blocks or sections share a seed") {
  CHECK(block_seed(1, 2, 3) != block_seed(1, 3, 2));
  CHECK(block_seed(1, 2, 3) != block_seed(2, 2, 3));
  CHECK(block_seed(1, 2, 3) != section_seed(1, 3));
  CHECK(section_seed(1, 3) != section_seed(1, 4));
}

TEST_CASE("a file is the same bytes mapped and read, and given pages come back") {
  const TempDir folder;
  std::string bytes;
  for (int i = 0; i < 100000; ++i) bytes += static_cast<char>(i ^ i >> 8);
  write_file(folder.path("f"), bytes);
  for (const IoMode io : {IoMode::kMap, IoMode::kRead}) {
    auto file = MappedFile::open(folder.path("f"), io);
    REQUIRE(file.ok());
    MappedFile moved = std::move(file.value());
    CHECK(file->data() == nullptr);
    moved.release(0, moved.size());
    moved.release(5, 10);
    moved.release(moved.size(), 0);
    CHECK(std::string(reinterpret_cast<const char*>(moved.data()), moved.size()) == bytes);
  }
}

TEST_CASE("what is not a regular file is refused without waiting for it") {
  const TempDir folder;
  REQUIRE(mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  for (const std::string& path : {folder.path("pipe"), folder.folder(), folder.path("none"),
                                  std::string("/dev/zero"), std::string()}) {
    const auto file = MappedFile::open(path);
    REQUIRE_FALSE(file.ok());
    CHECK(file.status().code() == Code::kIo);
  }
  write_file(folder.path("empty"), "");
  const auto empty = MappedFile::open(folder.path("empty"));
  REQUIRE(empty.ok());
  CHECK(empty->size() == 0);
}

TEST_CASE("sizes of blocks follow from shapes") {
  MatrixInfo m;
  m.rows = 100;
  m.cols = 330;
  m.group = 160;
  m.planes = 3;
  m.encoding = Encoding::kTied;
  // 7 tiles; 8 + 8 + 1 vectors; 3 groups: 7 * 16 * 3 f16 = 672 bytes, padded to 704.
  CHECK(block_scale_bytes(m, 0) == 704);
  CHECK(block_scale_bytes(m, 1) == 0);
  CHECK(block_bytes(m, 0) == 704 + 7 * 17 * 64);
  CHECK(block_bytes(m, 2) == 7 * 17 * 64);
  m.encoding = Encoding::kFree;
  CHECK(block_bytes(m, 2) == 704 + 7 * 17 * 64);
  m.encoding = Encoding::kNative;
  m.group = m.cols;
  CHECK(block_bytes(m, 0) == 448 + 7 * 17 * 64);
  m.encoding = Encoding::kDenseF32;
  CHECK(block_bytes(m, 0) == 132032);  // 132000 padded
  m.encoding = Encoding::kDenseBf16;
  CHECK(block_bytes(m, 0) == 66048);
  m.role = MatrixRole::kDown;
  m.layer = 7;
  CHECK(matrix_name(m) == "layers.7.down");
}

}  // namespace trit
