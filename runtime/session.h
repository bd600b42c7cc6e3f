// One conversation: the tokens so far, their keys and values, the logits after the last, and how to
// choose the next. Everything is allocated at open, in one arena. Used by one thread at a time;
// only cancel() may come from others. Not here: text (generate.h), what a token computes
// (forward.h).
#ifndef TRITSTACK_RUNTIME_SESSION_H_
#define TRITSTACK_RUNTIME_SESSION_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>

#include "model_format/span.h"
#include "model_format/status.h"
#include "runtime/cancel_flag.h"
#include "runtime/forward.h"
#include "runtime/model.h"
#include "runtime/sampler.h"
#include "runtime/thread_pool.h"

namespace trit {

struct SessionOptions {
  uint32_t context = 0;  // positions of the cache; 0: the model's, at most 4096
  uint32_t threads = 0;  // 0: default_thread_count()
  uint32_t chunk = 0;    // most tokens per pass of prefill; 0: 128
  std::optional<CacheType> cache_k, cache_v;  // unset: f16, or f32 for a --dense f32 file
};

// The model's own wishes (generation_config) over ours.
SamplingOptions default_sampling(const Model& model);

class Session {
 public:
  static Result<std::unique_ptr<Session>> open(std::shared_ptr<const Model> model,
                                               const SessionOptions& options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Model& model() const { return *model_; }
  uint32_t context() const { return context_; }
  uint32_t threads() const { return pool_.size(); }
  uint32_t chunk() const { return chunk_; }  // most tokens per pass of prefill
  Span<const int32_t> tokens() const { return {tokens_, position_}; }  // those in the cache
  uint32_t position() const { return position_; }
  // [vocab] after the last token; null when there are none (nothing appended, or cancelled).
  const float* logits() const { return has_logits_ ? logits_ : nullptr; }

  // Appends ids; all_logits: null or [ids.size()][vocab]. See trit_session_prefill.
  Status prefill(Span<const int32_t> ids, float* all_logits);
  // Makes the cache hold exactly ids, keeping the part it already shares with them.
  Status prompt(Span<const int32_t> ids);
  Status rewind(size_t count);
  void cancel() { cancel_.cancel(); }

  // Makes the cache hold `count` positions of made-up keys and values, the same in every session:
  // for measurements at depth, without the hours of prefill.
  Status fill_cache(uint32_t count);
  uint64_t cache_position_bytes() const { return workspace_.cache.position_bytes(); }

  Status set_sampling(const SamplingOptions& options);
  Result<int32_t> sample();

  // For loops of several steps that one cancel() must end: while the guard lives, append() may be
  // called and cancel() stops it.
  CancelFlag::Running run() { return CancelFlag::Running(&cancel_); }
  bool cancelled() const { return cancel_.cancelled(); }
  Status append(Span<const int32_t> ids, float* all_logits);

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  Session(std::shared_ptr<const Model> model, const SessionOptions& options);
  void carve(Arena* arena);
  Status allocate();
  void reach(size_t position);
  Status check(Span<const int32_t> ids, size_t position) const;

  const std::shared_ptr<const Model> model_;
  const uint32_t context_, chunk_;
  const CacheType cache_k_, cache_v_;
  CancelFlag cancel_;
  ThreadPool pool_;
  Workspace workspace_;
  Sampler sampler_;
  std::unique_ptr<void, Free> memory_;
  uint64_t memory_bytes_ = 0;
  bool huge_pages_ = false;
  float* logits_ = nullptr;    // [vocab]
  int32_t* tokens_ = nullptr;  // [context], the first position_ are valid
  uint32_t position_ = 0;
  bool has_logits_ = false;
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_SESSION_H_
