// See session_buffers.h.
#include "runtime/session_buffers.h"

#include <algorithm>
#include <string>

#include "runtime/default_threads.h"

namespace trit {

namespace {

constexpr uint32_t kDefaultContext = 4096;
constexpr uint32_t kDefaultChunk = 128;

}  // namespace

Status check_most(const char* field, uint32_t most, uint32_t found) {
  if (found <= most) return Status();
  return Status(Code::kUsage, std::string("session: ") + field + ": expected at most " +
                                  std::to_string(most) + ", found " + std::to_string(found));
}

Result<SessionShape> session_shape(const ModelReader& reader, const SessionOptions& options) {
  TRIT_RETURN_IF_ERROR(check_most("context", kMaxContext, options.context));
  TRIT_RETURN_IF_ERROR(check_most("threads", kMaxThreads, options.threads));
  const bool exact = reader.matrices()[0].encoding == Encoding::kDenseF32;
  const CacheType cache = exact ? CacheType::kF32 : CacheType::kF16;
  SessionShape shape;
  shape.context =
      options.context ? options.context : std::min(reader.config().max_positions, kDefaultContext);
  shape.threads = options.threads ? options.threads : default_thread_count();
  shape.chunk = std::min(options.chunk ? options.chunk : kDefaultChunk, shape.context);
  shape.cache_k = options.cache_k.value_or(cache);
  shape.cache_v = options.cache_v.value_or(cache);
  return shape;
}

void SessionBuffers::carve(Arena* arena, const ModelReader& reader, const SessionShape& shape) {
  const ModelConfig& config = reader.config();
  workspace.ops.carve(arena, reader.matrices(), shape.threads, shape.chunk, shape.context);
  workspace.activations.carve(arena, config, shape.chunk);
  workspace.rope.carve(arena, config, shape.context);
  sampler.carve(arena, config.vocab);
  logits = arena->take<float>(config.vocab);
  tokens = arena->take<int32_t>(shape.context);
  workspace.cache.carve(arena, config, shape.context, shape.cache_k, shape.cache_v);
}

}  // namespace trit
