// Files that appear whole or not at all. The output has no name until publish(): where the system
// can, not even SIGKILL leaves a trace; elsewhere a temporary `.<name>.<pid>.<n>.tmp` lies in the
// same folder and goes with its owner. Also here: unnamed scratch files, and reads and writes at
// offsets that are complete or an error.
#ifndef TRITSTACK_MODEL_FORMAT_OUTPUT_FILE_H_
#define TRITSTACK_MODEL_FORMAT_OUTPUT_FILE_H_

#include <cstdint>
#include <string>

#include "model_format/status.h"

namespace trit {

// An open file; `path` names it in errors. Thread-safe. Move-only.
class OpenFile {
 public:
  OpenFile() = default;
  OpenFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  OpenFile(OpenFile&& other) noexcept { *this = std::move(other); }
  OpenFile& operator=(OpenFile&& other) noexcept;
  ~OpenFile();

  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  const std::string& path() const { return path_; }
  Status write(uint64_t offset, const void* data, uint64_t bytes) const;
  Status read(uint64_t offset, void* data, uint64_t bytes) const;
  Status resize(uint64_t bytes) const;  // new bytes are 0
  Status sync() const;

 private:
  int fd_ = -1;
  std::string path_;
};

// A file in the folder of `path` that has no name and goes when it is closed.
Result<OpenFile> open_scratch(const std::string& path);

class OutputFile {
 public:
  // kUsage when `path` exists and not `force`, or is not a file; kIo. `unnamed`: try without a
  // temporary name first.
  static Result<OutputFile> create(const std::string& path, bool force, bool unnamed = true);
  OutputFile() = default;
  OutputFile(OutputFile&& other) noexcept { *this = std::move(other); }
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();  // without publish() nothing is left

  const OpenFile& file() const { return file_; }
  // Gives the file its name, durably. kUsage when one has appeared there meanwhile and not force.
  Status publish();

 private:
  Status link_to(const std::string& name);

  OpenFile file_;
  std::string path_;
  std::string temporary_;  // the name it has meanwhile; empty: none
  bool force_ = false;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_OUTPUT_FILE_H_
