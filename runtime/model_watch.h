// Keeps the budget of a model what memory allows, while it runs: what a MemoryWatch says becomes
// the stack's budget, and blocks that a download has brought since join. Each change of the planes
// in use that comes of it is told, because it changes what the model says.
#ifndef TRITSTACK_RUNTIME_MODEL_WATCH_H_
#define TRITSTACK_RUNTIME_MODEL_WATCH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "runtime/memory_watch.h"
#include "runtime/model.h"

namespace trit {

class ModelWatch {
 public:
  enum class Reason { kScarce, kStalled, kEased, kFileGrew };  // the first three as Pressure
  // The planes in use are others now. On the thread of the watch, which waits for it.
  using OnChange = std::function<void(Reason reason)>;

  // From now on, until it is destroyed; the budget stays as it is then. A model without a budget
  // gets the automatic one. `root`: see linux_files.h.
  static Result<std::unique_ptr<ModelWatch>> start(std::shared_ptr<const Model> model,
                                                   const OnChange& on_change,
                                                   const std::string& root = "");
  ModelWatch(const ModelWatch&) = delete;
  ModelWatch& operator=(const ModelWatch&) = delete;

 private:
  ModelWatch(std::shared_ptr<const Model> model, const OnChange& on_change);
  void set_budget(uint64_t bytes, Reason reason);
  void look();
  void tell();

  const std::shared_ptr<const Model> model_;
  const OnChange on_change_;
  size_t blocks_;                  // of the prefix, when last looked at
  std::optional<Reason> pending_;  // of a change that has not come about yet
  std::unique_ptr<MemoryWatch> watch_;
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_MODEL_WATCH_H_
