// What a session is asked to be, and all that it works in: one list of buffers, carved from one
// arena. Known from the head of a file alone, so the plan counts the bytes that a session takes.
// Not here: who owns the arena (session.cc), the sum of everything (memory_plan.h).
#ifndef TRITSTACK_RUNTIME_SESSION_BUFFERS_H_
#define TRITSTACK_RUNTIME_SESSION_BUFFERS_H_

#include <cstdint>
#include <optional>

#include "model_format/reader.h"
#include "runtime/arena.h"
#include "runtime/forward.h"
#include "runtime/sampler.h"

namespace trit {

struct SessionOptions {
  uint32_t context = 0;  // positions of the cache; 0: the model's, at most 4096
  uint32_t threads = 0;  // 0: default_thread_count()
  uint32_t chunk = 0;    // most tokens per pass of prefill; 0: 128
  std::optional<CacheType> cache_k, cache_v;  // unset: f16, or f32 for a --dense f32 file
};

// The same with every default decided.
struct SessionShape {
  uint32_t context, threads, chunk;
  CacheType cache_k, cache_v;
};
// kUsage naming the field that is out of range.
Status check_most(const char* field, uint32_t most, uint32_t found);
Result<SessionShape> session_shape(const ModelReader& reader, const SessionOptions& options);

struct SessionBuffers {
  Workspace workspace;
  Sampler sampler;
  float* logits = nullptr;    // [vocab]
  int32_t* tokens = nullptr;  // [context]

  // The cache comes last: it is the largest and filled from its beginning.
  void carve(Arena* arena, const ModelReader& reader, const SessionShape& shape);
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_SESSION_BUFFERS_H_
