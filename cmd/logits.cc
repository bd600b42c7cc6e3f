// tritstack logits: the raw scores after each of some tokens, as little-endian f32, and their hash:
// equal hashes mean equal bits, whatever the CPU, the threads and the chunking.
#include <algorithm>
#include <cinttypes>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/model_flags.h"
#include "cmd/common/output.h"
#include "model_format/checksum.h"
#include "model_format/output_file.h"

namespace trit {

namespace {

constexpr size_t kChunk = 64;  // tokens whose logits are in memory at once, unless -ub is larger

// Prefills in pieces and hands the logits of each to the hash and to the file.
int write_logits(const TokenIds& ids, size_t chunk, size_t vocab, trit_session* session,
                 Hasher* hasher, const OpenFile* file) {
  std::vector<float> logits(std::min(chunk, ids.size()) * vocab);
  for (size_t begin = 0; begin < ids.size(); begin += chunk) {
    const size_t count = std::min(chunk, ids.size() - begin);
    if (const trit_status s =
            trit_session_prefill(session, ids.data() + begin, count, logits.data()))
      return interrupted() ? fail(TRIT_CANCELLED, "interrupted") : fail(s);
    const size_t bytes = count * vocab * sizeof(float);
    hasher->update(logits.data(), bytes);
    if (!file) continue;
    const Status written = file->write(begin * vocab * sizeof(float), logits.data(), bytes);
    if (!written.ok()) return fail(written);
  }
  return TRIT_OK;
}

// The ids and where they came from, for errors.
int read_ids(const std::optional<std::string>& tokens, const std::optional<std::string>& file,
             TokenIds* ids) {
  if (tokens) return parse_ids(*tokens, "logits: --tokens", TRIT_USAGE, ids);
  std::string list;
  if (const int code = read_text(*file, UINT64_MAX, &list)) return code;
  return parse_ids(list, *file, TRIT_MALFORMED, ids);
}

}  // namespace

int logits_command(int argc, char** argv) {
  ModelFlags flags;
  std::optional<std::string> tokens, tokens_file, output;
  bool json = false;
  const CommandLine command = {
      "logits", "write the scores after each token; prints their 64-bit hash",
      "  tritstack logits -m qwen.trit --tokens 1,2,3 -o logits.f32\n"
      "  tritstack logits -m qwen.trit --tokens-file ids.txt -t 4\n",
      join_flags(model_flags(&flags),
                 {{"--tokens", "IDS", "token ids such as 1,2,3", TextTarget{&tokens, {}}},
                  {"--tokens-file", "FILE", "ids separated by white space (-: standard input)",
                   TextTarget{&tokens_file, {}}},
                  {"-o, --output", "FILE", "raw little-endian f32, tokens x vocabulary",
                   TextTarget{&output, {}}},
                  {"--json", "", "print one JSON object", SwitchTarget{&json}}},
                 session_flags(&flags))};
  if (const auto end = parse_args(command, argc, argv)) return *end;
  if (tokens.has_value() == tokens_file.has_value())
    return fail(TRIT_USAGE, "logits: expected exactly one of --tokens IDS and --tokens-file FILE");
  catch_interrupts();

  TokenIds ids;
  if (const int code = read_ids(tokens, tokens_file, &ids)) return code;
  ModelHandle model;
  if (const int code = open_model(flags, &model)) return code;
  SessionHandle session;
  if (const int code = open_session(flags, model.get(), 0, &session)) return code;
  if (const int code = check_prompt(ids, model.get(), session.get())) return code;

  const size_t vocab = model_info(model.get()).vocab;
  const size_t chunk = std::max(kChunk, static_cast<size_t>(flags.chunk.value_or(0)));
  std::optional<OutputFile> file;
  if (output) {
    Result<OutputFile> created = OutputFile::create(*output, true);
    if (!created.ok()) return fail(created.status());
    file = std::move(created.value());
  }
  announce(flags, model.get(), session.get());
  Hasher hasher(0);
  if (const int code =
          write_logits(ids, chunk, vocab, session.get(), &hasher, file ? &file->file() : nullptr))
    return code;
  if (file) {
    if (const Status published = file->publish(); !published.ok()) return fail(published);
  }
  const std::string hash = format("%016" PRIx64, hasher.digest());
  if (json) {
    JsonWriter out;
    out.begin_object().member("hash", hash).member("tokens", uint64_t{ids.size()});
    print(out.member("vocab", uint64_t{vocab}).end_object().text() + "\n");
  } else {
    print(hash + "\n");
  }
  return TRIT_OK;
}

}  // namespace trit
