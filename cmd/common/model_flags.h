// The flags that commands share when they open or run a model, and what those flags open: handles
// of the C API that close themselves. Functions that return an int return an exit code and print
// the error.
#ifndef TRITSTACK_CMD_COMMON_MODEL_FLAGS_H_
#define TRITSTACK_CMD_COMMON_MODEL_FLAGS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/common/args.h"
#include "runtime/include/tritstack.h"

namespace trit {

struct ModelCloser {
  void operator()(trit_model* model) const { trit_model_close(model); }
};
struct SessionCloser {
  void operator()(trit_session* session) const;
};
using ModelHandle = std::unique_ptr<trit_model, ModelCloser>;
using SessionHandle = std::unique_ptr<trit_session, SessionCloser>;

constexpr int kMostPlanes = 1000;  // that can be asked for: more than any file holds

struct ModelFlags {
  std::optional<std::string> model, io = "mmap", verify = "head";
  std::optional<std::string> cache_k, cache_v;
  std::optional<int64_t> planes, head_planes, context, threads, chunk;
  std::optional<uint64_t> memory;  // none: no limit; see decide_memory()
  bool force = false, no_pressure = false, verbose = false;
  // Not flags, but what became of them:
  std::string memory_reason;  // why an automatic budget is what it is; empty: it was given
  uint64_t aside = 0;         // bytes of the budget that the command needs beside the model
  // What is said to make a session smaller.
  std::string smaller = "a smaller -c or -ctk q8_0 -ctv q8_0 makes the cache smaller";

  // Planes that were asked for are those that run, whatever the budget.
  bool pinned() const { return planes.value_or(0) > 0 || head_planes.value_or(0) > 0; }
};
std::vector<Flag> model_flags(ModelFlags* flags);    // which model, how it is opened
std::vector<Flag> session_flags(ModelFlags* flags);  // how it is run
std::vector<Flag> shape_flags(ModelFlags* flags);    // those of them that memory depends on
std::vector<Flag> file_flags(ModelFlags* flags);     // for commands that look at the file alone
Flag io_flag(ModelFlags* flags);                     // and at more of it than its head

struct SamplingFlags {
  std::optional<double> temperature, top_p, min_p, repeat_penalty, presence_penalty,
      frequency_penalty;
  std::optional<int64_t> top_k, repeat_last_n, seed = -1;
};
std::vector<Flag> sampling_flags(SamplingFlags* flags);

// a, then b, then c.
std::vector<Flag> join_flags(std::vector<Flag> a, const std::vector<Flag>& b,
                             const std::vector<Flag>& c = {});

// What file_flags decided, with --verbose.
void announce_file(const ModelFlags& flags);

int open_model(const ModelFlags& flags, ModelHandle* model);
trit_model_info model_info(const trit_model* model);

// default_context 0: min(model, 4096). Interrupts cancel this session from here on.
int open_session(const ModelFlags& flags, trit_model* model, uint32_t default_context,
                 SessionHandle* session);
// On stderr what will run, and in how much memory.
void announce(const ModelFlags& flags, const trit_model* model, const trit_session* session);

// The model's own defaults under the flags; `seed_used` receives the seed.
int set_sampling(const SamplingFlags& flags, bool verbose, const trit_model* model,
                 trit_session* session, uint64_t* seed_used);

// The text functions of the C API with growing buffers.
using TokenIds = std::vector<int32_t>;
trit_status tokenize(const trit_model* model, std::string_view text, unsigned flags, TokenIds* ids);
trit_status detokenize(const trit_model* model, const TokenIds& ids, unsigned flags,
                       std::string* text);
trit_status tokenize_chat(const trit_model* model, const std::vector<trit_message>& messages,
                          const trit_chat_options& options, TokenIds* ids);

// What to say of a context that is full: -c, unless the model was made for no more.
std::string larger_context(const trit_model* model, uint32_t context);
// More ids than the context holds are exit 7.
int check_prompt(const TokenIds& ids, const trit_model* model, const trit_session* session);

// --reasoning, for the commands that render a chat.
Flag reasoning_flag(std::optional<std::string>* value);
trit_reasoning parse_reasoning(const std::string& value);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_MODEL_FLAGS_H_
