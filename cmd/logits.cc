// tritstack logits: the raw scores after each of some tokens, as little-endian f32, and their hash:
// equal hashes mean equal bits, whatever the CPU, the threads and the chunking.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/memory_budget.h"
#include "cmd/common/model_flags.h"
#include "cmd/common/output.h"
#include "cmd/common/terminal.h"
#include "model_format/checksum.h"
#include "model_format/output_file.h"

namespace trit {

namespace {

constexpr size_t kChunk = 64;  // tokens whose logits are in memory at once, unless -ub is larger

// Where -o leads. A regular file appears whole or not at all; devices, pipes and links are written
// straight; standard output, by whatever name, goes where all results go.
class LogitsOutput {
 public:
  ~LogitsOutput() {
    if (fd_ >= 0) close(fd_);
  }

  bool is_stdout() const { return is_stdout_; }

  int open_path(const std::string& path) {
    path_ = path;
    struct stat named, target, own;
    const bool exists = lstat(path.c_str(), &named) == 0;
    is_stdout_ =
        path == "-" || path == "/dev/stdout" ||
        (exists && S_ISLNK(named.st_mode) && stat(path.c_str(), &target) == 0 &&
         fstat(1, &own) == 0 && target.st_dev == own.st_dev && target.st_ino == own.st_ino);
    if (is_stdout_) return TRIT_OK;
    if (!exists || S_ISREG(named.st_mode) || S_ISDIR(named.st_mode)) {
      Result<OutputFile> created = OutputFile::create(path, true);
      if (!created.ok()) return fail(created.status());
      file_ = std::move(created.value());
      return TRIT_OK;
    }
    fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
    if (fd_ < 0 && interrupted()) return fail(TRIT_CANCELLED, "interrupted");
    return fd_ < 0 ? fail_io(path, "open", errno) : TRIT_OK;
  }

  int write_bytes(const void* data, size_t bytes) {
    if (file_) {
      const Status written = file_->file().write(written_, data, bytes);
      written_ += bytes;
      return written.ok() ? TRIT_OK : fail(written);
    }
    const auto* at = static_cast<const char*>(data);
    if (is_stdout_) print({at, bytes});
    while (fd_ >= 0 && bytes > 0) {
      const ssize_t n = write(fd_, at, bytes);
      if (interrupted()) return fail(TRIT_CANCELLED, "interrupted");
      if (n < 0 && errno != EINTR) return fail_io(path_, "write", errno);
      at += std::max<ssize_t>(n, 0);
      bytes -= static_cast<size_t>(std::max<ssize_t>(n, 0));
    }
    return TRIT_OK;
  }

  int publish() {
    if (!file_) return TRIT_OK;
    const Status published = file_->publish();
    return published.ok() ? TRIT_OK : fail(published);
  }

 private:
  std::string path_;
  std::optional<OutputFile> file_;
  uint64_t written_ = 0;
  int fd_ = -1;
  bool is_stdout_ = false;
};

// Prefills in pieces and hands the logits of each to the hash and to the output, if there is one.
int write_logits(const TokenIds& ids, size_t chunk, size_t vocab, trit_session* session,
                 Hasher* hasher, LogitsOutput* output) {
  std::vector<float> logits(std::min(chunk, ids.size()) * vocab);
  for (size_t begin = 0; begin < ids.size(); begin += chunk) {
    const size_t count = std::min(chunk, ids.size() - begin);
    const trit_status s = trit_session_prefill(session, ids.data() + begin, count, logits.data());
    if (interrupted()) return fail(TRIT_CANCELLED, "interrupted");
    if (s) return fail(s);
    const size_t bytes = count * vocab * sizeof(float);
    hasher->update(logits.data(), bytes);
    if (!output) continue;
    if (const int code = output->write_bytes(logits.data(), bytes)) return code;
  }
  return output ? output->publish() : TRIT_OK;
}

// The ids and where they came from, for errors.
int read_ids(const std::optional<std::string>& tokens, const std::optional<std::string>& file,
             uint32_t vocab, const ModelFlags& flags, TokenIds* ids) {
  if (tokens) return parse_ids(*tokens, "logits: --tokens", TRIT_USAGE, vocab, ids);
  std::string list;
  if (const int code = read_in_budget(*file, UINT64_MAX, flags, &list)) return code;
  return parse_ids(list, *file, TRIT_MALFORMED, vocab, ids);
}

void print_hash(uint64_t digest, size_t tokens, size_t vocab, bool json, bool to_stderr) {
  const std::string hash = format("%016" PRIx64, digest);
  if (json) {
    JsonWriter out;
    out.begin_object().member("hash", hash).member("tokens", uint64_t{tokens});
    print(out.member("vocab", uint64_t{vocab}).end_object().text() + "\n");
  } else {
    to_stderr ? note("hash " + hash) : print(hash + "\n");
  }
}

}  // namespace

int logits_command(int argc, char** argv) {
  ModelFlags flags;
  std::optional<std::string> tokens, tokens_file, path;
  bool json = false;
  const CommandLine command = {
      "logits", "write the scores after each token; prints their 64-bit hash",
      "  tritstack logits -m qwen.trit --tokens 1,2,3 -o logits.f32\n"
      "  tritstack logits -m qwen.trit --tokens-file ids.txt -t 4\n",
      join_flags(model_flags(&flags),
                 {{"--tokens", "IDS", "token ids such as 1,2,3", TextTarget{&tokens, {}}},
                  {"--tokens-file", "FILE", "ids separated by white space (-: standard input)",
                   TextTarget{&tokens_file, {}}},
                  {"-o, --output", "FILE",
                   "raw little-endian f32, tokens x vocabulary (-: standard output, the hash to "
                   "standard error)",
                   TextTarget{&path, {}}},
                  {"--json", "", "print one JSON object", SwitchTarget{&json}}},
                 session_flags(&flags))};
  if (const auto end = parse_args(command, argc, argv)) return *end;
  if (tokens.has_value() == tokens_file.has_value())
    return fail(TRIT_USAGE, "logits: expected exactly one of --tokens IDS and --tokens-file FILE");
  catch_interrupts();
  decide_memory(&flags);

  ModelHandle model;
  if (const int code = open_model(flags, &model)) return code;
  const uint32_t vocab = model_info(model.get()).vocab;
  TokenIds ids;
  if (const int code = read_ids(tokens, tokens_file, vocab, flags, &ids)) return code;
  const size_t chunk = std::max(kChunk, static_cast<size_t>(flags.chunk.value_or(0)));
  const size_t kept = std::min(chunk, ids.size()) * vocab * sizeof(float);
  if (const int code = set_aside(kept, model.get(), &flags)) return code;
  SessionHandle session;
  if (const int code = open_session(flags, model.get(), 0, &session)) return code;
  if (const int code = check_prompt(ids, model.get(), session.get())) return code;

  LogitsOutput output;
  if (path) {
    if (const int code = refuse_input(*path, *flags.model, "the model")) return code;
    if (tokens_file)
      if (const int code = refuse_input(*path, *tokens_file, "the list of tokens")) return code;
    if (const int code = output.open_path(*path)) return code;
  }
  if (output.is_stdout() && is_terminal(STDOUT_FILENO))
    return fail(TRIT_USAGE, "logits: -o " + *path + ": raw numbers, not for a terminal");
  if (json && output.is_stdout())
    return fail(TRIT_USAGE, "logits: --json and -o " + *path + " both write to standard output");
  announce(flags, model.get(), session.get());
  PressureWatch watch(flags, model.get(), PressureWatch::Lines::kAtOnce);
  Hasher hasher(0);
  if (const int code =
          write_logits(ids, chunk, vocab, session.get(), &hasher, path ? &output : nullptr))
    return code;
  print_hash(hasher.digest(), ids.size(), vocab, json, output.is_stdout());
  return TRIT_OK;
}

}  // namespace trit
