// A file as memory whose resident pages are chosen: exactly those can be touched, they hold the
// file's bytes, and they come and go without disturbing the others.
#include "model_format/mapped_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace trit {

namespace {

// Whether a byte can be read, without a signal where it cannot.
bool readable(const uint8_t* byte) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const bool fine = write(ends[1], byte, 1) == 1;
  close(ends[0]);
  close(ends[1]);
  return fine;
}

std::string some_bytes(size_t count) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) bytes += static_cast<char>(i * 7 ^ i >> 8 ^ i >> 16);
  return bytes;
}

bool same(const MappedFile& file, const std::string& bytes, uint64_t begin, uint64_t end) {
  return std::memcmp(file.at(begin), bytes.data() + begin, static_cast<size_t>(end - begin)) == 0;
}

}  // namespace

TEST_CASE("addresses lie as the file does, so that huge pages fit") {
  const TempDir folder;
  write_file(folder.path("f"), some_bytes(100));
  auto opened = InputFile::open(folder.path("f"), IoMode::kMap);
  REQUIRE(opened.ok());
  for (const uint64_t begin : {uint64_t{0}, 3 * page_bytes(), kHugePage - page_bytes()})
    for (const uint64_t size : {kHugePage, 3 * kHugePage + page_bytes()}) {
      auto file = MappedFile::reserve(opened.value(), begin, begin + size);
      REQUIRE(file.ok());
      CHECK((reinterpret_cast<uintptr_t>(file->data()) - begin) % kHugePage == 0);
      CHECK(file->pages_size() == size);
    }
}

TEST_CASE("exactly the pages asked for can be touched, and they hold the file") {
  const TempDir folder;
  const uint64_t page = page_bytes(), pages = 24;
  const std::string bytes = some_bytes(pages * page - 100);
  write_file(folder.path("f"), bytes);
  for (const IoMode io : {IoMode::kMap, IoMode::kRead}) {
    auto opened = InputFile::open(folder.path("f"), io);
    REQUIRE(opened.ok());
    // More addresses than there is file: a download goes on.
    auto region = MappedFile::reserve(opened.value(), 3 * page + 64, 2 * pages * page);
    REQUIRE(region.ok());
    MappedFile& file = region.value();
    Random random(1);
    for (int round = 0; round < 200; ++round) {
      std::vector<PageRange> wanted;
      std::vector<bool> in(2 * pages, false);
      for (uint64_t p = 3; p < pages; ++p) {
        if (random.below(3) == 0) continue;
        in[p] = true;
        append_pages(&wanted, {p * page, (p + 1) * page});
      }
      REQUIRE(file.set_resident(wanted).ok());
      for (const PageRange& range : wanted) {
        const uint64_t begin = std::max(range.begin, 3 * page + 64);
        const uint64_t end = std::min<uint64_t>(range.end, bytes.size());
        REQUIRE(file.fill(begin, end).ok());
        CHECK(same(file, bytes, begin, end));
      }
      for (uint64_t p = 3; p < 2 * pages; ++p)
        REQUIRE(readable(file.pages() + (p - 3) * page) == in[p]);
    }
  }
}

TEST_CASE("ranges of pages join where they touch") {
  const uint64_t page = page_bytes();
  std::vector<PageRange> list;
  append_pages(&list, pages_of(1, 2));
  append_pages(&list, pages_of(page - 1, page + 1));
  append_pages(&list, pages_of(3 * page, 3 * page + 1));
  append_pages(&list, pages_of(4 * page, 5 * page));
  REQUIRE(list.size() == 2);
  CHECK(list[0].begin == 0);
  CHECK(list[0].end == 2 * page);
  CHECK(list[1].begin == 3 * page);
  CHECK(list[1].end == 5 * page);
}

TEST_CASE("bytes that come later fill a page whose others are in use") {
  const TempDir folder;
  const uint64_t page = page_bytes();
  const std::string bytes = some_bytes(2 * page);
  const std::string path = folder.path("f");
  for (const IoMode io : {IoMode::kMap, IoMode::kRead}) {
    write_file(path, bytes.substr(0, 100));
    auto opened = InputFile::open(path, io);
    REQUIRE(opened.ok());
    auto file = MappedFile::reserve(opened.value(), 0, 2 * page);
    REQUIRE(file.ok());
    REQUIRE(file->set_resident({{0, page}}).ok());
    REQUIRE(file->fill(0, 100).ok());
    CHECK(same(file.value(), bytes, 0, 100));
    write_file(path, bytes);  // the same file, longer
    CHECK(opened.value()->size() == 2 * page);
    REQUIRE(file->set_resident({{0, 2 * page}}).ok());
    REQUIRE(file->fill(100, 2 * page).ok());
    CHECK(same(file.value(), bytes, 0, 2 * page));
  }
}

TEST_CASE("filling past the end of the file is an error, not a signal") {
  const TempDir folder;
  const uint64_t page = page_bytes();
  write_file(folder.path("f"), some_bytes(page));
  for (const IoMode io : {IoMode::kMap, IoMode::kRead}) {
    auto opened = InputFile::open(folder.path("f"), io);
    REQUIRE(opened.ok());
    auto file = MappedFile::reserve(opened.value(), 0, 3 * page);
    REQUIRE(file.ok());
    REQUIRE(file->set_resident({{0, 3 * page}}).ok());
    CHECK(file->fill(0, page).ok());
    const Status status = file->fill(page, 3 * page);
    CHECK(status.code() == Code::kIo);
    CHECK(status.message().find(folder.path("f")) != std::string::npos);
  }
}

TEST_CASE("an open file stays the same file when another takes its name, and can be asked again") {
  const TempDir folder;
  const std::string path = folder.path("f"), other = folder.path("other");
  write_file(path, some_bytes(1000));
  write_file(other, std::string(2000, 'x'));
  const auto file = InputFile::open(path, IoMode::kAuto);
  REQUIRE(file.ok());
  CHECK(file.value()->io() == IoMode::kMap);  // a folder of tests is on this machine
  REQUIRE(rename(other.c_str(), path.c_str()) == 0);
  CHECK(file.value()->size() == 1000);
  uint8_t bytes[10];
  REQUIRE(file.value()->read(990, bytes, 10).ok());
  CHECK(std::memcmp(bytes, some_bytes(1000).data() + 990, 10) == 0);
  CHECK(file.value()->read(991, bytes, 10).code() == Code::kIo);
}

TEST_CASE("more addresses than there are is an error that names the file") {
  const TempDir folder;
  write_file(folder.path("f"), "x");
  const auto file = InputFile::open(folder.path("f"), IoMode::kMap);
  REQUIRE(file.ok());
  for (const uint64_t end : {uint64_t{1} << 61, uint64_t{1} << 62}) {
    const auto region = MappedFile::reserve(file.value(), 0, end);
    REQUIRE_FALSE(region.ok());
    CHECK(region.status().message().find(folder.path("f")) != std::string::npos);
  }
}

}  // namespace trit
