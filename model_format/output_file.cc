// See output_file.h.
#include "model_format/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace trit {
namespace {

constexpr mode_t kMode = 0666;                        // less the umask
constexpr uint64_t kMaxTransfer = uint64_t{1} << 30;  // some systems refuse more than 2 GiB at once

std::string folder_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// The first free one: a killed process may have had our number, as in containers they all have.
std::string temporary_name(const std::string& path) {
  // Not all of a name that is itself almost as long as names may be.
  const std::string name = path.substr(path.find_last_of('/') + 1).substr(0, 200);
  std::string temporary;
  struct stat info;
  for (int i = 0; i == 0 || lstat(temporary.c_str(), &info) == 0; ++i)
    temporary = folder_of(path) + "/." + name + "." + std::to_string(getpid()) + "." +
                std::to_string(i) + ".tmp";
  return temporary;
}

std::string descriptor_name(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

// A file without a name in `folder`, -1 where the system has none. `linkable`: it may get one.
int open_unnamed(const std::string& folder, bool linkable) {
#ifdef O_TMPFILE
  const int fd =
      open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | (linkable ? 0 : O_EXCL), kMode);
  if (fd < 0 || !linkable || access(descriptor_name(fd).c_str(), F_OK) == 0) return fd;
  close(fd);  // no /proc, so there would be no way to name it
#endif
  (void)folder, (void)linkable;
  return -1;
}

Status exists_error(const std::string& path) {
  return file_error(Code::kUsage, path, "exists already (--force overwrites it)");
}

}  // namespace

OpenFile& OpenFile::operator=(OpenFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

OpenFile::~OpenFile() {
  if (fd_ >= 0) close(fd_);
}

Status OpenFile::write(uint64_t offset, const void* data, uint64_t bytes) const {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = pwrite(fd_, at, std::min(bytes, kMaxTransfer), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return io_error(path_, "write", n < 0 ? errno : ENOSPC);
    at += n;
    offset += static_cast<uint64_t>(n);
    bytes -= static_cast<uint64_t>(n);
  }
  return Status();
}

Status OpenFile::read(uint64_t offset, void* data, uint64_t bytes) const {
  char* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t n = pread(fd_, at, std::min(bytes, kMaxTransfer), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return io_error(path_, "read", n < 0 ? errno : EIO);
    at += n;
    offset += static_cast<uint64_t>(n);
    bytes -= static_cast<uint64_t>(n);
  }
  return Status();
}

Status OpenFile::resize(uint64_t bytes) const {
  return ftruncate(fd_, static_cast<off_t>(bytes)) == 0 ? Status()
                                                        : io_error(path_, "resize", errno);
}

Status OpenFile::sync() const {
  return fsync(fd_) == 0 ? Status() : io_error(path_, "sync", errno);
}

Result<OpenFile> open_scratch(const std::string& path) {
  if (const int fd = open_unnamed(folder_of(path), false); fd >= 0) return OpenFile(fd, path);
  std::string name = temporary_name(path) + ".XXXXXX";
  const int fd = mkstemp(name.data());
  if (fd < 0) return io_error(path, "create a scratch file beside it", errno);
  unlink(name.c_str());
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return OpenFile(fd, path);
}

Result<OutputFile> OutputFile::create(const std::string& path, bool force, bool unnamed) {
  struct stat info;
  if (path == "-") return file_error(Code::kUsage, path, "standard output is no file to write to");
  if (path.empty() || path.back() == '/')
    return file_error(Code::kUsage, quoted(path), "not a file name to write to");
  if (lstat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return file_error(Code::kUsage, path, "is a directory");
    // A link is replaced itself, but not one such as /dev/stdout.
    const bool is_link = S_ISLNK(info.st_mode);
    if (is_link ? stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) : !S_ISREG(info.st_mode))
      return file_error(Code::kUsage, path, "is not a regular file");
    if (!force) return exists_error(path);
  }
  OutputFile output;
  output.path_ = path;
  output.force_ = force;
  int fd = unnamed ? open_unnamed(folder_of(path), true) : -1;
  if (fd < 0) {
    const std::string name = temporary_name(path);
    fd = open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode);
    if (fd < 0) return io_error(path, "create", errno);
    output.temporary_ = name;
  }
  output.file_ = OpenFile(fd, path);
  return output;
}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(force_, other.force_);
  return *this;
}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

Status OutputFile::link_to(const std::string& name) {
  const bool named = !temporary_.empty();
  const std::string from = named ? temporary_ : descriptor_name(file_.fd());
  if (linkat(AT_FDCWD, from.c_str(), AT_FDCWD, name.c_str(), named ? 0 : AT_SYMLINK_FOLLOW) == 0)
    return Status();
  if (errno == EEXIST) return exists_error(name);
  // FAT and some network folders have no links: the name is only looked up, not reserved.
  struct stat info;
  if (named && (errno == EPERM || errno == EOPNOTSUPP) && lstat(name.c_str(), &info) != 0 &&
      rename(from.c_str(), name.c_str()) == 0)
    return Status();
  return io_error(path_, "create", errno);
}

Status OutputFile::publish() {
  TRIT_RETURN_IF_ERROR(file_.sync());
  if (!force_) {
    TRIT_RETURN_IF_ERROR(link_to(path_));
    if (!temporary_.empty()) unlink(temporary_.c_str());
  } else {
    // Only rename() replaces a file in one step, and it needs a name to rename.
    if (temporary_.empty()) {
      const std::string name = temporary_name(path_);
      TRIT_RETURN_IF_ERROR(link_to(name));
      temporary_ = name;
    }
    if (rename(temporary_.c_str(), path_.c_str()) != 0) return io_error(path_, "replace", errno);
  }
  temporary_.clear();
  const OpenFile folder(open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                        folder_of(path_));
  // Some file systems cannot sync a folder; the file itself is synced and has its name.
  if (folder.is_open() && fsync(folder.fd()) != 0 && errno != EINVAL && errno != ENOTSUP)
    return io_error(folder.path(), "sync", errno);
  return Status();
}

}  // namespace trit
