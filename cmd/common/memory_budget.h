// The memory of a command that runs a model: what --memory asks for or what is free, what the
// command needs for itself, and following what is free while it runs. Uses only the public C API.
// Not here: the flags (model_flags.h), what every prefix would take (cmd/plan.cc).
#ifndef TRITSTACK_CMD_COMMON_MEMORY_BUDGET_H_
#define TRITSTACK_CMD_COMMON_MEMORY_BUDGET_H_

#include <mutex>
#include <string>
#include <vector>

#include "cmd/common/model_flags.h"

namespace trit {

// Before the model is opened: --memory auto becomes a number, unless planes are pinned.
void decide_memory(ModelFlags* flags);
// After that: appends to a text as read_text() does, no more of it than --memory has room for.
int read_in_budget(const std::string& path, uint64_t limit, const ModelFlags& flags,
                   std::string* text);
// What tokenizing a text takes, to be set aside meanwhile; 0 for one that needs no counting.
uint64_t tokenizing_bytes(const std::string& text);
// Takes what the command itself needs from now on from the budget. Best before the session opens,
// whose error then names all that is needed.
int set_aside(uint64_t bytes, trit_model* model, ModelFlags* flags);
// The most bytes of one message of a conversation: what a session counts for the text of a context
// (runtime/memory_plan.cc) is enough to tokenize it.
size_t longest_message(uint32_t context);
// trit_last_error(), and what helps when memory is why.
int fail_in_budget(trit_status status, const ModelFlags& flags);

// "planes 2-3, head planes 3, 75 of 88 blocks"; where more were asked for than there are, that too.
std::string planes_in_use(const ModelFlags& flags, const trit_model_info& info);
// "memory 10.1 MiB of 10.5 MiB".
std::string memory_in_use(const trit_model_info& info);
// Behind that: why an automatic budget is what it is, and the flag that repeats it.
std::string budget_reason(const ModelFlags& flags);

// Follows what memory is free, where the budget is automatic and --no-pressure was not given. Each
// change of the planes in use is a line on standard error: at once, or when asked for.
class PressureWatch {
 public:
  enum class Lines { kAtOnce, kHeld };
  PressureWatch(const ModelFlags& flags, trit_model* model, Lines lines);
  ~PressureWatch() { stop(); }

  void start();  // also again
  void stop();
  void show_held();

 private:
  static void on_planes(trit_planes_reason reason, void* user);

  const ModelFlags flags_;
  trit_model* model_;
  const Lines lines_;
  std::mutex mutex_;
  std::vector<std::string> held_;
};

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_MEMORY_BUDGET_H_
