// The C API's view of the machine's memory: how much there is, following it while a model runs, and
// files that are cut while they are mapped. Not here: budgets set by hand (c_api.cc).
#include <algorithm>
#include <cstring>

#include "model_format/file_guard.h"
#include "runtime/available_memory.h"
#include "runtime/c_api.h"

using namespace trit;

trit_status trit_available_memory(uint64_t* available, uint64_t* budget, char* why, size_t capacity,
                                  size_t* needed) {
  return guarded([&]() -> Status {
    if (!why && capacity) return null_argument("why");
    const AvailableMemory memory = available_memory();
    if (available) *available = memory.bytes();
    if (budget) *budget = automatic_budget(memory.bytes());
    const std::string text = explain(memory.binding());
    if (needed) *needed = text.size();
    if (capacity) std::memcpy(why, text.data(), std::min(text.size(), capacity));
    return Status();
  });
}

trit_status trit_model_watch_memory(trit_model* model, trit_on_planes on_planes, void* user) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(model);
    const std::lock_guard<std::mutex> lock(model->watch_mutex);
    model->watch.reset();  // two would each set the budget
    auto watch = ModelWatch::start(model->model, [=](ModelWatch::Reason reason) {
      if (on_planes) on_planes(static_cast<trit_planes_reason>(reason), user);
    });
    if (!watch.ok()) return watch.status();
    model->watch = std::move(watch.value());
    return Status();
  });
}

void trit_model_unwatch_memory(trit_model* model) {
  if (!model) return;
  const std::lock_guard<std::mutex> lock(model->watch_mutex);
  model->watch.reset();
}

trit_status trit_guard_file_access(void) {
  return guarded([] { return guard_file_access(); });
}
