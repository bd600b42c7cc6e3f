// See mapped_file.h. Pages change hands by MAP_FIXED: the file, owned memory and the reservation
// replace each other in place, and what was there before leaves the process at that moment.
#include "model_format/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#else
#include <sys/mount.h>
#include <sys/param.h>
#endif

#include <algorithm>
#include <cerrno>
#include <utility>

#include "model_format/file_guard.h"

namespace trit {
namespace {

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

uint64_t page_floor(uint64_t offset) {
  return offset / page_bytes() * page_bytes();
}

uint64_t page_ceil(uint64_t offset) {
  return page_floor(offset + page_bytes() - 1);
}

bool on_network(int fd) {
  struct statfs info;
  if (fstatfs(fd, &info) != 0) return false;
#ifdef __linux__
  switch (static_cast<uint32_t>(info.f_type)) {
    case 0x00006969:  // NFS
    case 0x0000517b:  // SMB
    case 0xff534d42:  // CIFS
    case 0xfe534d42:  // SMB2
    case 0x01021997:  // 9P
    case 0x00c36400:  // Ceph
    case 0x5346414f:  // AFS
    case 0x6b414653:  // kAFS
    case 0x0bd00bd0:  // Lustre
#ifndef __ANDROID__   // there it is the shared storage
    case 0x65735546:  // FUSE: sshfs, rclone
#endif
      return true;
    default:
      return false;
  }
#elif defined(MNT_LOCAL)
  return (info.f_flags & MNT_LOCAL) == 0;
#else
  return false;
#endif
}

// Parts of the ranges of `from` that are in none of `without`; both ascend.
std::vector<PageRange> difference(const std::vector<PageRange>& from,
                                  const std::vector<PageRange>& without) {
  std::vector<PageRange> rest;
  auto cut = without.begin();
  for (PageRange range : from) {
    while (cut != without.end() && cut->end <= range.begin) ++cut;
    for (auto c = cut; c != without.end() && c->begin < range.end; ++c) {
      if (c->begin > range.begin) rest.push_back({range.begin, c->begin});
      range.begin = std::min(c->end, range.end);
    }
    if (range.begin < range.end) rest.push_back(range);
  }
  return rest;
}

// Without MADV_POPULATE_READ: one byte of each page.
void touch(const uint8_t* begin, const uint8_t* end) {
  for (; begin < end; begin += page_bytes()) {
    const volatile uint8_t* byte = begin;
    static_cast<void>(*byte);
  }
}

}  // namespace

// ---- InputFile

Result<std::shared_ptr<const InputFile>> InputFile::open(const std::string& path, IoMode io) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return io_error(path, "open", errno);
  std::shared_ptr<InputFile> file(new InputFile(path, fd));
  struct stat info;
  if (fstat(fd, &info) != 0) return io_error(path, "stat", errno);
  if (S_ISDIR(info.st_mode))
    return file_error(Code::kIo, path,
                      "a folder; tritstack quantize makes a .trit file of a Hugging Face folder");
  if (!S_ISREG(info.st_mode)) return file_error(Code::kIo, path, "not a regular file");
  if (io == IoMode::kAuto) io = on_network(fd) ? IoMode::kRead : IoMode::kMap;
  file->io_ = io;
  return std::shared_ptr<const InputFile>(std::move(file));
}

InputFile::~InputFile() {
  close(fd_);
}

uint64_t InputFile::size() const {
  struct stat info;
  return fstat(fd_, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

Status InputFile::check(uint64_t end) const {
  if (size() < end) failed_ = true;
  if (!failed_) return Status();
  return file_error(Code::kIo, path_, "cut short or unreadable while it was in use");
}

Status InputFile::read(uint64_t offset, uint8_t* out, uint64_t bytes) const {
  constexpr uint64_t kMaxRead = uint64_t{1} << 30;  // some systems refuse more than 2 GiB at once
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t n = pread(fd_, out + done, static_cast<size_t>(std::min(bytes - done, kMaxRead)),
                            static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path_, "read", errno);
    if (n == 0)
      return bad_field(Code::kIo, path_, "size", "end of file",
                       "at least " + std::to_string(offset + bytes) + " bytes as when opened",
                       std::to_string(offset + done));
    done += static_cast<uint64_t>(n);
  }
  return Status();
}

// ---- pages

uint64_t page_bytes() {
  static const uint64_t bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

uint64_t physical_bytes() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * page_bytes();
}

PageRange pages_of(uint64_t begin, uint64_t end) {
  return {page_floor(begin), page_ceil(end)};
}

void append_pages(std::vector<PageRange>* list, PageRange pages) {
  if (!list->empty() && pages.begin <= list->back().end)
    list->back().end = std::max(list->back().end, pages.end);
  else
    list->push_back(pages);
}

// ---- MappedFile

uint8_t* reserve_pages(uint64_t bytes, uint64_t offset, int protection) {
  // More addresses than needed, so that one of them is right; the rest goes back.
  const uint64_t spare = bytes < kHugePage ? 0 : kHugePage;
  if (bytes > SIZE_MAX / 2) return errno = ENOMEM, nullptr;
  void* pages = mmap(nullptr, static_cast<size_t>(bytes + spare), protection,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  uint8_t* begin = static_cast<uint8_t*>(pages);
  const size_t skip = spare ? (offset - reinterpret_cast<uintptr_t>(begin)) % kHugePage : 0;
  if (skip) munmap(begin, skip);
  if (spare > skip) munmap(begin + skip + bytes, spare - skip);
  return begin + skip;
}

Result<MappedFile> MappedFile::reserve(std::shared_ptr<const InputFile> file, uint64_t begin,
                                       uint64_t end, IoMode io) {
  MappedFile region;
  region.io_ = io == IoMode::kAuto ? file->io() : io;
  region.file_ = std::move(file);
  region.begin_ = begin;
  region.end_ = end;
  region.first_page_ = page_floor(begin);
  if (begin == end) return region;
  const uint64_t bytes = page_ceil(end) - region.first_page_;
  if (bytes > SIZE_MAX / 2)
    return file_error(Code::kUnsupported, region.file_->path_,
                      "too large for the address space of this build");
  region.pages_ = reserve_pages(bytes, region.first_page_, PROT_NONE);
  if (!region.pages_) return io_error(region.file_->path_, "map", errno);
  if (region.io_ == IoMode::kMap)
    register_mapping(region.pages_, static_cast<size_t>(bytes), &region.file_->failed_);
  return region;
}

Result<MappedFile> MappedFile::open(std::shared_ptr<const InputFile> file, uint64_t begin,
                                    uint64_t end, IoMode io) {
  Result<MappedFile> region = reserve(std::move(file), begin, end, io);
  if (!region.ok() || begin == end) return region;
  TRIT_RETURN_IF_ERROR(region->set_resident({pages_of(begin, end)}));
  if (region->io_ == IoMode::kRead) TRIT_RETURN_IF_ERROR(region->fill(begin, end));
  return region;
}

Result<MappedFile> MappedFile::open(const std::string& path, IoMode io) {
  Result<std::shared_ptr<const InputFile>> file = InputFile::open(path, io);
  if (!file.ok()) return file.status();
  const uint64_t size = file.value()->size();
  return open(std::move(file.value()), 0, size);
}

void MappedFile::swap(MappedFile* other) {
  std::swap(file_, other->file_);
  std::swap(io_, other->io_);
  std::swap(pages_, other->pages_);
  std::swap(begin_, other->begin_);
  std::swap(end_, other->end_);
  std::swap(first_page_, other->first_page_);
  std::swap(resident_, other->resident_);
}

MappedFile::~MappedFile() {
  if (!pages_) return;
  if (io_ == IoMode::kMap) unregister_mapping(pages_);
  munmap(pages_, pages_size());
}

size_t MappedFile::pages_size() const {
  return pages_ ? static_cast<size_t>(page_ceil(end_) - first_page_) : 0;
}

Status MappedFile::map(PageRange pages) {
  const bool owned = io_ == IoMode::kRead;
  uint8_t* at = pages_ + (pages.begin - first_page_);
  const size_t bytes = static_cast<size_t>(pages.end - pages.begin);
  if (mmap(at, bytes, owned ? PROT_READ | PROT_WRITE : PROT_READ,
           MAP_FIXED | MAP_PRIVATE | (owned ? MAP_ANONYMOUS : 0), owned ? -1 : file_->fd_,
           owned ? 0 : static_cast<off_t>(pages.begin)) == MAP_FAILED)
    return io_error(file_->path_, "map", errno);
#ifdef MADV_HUGEPAGE
  // A hint. Linux then reads a file that is not in the page cache yet in pieces of 2 MiB where the
  // file system can: touching 800 MB takes 7 ms instead of 300 (ext4, 6.18), and decoding is up to
  // a quarter faster on a Zen 4.
  madvise(at, bytes, MADV_HUGEPAGE);
#endif
  return Status();
}

Status MappedFile::unmap(PageRange pages) {
  uint8_t* at = pages_ + (pages.begin - first_page_);
  const size_t bytes = static_cast<size_t>(pages.end - pages.begin);
  // Emptied first, under a lock that others' page faults share: replacing them takes no time then.
  madvise(at, bytes, MADV_DONTNEED);
  if (mmap(at, bytes, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) ==
      MAP_FAILED)
    return io_error(file_->path_, "unmap", errno);
  return Status();
}

Status MappedFile::set_resident(const std::vector<PageRange>& pages) {
  const std::vector<PageRange> leaving = difference(resident_, pages);
  const std::vector<PageRange> coming = difference(pages, resident_);
  std::vector<PageRange> kept = difference(resident_, leaving), all = pages;
  Status left;
  for (const PageRange& range : leaving) {
    const Status unmapped = unmap(range);
    if (left.ok()) left = unmapped;
  }
  resident_ = std::move(kept);
  if (!left.ok()) return left;
  for (auto range = coming.begin(); range != coming.end(); ++range) {
    const Status mapped = map(*range);
    if (mapped.ok()) continue;
    while (range != coming.begin()) TRIT_RETURN_IF_ERROR(unmap(*--range));
    return mapped;
  }
  resident_ = std::move(all);
  return Status();
}

Status MappedFile::fill(uint64_t begin, uint64_t end) {
  uint8_t* to = pages_ + (begin - first_page_);
  if (io_ == IoMode::kRead) return file_->read(begin, to, end - begin);
  const PageRange pages = pages_of(begin, end);
  uint8_t* at = pages_ + (pages.begin - first_page_);
#ifdef MADV_POPULATE_READ
  // Fails where a plain access would be a signal.
  if (madvise(at, static_cast<size_t>(pages.end - pages.begin), MADV_POPULATE_READ) == 0)
    return Status();
  if (errno != EINVAL && errno != EAGAIN && errno != EINTR)
    return io_error(file_->path_, "read", errno == EFAULT ? EIO : errno);
#endif
  touch(at, at + (pages.end - pages.begin));
  return Status();
}

void MappedFile::release(uint64_t begin, uint64_t end) const {
  if (!pages_ || io_ != IoMode::kMap) return;  // owned pages would come back as zeros
  // What lies beside the file belongs to others.
  const uint64_t first = page_ceil(std::max(begin, begin_)), last = page_floor(std::min(end, end_));
  if (first < last)
    madvise(pages_ + (first - first_page_), static_cast<size_t>(last - first), MADV_DONTNEED);
}

}  // namespace trit
