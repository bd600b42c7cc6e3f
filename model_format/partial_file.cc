// See partial_file.h. Magic and identity, an entry for each matrix (errors and hash), its blocks.
// An entry is written when its blocks are, and holds if its hash is theirs: so neither a crash nor
// bytes from elsewhere make a matrix finished.
#include "model_format/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "model_format/checksum.h"
#include "model_format/file_layout.h"

namespace trit {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
struct Start {
  char magic[8];
  uint64_t identity;
};
constexpr char kPartialMagic[] = "\x89TRTpart";  // no other file's
constexpr uint64_t kEntries = sizeof(Start);     // where they begin

}  // namespace

Result<PartialFile> PartialFile::open(const std::string& output, uint64_t identity,
                                      const std::vector<MatrixInfo>& matrices, bool force) {
  PartialFile p;
  const std::string path = output + ".partial";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666);
  if (fd < 0) return io_error(path, "create", errno);
  p.file_ = OpenFile(fd, path);
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
    return file_error(Code::kUsage, path, "is not a regular file");
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return file_error(Code::kUsage, path, "is being written by another process");
  p.identity_ = identity;
  p.entries_.resize(matrices.size(), Entry{});
  uint64_t end = kEntries + matrices.size() * sizeof(Entry);
  for (const MatrixInfo& m : matrices)
    for (uint32_t plane = 0; plane < kMaxPlanes; ++plane) {
      p.places_.push_back(end);
      if (plane < m.planes) end += block_bytes(m, plane);
    }
  p.places_.push_back(end);
  const uint64_t size = static_cast<uint64_t>(info.st_size);
  Start start = {};
  if (size > 0) {
    TRIT_RETURN_IF_ERROR(p.file_.read(0, &start, std::min<uint64_t>(size, sizeof start)));
    if (std::memcmp(start.magic, kPartialMagic, sizeof start.magic) != 0)
      return file_error(Code::kUsage, path, "is not a file of this program and in its way");
    if (start.identity != identity && !force)
      return file_error(Code::kUsage, path,
                        "has the work of another run: other options, another source or another "
                        "version (--force gives it up)");
  }
  if (size == end && start.identity == identity) {
    TRIT_RETURN_IF_ERROR(p.read_entries());
  } else {
    p.forgot_ = size > 0;
    std::memcpy(start.magic, kPartialMagic, sizeof start.magic);
    start.identity = identity;
    TRIT_RETURN_IF_ERROR(p.file_.resize(0));
    Status begun = p.file_.write(0, &start, sizeof start);
    if (begun.ok()) begun = p.file_.resize(end);
    if (!begun.ok()) {
      ::unlink(path.c_str());  // it holds no work yet
      return begun;
    }
  }
  return p;
}

Status PartialFile::read_entries() {
  TRIT_RETURN_IF_ERROR(file_.read(kEntries, entries_.data(), entries_.size() * sizeof(Entry)));
  for (uint32_t m = 0; m < entries_.size(); ++m) {
    Entry& entry = entries_[m];
    if (entry.hash == 0) continue;
    const Result<uint64_t> found = hash(m);
    if (!found.ok()) return found.status();
    bool whole = found.value() == entry.hash;
    for (const float error : entry.errors) whole &= error >= 0 && std::isfinite(error);
    if (whole) continue;
    entry = Entry{};
    forgot_ = true;
  }
  return Status();
}

// Of the blocks and errors of a matrix.
Result<uint64_t> PartialFile::hash(uint32_t matrix) const {
  Hasher hasher(block_seed(identity_, matrix, 0));
  hasher.update(entries_[matrix].errors, sizeof entries_[matrix].errors);
  std::vector<uint8_t> piece;
  const uint64_t end = place(matrix + 1, 0);
  for (uint64_t at = place(matrix, 0); at < end; at += piece.size()) {
    piece.resize(std::min(end - at, kPieceBytes));
    TRIT_RETURN_IF_ERROR(file_.read(at, piece.data(), piece.size()));
    hasher.update(piece.data(), piece.size());
  }
  return hasher.digest();
}

uint32_t PartialFile::finished_count() const {
  uint32_t count = 0;
  for (const Entry& entry : entries_) count += entry.hash != 0;
  return count;
}

Status PartialFile::finish(uint32_t matrix, const float* errors, uint32_t planes) {
  Entry& entry = entries_[matrix];
  std::copy(errors, errors + planes, entry.errors);
  const Result<uint64_t> found = hash(matrix);
  if (!found.ok()) return found.status();
  entry.hash = found.value();
  return file_.write(kEntries + matrix * sizeof entry, &entry, sizeof entry);
}

void PartialFile::remove() const {
  unlink(file_.path().c_str());
}

}  // namespace trit
