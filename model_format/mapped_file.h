// A file as memory. InputFile is the descriptor: opened once, so it stays the same file when
// another one takes its name, and can be asked again how long it is. MappedFile is a stretch of
// addresses for a part of it, of which chosen pages are resident: mapped (clean pages, shared and
// reclaimable) or read into owned memory. All other addresses are reserved and fault: nothing can
// be touched by mistake, and pointers stay where they are while pages come and go. Regular files
// only. Not here: which pages (runtime/plane_stack.h).
#ifndef TRITSTACK_MODEL_FORMAT_MAPPED_FILE_H_
#define TRITSTACK_MODEL_FORMAT_MAPPED_FILE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model_format/status.h"

namespace trit {

// kAuto: read on network file systems, where a lost server would become a signal; map elsewhere.
enum class IoMode { kAuto, kMap, kRead };

class InputFile {
 public:
  static Result<std::shared_ptr<const InputFile>> open(const std::string& path, IoMode io);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  IoMode io() const { return io_; }  // kMap or kRead
  uint64_t size() const;             // now; 0 when the system does not say
  // kIo when it is shorter than `end` bytes now, or a mapping of it could not be read where it was
  // touched (guard_file_access() makes that zeros instead of a signal). Once so, always so.
  Status check(uint64_t end) const;
  void set_failed() const { failed_ = true; }
  // Bytes [offset, offset + bytes), all of them.
  Status read(uint64_t offset, uint8_t* out, uint64_t bytes) const;

 private:
  friend class MappedFile;
  InputFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::string path_;
  const int fd_;
  IoMode io_ = IoMode::kMap;
  mutable std::atomic<bool> failed_{false};  // set by a signal handler too
};

// Bytes [begin, end) of a file, whole pages of it.
struct PageRange {
  uint64_t begin = 0, end = 0;
};
uint64_t page_bytes();
uint64_t physical_bytes();                         // memory of the machine
PageRange pages_of(uint64_t begin, uint64_t end);  // those that hold bytes [begin, end)
// Appends a range that begins at or after all others; one that touches the last joins it.
void append_pages(std::vector<PageRange>* list, PageRange pages);

constexpr uint64_t kHugePage = 2 << 20;  // of x86 and, with pages of 4 KiB, of Arm
// `bytes` (whole pages) of private zeros at an address that is `offset` modulo kHugePage, so that
// huge pages fit; null when there is no memory. Freed with munmap.
uint8_t* reserve_pages(uint64_t bytes, uint64_t offset, int protection);

class MappedFile {
 public:
  // The whole file, resident.
  static Result<MappedFile> open(const std::string& path, IoMode io = IoMode::kMap);
  // io: kAuto: as the file was opened.
  static Result<MappedFile> open(std::shared_ptr<const InputFile> file, uint64_t begin,
                                 uint64_t end, IoMode io = IoMode::kAuto);
  // Addresses for bytes [begin, end), which may be past the end of the file; none resident.
  static Result<MappedFile> reserve(std::shared_ptr<const InputFile> file, uint64_t begin,
                                    uint64_t end, IoMode io = IoMode::kAuto);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { swap(&other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    swap(&other);
    return *this;
  }
  ~MappedFile();

  const uint8_t* data() const { return at(begin_); }  // null when there are no bytes
  size_t size() const { return static_cast<size_t>(end_ - begin_); }
  // All of its addresses, whole pages.
  const uint8_t* pages() const { return pages_; }
  size_t pages_size() const;
  // kIo when its bytes are not those of the file any more: see InputFile::check().
  Status check() const { return file_->check(io_ == IoMode::kMap ? end_ : 0); }
  // Where byte `offset` of the file is.
  const uint8_t* at(uint64_t offset) const {
    assert(offset >= begin_ && offset <= end_);
    return pages_ + (offset - first_page_);
  }

  // Makes exactly these pages resident, ascending: the others leave first, at once. The new ones
  // come when they are touched (mapped) or are zero until fill() (read). On an error what was
  // resident before and is asked for still is.
  Status set_resident(const std::vector<PageRange>& pages);
  // Brings bytes [begin, end) of resident pages in and waits for it. Pages that others use stay
  // usable.
  Status fill(uint64_t begin, uint64_t end);
  // Gives mapped pages inside [begin, end) back (a hint). They come back when touched.
  void release(uint64_t begin, uint64_t end) const;

 private:
  void swap(MappedFile* other);
  Status map(PageRange pages);
  Status unmap(PageRange pages);

  std::shared_ptr<const InputFile> file_;
  IoMode io_ = IoMode::kMap;
  uint8_t* pages_ = nullptr;
  uint64_t begin_ = 0, end_ = 0;  // in the file
  uint64_t first_page_ = 0;       // page of begin_
  std::vector<PageRange> resident_;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_MAPPED_FILE_H_
