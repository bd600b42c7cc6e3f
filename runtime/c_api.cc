// tritstack.h over the C++ rooms: checks pointers and option structs and passes on. No logic of its
// own. The text part is in c_api_text.cc.
#include "runtime/c_api.h"

#include <optional>
#include <string_view>
#include <vector>

#include "runtime/generate.h"

namespace trit {

namespace {

static_assert(TRIT_CANCELLED == static_cast<int>(Code::kCancelled) &&
                  TRIT_LIMIT == static_cast<int>(Code::kLimit) &&
                  TRIT_USAGE == static_cast<int>(Code::kUsage),
              "one table of codes");
static_assert(TRIT_STOP_CANCELLED == static_cast<int>(Stop::kCancelled) &&
                  TRIT_STOP_END == static_cast<int>(Stop::kEnd),
              "one table of reasons");

thread_local std::string last_error;

Status read_cache_type(const trit_cache_type& from, std::optional<CacheType>* to) {
  switch (number_of(from)) {
    case TRIT_CACHE_DEFAULT:
      return Status();
    case TRIT_CACHE_F16:
      *to = CacheType::kF16;
      return Status();
    case TRIT_CACHE_F32:
      *to = CacheType::kF32;
      return Status();
    case TRIT_CACHE_Q8:
      *to = CacheType::kQ8;
      return Status();
  }
  return usage("cache type: expected a trit_cache_type, found " + std::to_string(number_of(from)));
}

// Stop texts as views, counted from 1 in errors; a stop that begins inside a character could never
// come.
Status read_stops(const trit_generate_options& o, std::vector<std::string_view>* stops) {
  if (!o.stops && o.stop_count) return null_argument("stops");
  for (size_t i = 0; i < o.stop_count; ++i) {
    const std::string name = "stop " + std::to_string(i + 1);
    if (!o.stops[i]) return null_argument(name);
    stops->push_back(o.stops[i]);
    if (stops->back().empty()) return usage(name + ": expected a text, found an empty one");
    if ((static_cast<unsigned char>(o.stops[i][0]) & 0xc0) == 0x80)
      return usage(name + ": expected UTF-8, found " + quoted(o.stops[i]));
  }
  return Status();
}

}  // namespace

trit_status fail(Code code, const char* message) noexcept {
  try {
    last_error = message;
  } catch (const std::exception&) {
    last_error.clear();
  }
  return static_cast<trit_status>(code);
}

}  // namespace trit

using namespace trit;  // the functions below are C: their names are in no namespace

#define TRIT_TEXT_OF(x) #x
#define TRIT_TEXT(x) TRIT_TEXT_OF(x)

const char* trit_version(void) {
  return TRIT_TEXT(TRIT_VERSION_MAJOR) "." TRIT_TEXT(TRIT_VERSION_MINOR) "." TRIT_TEXT(
      TRIT_VERSION_PATCH);
}

const char* trit_kernel_level(void) {
  const char* level = nullptr;
  guarded([&]() -> Status {
    const Result<const KernelTable*> kernels = chosen_kernels();
    if (!kernels.ok()) return kernels.status();
    level = kernels.value()->isa;
    return Status();
  });
  return level;
}

const char* trit_last_error(void) {
  return last_error.c_str();
}

// ---- model

void trit_model_options_init(trit_model_options* options) {
  if (!options) return;
  *options = {};
  options->struct_size = sizeof *options;
}

trit_status trit_model_open(const char* path, const trit_model_options* options,
                            trit_model** model) {
  if (model) *model = nullptr;
  return guarded([&]() -> Status {
    TRIT_REQUIRE(path);
    TRIT_REQUIRE(model);
    trit_model_options o;
    trit_model_options_init(&o);
    TRIT_RETURN_IF_ERROR(read_options(options, &o));
    ModelOptions model_options;
    model_options.planes = {
        {o.planes, o.head_planes}, o.memory_bytes, o.force != 0, o.all_planes != 0};
    model_options.io = o.io_read ? IoMode::kRead : IoMode::kAuto;
    model_options.verify = o.verify != 0;
    auto opened = Model::open(path, model_options);
    if (!opened.ok()) return opened.status();
    *model = new trit_model{std::move(opened.value())};
    return Status();
  });
}

void trit_model_close(trit_model* model) {
  delete model;
}

trit_status trit_model_get_info(const trit_model* model, trit_model_info* info) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(model);
    TRIT_REQUIRE(info);
    const uint32_t size = info->struct_size;
    trit_model_info i = {};
    TRIT_RETURN_IF_ERROR(read_options(info, &i));
    const Model& m = *model->model;
    const ModelConfig& c = m.config();
    const ModelReader& reader = m.reader();
    i.struct_size = size;
    i.name = c.name.c_str();
    i.architecture = c.architecture.c_str();
    i.n_layers = c.n_layers;
    i.hidden = c.hidden;
    i.n_heads = c.n_heads;
    i.n_kv_heads = c.n_kv_heads;
    i.head_dim = c.head_dim;
    i.ffn = c.ffn;
    i.vocab = c.vocab;
    i.max_context = c.max_positions;
    const ResidentPlanes resident = m.resident();
    i.planes = resident.layers;
    i.head_planes = resident.head;
    i.fewest_planes = resident.fewest_layers;
    i.fewest_head_planes = resident.fewest_head;
    i.dense = m.dense();
    i.dense_f32 = m.dense_f32();
    i.has_tokenizer = m.tokenizer() != nullptr;
    i.blocks_stored = static_cast<uint32_t>(reader.blocks().size());
    const PlaneStack::Figures figures = m.planes().figures();
    i.blocks_present = static_cast<uint32_t>(figures.whole_blocks);
    i.prefix_blocks = static_cast<uint32_t>(figures.blocks);
    i.memory_bytes = figures.budget_bytes;
    i.resident_bytes = figures.resident_bytes;
    i.smallest_bytes = figures.smallest_bytes;
    i.whole_bytes = figures.whole_bytes;
    i.blocks_in_use = static_cast<uint32_t>(resident.blocks);
    i.file_bytes = reader.file_bytes();
    i.weight_bytes = resident.weight_bytes;
    i.parameters = resident.parameters;
    i.chat_family = family_name(c.chat_family);
    std::memcpy(info, &i, size);
    return Status();
  });
}

trit_status trit_model_set_memory(trit_model* model, uint64_t bytes) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(model);
    return model->model->planes().set_budget(bytes);
  });
}

trit_status trit_model_set_aside(trit_model* model, uint64_t bytes) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(model);
    return model->model->planes().set_aside(bytes);
  });
}

trit_status trit_model_set_planes(trit_model* model, uint32_t planes, uint32_t head_planes) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(model);
    return model->model->planes().set_caps({planes, head_planes});
  });
}

trit_status trit_model_settle(trit_model* model) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(model);
    return model->model->planes().settle();
  });
}

// ---- session

void trit_session_options_init(trit_session_options* options) {
  if (!options) return;
  *options = {};
  options->struct_size = sizeof *options;
}

trit_status trit_session_open(trit_model* model, const trit_session_options* options,
                              trit_session** session) {
  if (session) *session = nullptr;
  return guarded([&]() -> Status {
    TRIT_REQUIRE(model);
    TRIT_REQUIRE(session);
    trit_session_options o;
    trit_session_options_init(&o);
    TRIT_RETURN_IF_ERROR(read_options(options, &o));
    SessionOptions session_options;
    session_options.context = o.context;
    session_options.threads = o.threads;
    session_options.chunk = o.chunk;
    TRIT_RETURN_IF_ERROR(read_cache_type(o.cache_k, &session_options.cache_k));
    TRIT_RETURN_IF_ERROR(read_cache_type(o.cache_v, &session_options.cache_v));
    auto opened = Session::open(model->model, session_options);
    if (!opened.ok()) return opened.status();
    *session = new trit_session{std::move(opened.value())};
    return Status();
  });
}

void trit_session_close(trit_session* session) {
  delete session;
}

uint32_t trit_session_context(const trit_session* session) {
  return session ? session->session->context() : 0;
}

uint32_t trit_session_position(const trit_session* session) {
  return session ? session->session->position() : 0;
}

uint32_t trit_session_threads(const trit_session* session) {
  return session ? session->session->threads() : 0;
}

trit_status trit_session_prefill(trit_session* session, const int32_t* ids, size_t count,
                                 float* all_logits) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(session);
    if (!ids && count) return null_argument("ids");
    return session->session->prefill({ids, count}, all_logits);
  });
}

trit_status trit_session_decode(trit_session* session, int32_t id) {
  return trit_session_prefill(session, &id, 1, nullptr);
}

trit_status trit_session_prompt(trit_session* session, const int32_t* ids, size_t count) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(session);
    if (!ids && count) return null_argument("ids");
    return session->session->prompt({ids, count});
  });
}

trit_status trit_session_rewind(trit_session* session, size_t count) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(session);
    return session->session->rewind(count);
  });
}

const float* trit_session_logits(const trit_session* session) {
  return session ? session->session->logits() : nullptr;
}

void trit_session_cancel(trit_session* session) {
  if (session) session->session->cancel();
}

// ---- sampling

void trit_sampling_init(const trit_model* model, trit_sampling* sampling) {
  if (!sampling) return;
  const SamplingOptions o = model ? default_sampling(*model->model) : SamplingOptions();
  *sampling = {};
  sampling->struct_size = sizeof *sampling;
  sampling->temperature = o.temperature;
  sampling->top_k = o.top_k;
  sampling->top_p = o.top_p;
  sampling->min_p = o.min_p;
  sampling->repeat_penalty = o.repeat_penalty;
  sampling->repeat_last_n = o.repeat_last_n;
  sampling->presence_penalty = o.presence_penalty;
  sampling->frequency_penalty = o.frequency_penalty;
  sampling->seed = o.seed;
}

trit_status trit_session_set_sampling(trit_session* session, const trit_sampling* sampling) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(session);
    if (!sampling)
      return session->session->set_sampling(default_sampling(session->session->model()));
    trit_sampling s;
    trit_sampling_init(nullptr, &s);
    TRIT_RETURN_IF_ERROR(read_options(sampling, &s));
    SamplingOptions options;
    options.temperature = s.temperature;
    options.top_k = s.top_k;
    options.top_p = s.top_p;
    options.min_p = s.min_p;
    options.repeat_penalty = s.repeat_penalty;
    options.repeat_last_n = s.repeat_last_n;
    options.presence_penalty = s.presence_penalty;
    options.frequency_penalty = s.frequency_penalty;
    options.seed = s.seed;
    return session->session->set_sampling(options);
  });
}

trit_status trit_session_sample(trit_session* session, int32_t* id) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(session);
    TRIT_REQUIRE(id);
    const Result<int32_t> sampled = session->session->sample();
    if (!sampled.ok()) return sampled.status();
    *id = sampled.value();
    return Status();
  });
}

void trit_generate_options_init(trit_generate_options* options) {
  if (!options) return;
  *options = {};
  options->struct_size = sizeof *options;
  options->max_tokens = -1;
}

trit_status trit_session_generate(trit_session* session, const trit_generate_options* options,
                                  trit_on_text on_text, void* user, trit_generate_result* result) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(session);
    trit_generate_options o;
    trit_generate_options_init(&o);
    TRIT_RETURN_IF_ERROR(read_options(options, &o));
    trit_generate_result r = {};
    if (result) TRIT_RETURN_IF_ERROR(read_options(result, &r));
    if (o.max_tokens < -1)
      return usage("max_tokens: expected >= -1, found " + std::to_string(o.max_tokens));
    std::vector<std::string_view> stops;
    TRIT_RETURN_IF_ERROR(read_stops(o, &stops));
    GenerateOptions g;
    g.max_tokens = o.max_tokens;
    g.stops = Span<const std::string_view>(stops);
    g.ignore_end = o.ignore_end != 0;
    g.special = o.special != 0;
    g.on_text = on_text;
    g.user = user;
    const Result<GenerateResult> generated = generate(session->session.get(), g);
    if (!generated.ok()) return generated.status();
    if (result) {
      r.stop = static_cast<trit_stop>(generated.value().stop);
      r.tokens = generated.value().tokens;
      std::memcpy(result, &r, r.struct_size);
    }
    if (generated.value().stop == Stop::kCancelled) return Status(Code::kCancelled, "cancelled");
    return Status();
  });
}
