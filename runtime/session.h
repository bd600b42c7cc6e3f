// One conversation: the tokens so far, their keys and values, the logits after the last, and how to
// choose the next. Everything is allocated at open, in one arena. Used by one thread at a time;
// only cancel() may come from others. Not here: text (generate.h), what a token computes
// (forward.h).
#ifndef TRITSTACK_RUNTIME_SESSION_H_
#define TRITSTACK_RUNTIME_SESSION_H_

#include <cstdint>
#include <memory>

#include "model_format/span.h"
#include "model_format/status.h"
#include "runtime/cancel_flag.h"
#include "runtime/model.h"
#include "runtime/session_buffers.h"
#include "runtime/thread_pool.h"

namespace trit {

// The model's own wishes (generation_config) over ours.
SamplingOptions default_sampling(const Model& model);

class Session {
 public:
  static Result<std::unique_ptr<Session>> open(std::shared_ptr<const Model> model,
                                               const SessionOptions& options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Model& model() const { return *model_; }
  uint32_t context() const { return shape_.context; }
  uint32_t threads() const { return pool_.size(); }
  uint32_t chunk() const { return shape_.chunk; }  // most tokens per pass of prefill
  Span<const int32_t> tokens() const { return {buffers_.tokens, position_}; }  // those in the cache
  uint32_t position() const { return position_; }
  // [vocab] after the last token; null when there are none (nothing appended, or cancelled).
  const float* logits() const { return has_logits_ ? buffers_.logits : nullptr; }

  // What the last pass of prefill or decode used: the planes of a model may change between passes.
  const PlaneSelection& last_planes() const { return planes_; }

  // Appends ids; all_logits: null or [ids.size()][vocab]. See trit_session_prefill.
  Status prefill(Span<const int32_t> ids, float* all_logits);
  // Makes the cache hold exactly ids, keeping the part it already shares with them.
  Status prompt(Span<const int32_t> ids);
  Status rewind(size_t count);
  void cancel() { cancel_.cancel(); }

  // Makes the cache hold `count` positions of made-up keys and values, the same in every session:
  // for measurements at depth, without the hours of prefill.
  Status fill_cache(uint32_t count);
  uint64_t cache_position_bytes() const { return buffers_.workspace.cache.position_bytes(); }

  Status set_sampling(const SamplingOptions& options);
  Result<int32_t> sample();

  // For loops of several steps that one cancel() must end: while the guard lives, append() may be
  // called and cancel() stops it.
  CancelFlag::Running run() { return CancelFlag::Running(&cancel_); }
  bool cancelled() const { return cancel_.cancelled(); }
  Status append(Span<const int32_t> ids, float* all_logits);

 private:
  Session(std::shared_ptr<const Model> model, const SessionShape& shape,
          std::unique_ptr<SessionMemory> memory);
  void reach(size_t position);
  Status check(Span<const int32_t> ids, size_t position) const;
  Status check_room(size_t count, size_t position) const;

  const std::shared_ptr<const Model> model_;
  const SessionShape shape_;
  const std::unique_ptr<SessionMemory> memory_;
  CancelFlag cancel_;
  ThreadPool pool_;
  SessionBuffers buffers_;
  bool huge_pages_ = false;
  PlaneSelection planes_;  // of the last pass
  uint32_t position_ = 0;  // tokens in the cache
  bool has_logits_ = false;
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_SESSION_H_
