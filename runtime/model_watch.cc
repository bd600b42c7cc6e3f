// See model_watch.h. All but start() runs on the thread of the watch.
#include "runtime/model_watch.h"

#include <algorithm>
#include <utility>

namespace trit {

ModelWatch::ModelWatch(std::shared_ptr<const Model> model, const OnChange& on_change)
    : model_(std::move(model)), on_change_(on_change), blocks_(model_->planes().figures().blocks) {}

Result<std::unique_ptr<ModelWatch>> ModelWatch::start(std::shared_ptr<const Model> model,
                                                      const OnChange& on_change,
                                                      const std::string& root) {
  std::unique_ptr<ModelWatch> watch(new ModelWatch(std::move(model), on_change));
  const uint64_t budget = watch->model_->planes().figures().budget_bytes;
  auto memory = MemoryWatch::start(
      budget ? budget : UINT64_MAX,
      [raw = watch.get()](uint64_t bytes, Pressure reason) {
        raw->set_budget(bytes, static_cast<Reason>(reason));
      },
      [raw = watch.get()] { raw->look(); }, root);
  if (!memory.ok()) return memory.status();
  watch->watch_ = std::move(memory.value());
  return watch;
}

void ModelWatch::set_budget(uint64_t bytes, Reason reason) {
  PlaneStack& planes = model_->planes();
  const PlaneStack::Figures figures = planes.figures();
  const bool forced = figures.budget_bytes != 0 && figures.budget_bytes < figures.smallest_bytes;
  if (forced && bytes < figures.smallest_bytes) return;  // has no planes to give
  // The base stays in any case; a session that opens meanwhile makes that larger.
  while (!planes.set_budget(std::max(bytes, planes.figures().smallest_bytes)).ok()) continue;
  pending_ = reason;
  tell();
}

void ModelWatch::look() {
  PlaneStack& planes = model_->planes();
  if (model_->reader().whole_blocks_now() > planes.figures().whole_blocks &&
      planes.look_at_file().ok())
    pending_ = Reason::kFileGrew;
  tell();
}

// Planes that others asked for, or that a new session took, are not told.
void ModelWatch::tell() {
  const size_t before = std::exchange(blocks_, model_->planes().figures().blocks);
  if (!pending_) return;
  const Reason reason = *pending_;
  const bool less = reason == Reason::kScarce || reason == Reason::kStalled;
  const bool came_about = less ? blocks_ < before : blocks_ > before;
  if (less || came_about) pending_.reset();  // planes leave at once, but come in later
  if (came_about) on_change_(reason);
}

}  // namespace trit
