// See mapped_file.h. Both ways end in pages from mmap: of the file, or anonymous ones read full.
#include "model_format/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace trit {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

Status read_whole(int fd, uint8_t* out, size_t size, const std::string& path) {
  constexpr size_t kMaxRead = size_t{1} << 30;  // some systems refuse more than 2 GiB at once
  for (size_t done = 0; done < size;) {
    const ssize_t n =
        pread(fd, out + done, std::min(size - done, kMaxRead), static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path, "read", errno);
    if (n == 0)
      return bad_field(Code::kIo, path, "size", "end of file",
                       std::to_string(size) + " bytes as when opened", std::to_string(done));
    done += static_cast<size_t>(n);
  }
  return Status();
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path, IoMode io) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) return io_error(path, "open", errno);
  struct stat info;
  if (fstat(file.fd, &info) != 0) return io_error(path, "stat", errno);
  if (S_ISDIR(info.st_mode)) return io_error(path, "read", EISDIR);
  if (!S_ISREG(info.st_mode)) return file_error(Code::kIo, path, "not a regular file");
  if (static_cast<uint64_t>(info.st_size) > SIZE_MAX / 2)
    return file_error(Code::kUnsupported, path, "too large for the address space of this build");

  MappedFile mapped;
  mapped.io_ = io;
  const size_t size = static_cast<size_t>(info.st_size);
  if (size == 0) return mapped;
  const bool map = io == IoMode::kMap;
  void* pages = mmap(nullptr, size, map ? PROT_READ : PROT_READ | PROT_WRITE,
                     map ? MAP_PRIVATE : MAP_PRIVATE | MAP_ANONYMOUS, map ? file.fd : -1, 0);
  if (pages == MAP_FAILED) return io_error(path, "map", errno);
#ifdef MADV_HUGEPAGE
  // A hint. Linux then reads a file that is not in the page cache yet in pieces of 2 MiB where the
  // file system can, and whoever maps it next takes 7 ms instead of 300 to touch 800 MB
  // (ext4, 6.18).
  madvise(pages, size, MADV_HUGEPAGE);
#endif
  mapped.data_ = static_cast<const uint8_t*>(pages);
  mapped.size_ = size;
  if (!map) TRIT_RETURN_IF_ERROR(read_whole(file.fd, static_cast<uint8_t*>(pages), size, path));
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept {
  *this = std::move(other);
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(io_, other.io_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<uint8_t*>(data_), size_);
}

void MappedFile::release(size_t offset, size_t bytes) const {
  assert(offset <= size_ && bytes <= size_ - offset);
  if (io_ != IoMode::kMap || !data_) return;  // owned pages would come back as zeros
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = (offset + bytes) / page * page;
  if (begin < end) madvise(const_cast<uint8_t*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace trit
