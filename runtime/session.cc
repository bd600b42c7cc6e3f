// See session.h. Arguments are checked before anything changes; after that only a cancel can end a
// call early, and then the cache holds the tokens of finished chunks.
#include "runtime/session.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace trit {

SamplingOptions default_sampling(const Model& model) {
  const GenerationDefaults& own = model.reader().generation();
  SamplingOptions o;
  if (own.temperature >= 0) o.temperature = own.temperature;
  if (!own.do_sample) o.temperature = 0;
  if (own.top_k >= 0) o.top_k = own.top_k;
  if (own.top_p >= 0) o.top_p = own.top_p;
  if (own.min_p >= 0) o.min_p = own.min_p;
  if (own.repeat_penalty > 0) o.repeat_penalty = own.repeat_penalty;
  return o;
}

Session::Session(std::shared_ptr<const Model> model, const SessionShape& shape,
                 std::unique_ptr<SessionMemory> memory)
    : model_(std::move(model)),
      shape_(shape),
      memory_(std::move(memory)),
      pool_(shape.threads),
      buffers_{{Ops(&model_->config(), &model_->kernels(), &pool_, &cancel_), {}, {}, {}}, {}} {
  Arena arena(memory_->data());
  buffers_.carve(&arena, model_->reader(), shape_);
  buffers_.sampler.limit(model_->sampled_ids());
}

Result<std::unique_ptr<Session>> Session::open(std::shared_ptr<const Model> model,
                                               const SessionOptions& options) {
  const Result<SessionShape> shape = session_shape(model->reader(), options);
  if (!shape.ok()) return shape.status();
  auto memory = model->planes().claim(shape.value());
  if (!memory.ok()) return memory.status();
  std::unique_ptr<Session> session(
      new Session(std::move(model), shape.value(), std::move(memory.value())));
  TRIT_RETURN_IF_ERROR(session->set_sampling(default_sampling(session->model())));
  return session;
}

// Huge pages make attention over a long cache 7 % faster (16k positions of Llama-3.2-1B); but each
// head's run begins with one, so a short conversation would pay for the whole cache at its first
// token. They are asked for once half of it is in use.
void Session::reach(size_t position) {
  if (huge_pages_ || position <= shape_.context / 2) return;
  huge_pages_ = true;
  memory_->want_huge_pages();
}

Status Session::check(Span<const int32_t> ids, size_t position) const {
  TRIT_RETURN_IF_ERROR(model_->check_ids(ids));
  return check_room(ids.size(), position);
}

Status Session::check_room(size_t count, size_t position) const {
  if (count <= shape_.context - position) return Status();
  return Status(Code::kLimit, "context full: " + std::to_string(count) + " tokens after position " +
                                  std::to_string(position) + " do not fit a context of " +
                                  std::to_string(shape_.context));
}

Status Session::prefill(Span<const int32_t> ids, float* all_logits) {
  TRIT_RETURN_IF_ERROR(check(ids, position_));
  const CancelFlag::Running running(&cancel_);
  return append(ids, all_logits);
}

Status Session::append(Span<const int32_t> ids, float* all_logits) {
  TRIT_RETURN_IF_ERROR(check_room(ids.size(), position_));
  const size_t vocab = model_->config().vocab;
  reach(position_ + ids.size());
  for (size_t done = 0; done < ids.size();) {
    const uint32_t count = static_cast<uint32_t>(std::min<size_t>(ids.size() - done, shape_.chunk));
    const bool last = done + count == ids.size();
    const uint32_t n_logits = all_logits ? count : last ? 1 : 0;
    float* to = all_logits ? all_logits + done * vocab : buffers_.logits;
    has_logits_ = false;
    const std::shared_ptr<const PlaneSet> planes = model_->planes().current();
    planes_ = planes->selection;
    if (!forward(model_->config(), planes->weights, &buffers_.workspace, ids.data() + done, count,
                 position_, n_logits, to))
      return Status(Code::kCancelled, "cancelled");
    TRIT_RETURN_IF_ERROR(model_->planes().check_file(*planes));
    std::memcpy(buffers_.tokens + position_, ids.data() + done, count * sizeof *buffers_.tokens);
    position_ += count;
    done += count;
    if (!last) continue;
    if (all_logits)
      std::memcpy(buffers_.logits, to + (count - 1) * vocab, vocab * sizeof *buffers_.logits);
    has_logits_ = true;
  }
  return Status();
}

Status Session::prompt(Span<const int32_t> ids) {
  if (ids.empty()) return Status(Code::kUsage, "prompt: expected at least 1 token, found 0");
  TRIT_RETURN_IF_ERROR(check(ids, 0));
  // At least one token is computed again: the logits are those after the last.
  const size_t most = std::min<size_t>(position_, ids.size() - 1);
  size_t shared = 0;
  while (shared < most && buffers_.tokens[shared] == ids[shared]) ++shared;
  TRIT_RETURN_IF_ERROR(rewind(shared));
  const CancelFlag::Running running(&cancel_);
  return append({ids.data() + shared, ids.size() - shared}, nullptr);
}

Status Session::rewind(size_t count) {
  if (count > position_) {
    return Status(Code::kUsage, "rewind: expected at most " + std::to_string(position_) +
                                    " tokens, found " + std::to_string(count));
  }
  if (count < position_) has_logits_ = false;
  position_ = static_cast<uint32_t>(count);
  return Status();
}

Status Session::fill_cache(uint32_t count) {
  TRIT_RETURN_IF_ERROR(check_most("filled positions", shape_.context, count));
  const ModelConfig& config = model_->config();
  reach(count);
  // Every position takes its keys and values from another place of one run of noise in [-1, 1).
  constexpr uint32_t kPlaces = 1021;
  std::vector<float> noise(kPlaces + config.head_dim);
  for (uint32_t i = 0; i < noise.size(); ++i)
    noise[i] = static_cast<float>(static_cast<int32_t>(i * 0x9e3779b1u)) * 0x1p-31f;
  pool_.parallel_for(config.n_layers * config.n_kv_heads, [&](uint32_t item, uint32_t) {
    for (uint32_t position = 0; position < count; ++position) {
      const uint64_t place = uint64_t{item} * 31 + position;
      buffers_.workspace.cache.store(model_->kernels(), item / config.n_kv_heads,
                                     item % config.n_kv_heads, position,
                                     &noise[place * 7 % kPlaces], &noise[place * 11 % kPlaces]);
    }
  });
  std::fill_n(buffers_.tokens, count, 0);
  position_ = count;
  has_logits_ = false;
  return Status();
}

Status Session::set_sampling(const SamplingOptions& options) {
  TRIT_RETURN_IF_ERROR(check_sampling(options));
  buffers_.sampler.reset(options);
  return Status();
}

Result<int32_t> Session::sample() {
  if (!has_logits_) return Status(Code::kUsage, "sample: no logits yet: append a token first");
  return buffers_.sampler.sample(buffers_.logits, tokens());
}

}  // namespace trit
