// See model_flags.h.
#include "cmd/common/model_flags.h"

#include <algorithm>
#include <random>

#include "cmd/common/error.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/memory_budget.h"
#include "runtime/available_memory.h"
#include "runtime/default_threads.h"

namespace trit {

namespace {

trit_cache_type cache_type(const std::optional<std::string>& name) {
  if (!name) return TRIT_CACHE_DEFAULT;
  return *name == "f32" ? TRIT_CACHE_F32 : *name == "q8_0" ? TRIT_CACHE_Q8 : TRIT_CACHE_F16;
}

// What every command that opens a model takes.
std::vector<Flag> opening_flags(ModelFlags* flags) {
  return {
      {"-t, --threads", "N", "threads (default: the fast cores this process may use)",
       IntegerTarget{&flags->threads, 1, kMaxThreads}},
      {"--verbose", "", "show what was decided", SwitchTarget{&flags->verbose}},
  };
}

const char* cache_name(const std::optional<std::string>& name, const trit_model_info& info) {
  return name ? name->c_str() : info.dense_f32 ? "f32" : "f16";
}

}  // namespace

void SessionCloser::operator()(trit_session* session) const {
  cancel_on_interrupt(nullptr);
  trit_session_close(session);
}

std::vector<Flag> model_flags(ModelFlags* flags) {
  return join_flags(
      {{"-m, --model", "FILE", "the .trit file", TextTarget{&flags->model, {}}, kRequired},
       {"--verify", "head|full", "check the head and structure, or every block too",
        TextTarget{&flags->verify, {"head", "full"}}},
       io_flag(flags)},
      opening_flags(flags));
}

Flag io_flag(ModelFlags* flags) {
  return {"--io", "mmap|read",
          "map the file (on a network file system: read it), or read it into memory",
          TextTarget{&flags->io, {"mmap", "read"}}};
}

std::vector<Flag> file_flags(ModelFlags* flags) {
  return join_flags({{"M", "", "the .trit file", TextTarget{&flags->model, {}}, kRequired},
                     {"-m, --model", "FILE", "the same", TextTarget{&flags->model, {}}}},
                    opening_flags(flags));
}

std::vector<Flag> shape_flags(ModelFlags* flags) {
  return {
      {"--memory", "SIZE|auto",
       "most memory of the whole process: 700M, 1.5G; auto (default): 7/8 of what is free, but no "
       "limit where planes are given",
       SizeTarget{&flags->memory, true}},
      {"-c, --ctx-size", "N", "tokens of context; 0: the default of this command and model",
       IntegerTarget{&flags->context, 0, 1 << 24}},
      {"-ub, --ubatch-size", "N",
       "most prompt tokens per pass; never changes results (default 128)",
       IntegerTarget{&flags->chunk, 1, 1 << 24}},
      {"-ctk, --cache-type-k", "f16|q8_0|f32",
       "keys in the cache (default f16; f32 for --dense f32)",
       TextTarget{&flags->cache_k, {"f16", "q8_0", "f32"}}},
      {"-ctv, --cache-type-v", "f16|q8_0|f32", "values in the cache (the same)",
       TextTarget{&flags->cache_v, {"f16", "q8_0", "f32"}}},
  };
}

std::vector<Flag> session_flags(ModelFlags* flags) {
  return join_flags(
      {{"--planes", "N",
        "planes of the layer matrices in use, no fewer (default: what --memory holds)",
        IntegerTarget{&flags->planes, 1, kMostPlanes}},
       {"--head-planes", "N",
        "planes of embedding and head in use, no fewer (default: with --planes all there are)",
        IntegerTarget{&flags->head_planes, 1, kMostPlanes}}},
      shape_flags(flags),
      {{"--force", "", "run in too little memory too, slowly", SwitchTarget{&flags->force}},
       {"--no-pressure", "", "do not follow later what memory is free",
        SwitchTarget{&flags->no_pressure}}});
}

std::vector<Flag> sampling_flags(SamplingFlags* flags) {
  return {
      {"--temp, --temperature", "T", "0: greedy (default: the model's own, else 0.8)",
       NumberTarget{&flags->temperature, 0, 1000}},
      {"--top-k", "N", "0: off (default: the model's own, else 40)",
       IntegerTarget{&flags->top_k, 0, INT32_MAX}},
      {"--top-p", "P", "1: off, 0: the best token only (default: the model's own, else 0.95)",
       NumberTarget{&flags->top_p, 0, 1}},
      {"--min-p", "P", "0: off (default: the model's own, else 0.05)",
       NumberTarget{&flags->min_p, 0, 1}},
      {"--repeat-penalty", "F", "1: off (default: the model's own, else 1)",
       NumberTarget{&flags->repeat_penalty, 0.01, 100}},
      {"--repeat-last-n", "N", "tokens that penalties look at; -1: all (default 64)",
       IntegerTarget{&flags->repeat_last_n, -1, 1 << 24}},
      {"--presence-penalty", "F", "0: off (default 0)",
       NumberTarget{&flags->presence_penalty, -100, 100}},
      {"--frequency-penalty", "F", "0: off (default 0)",
       NumberTarget{&flags->frequency_penalty, -100, 100}},
      {"-s, --seed", "N", "-1: a new one each time; shown by --verbose",
       IntegerTarget{&flags->seed, -1, INT64_MAX}},
  };
}

std::vector<Flag> join_flags(std::vector<Flag> a, const std::vector<Flag>& b,
                             const std::vector<Flag>& c) {
  a.insert(a.end(), b.begin(), b.end());
  a.insert(a.end(), c.begin(), c.end());
  return a;
}

void announce_file(const ModelFlags& flags) {
  if (!flags.verbose) return;
  note(std::string("threads 1") +
       (flags.threads.value_or(1) > 1 ? " (more have nothing to do here)" : ""));
}

int open_model(const ModelFlags& flags, ModelHandle* model) {
  trit_model_options options;
  trit_model_options_init(&options);
  options.planes = static_cast<uint32_t>(flags.planes.value_or(0));
  options.head_planes = static_cast<uint32_t>(flags.head_planes.value_or(0));
  options.io_read = *flags.io == "read";
  options.verify = *flags.verify == "full";
  options.force = flags.force;
  options.all_planes = flags.pinned();
  options.memory_bytes = flags.memory.value_or(0);
  trit_model* opened = nullptr;
  if (const trit_status s = trit_model_open(flags.model->c_str(), &options, &opened))
    return fail(s);
  model->reset(opened);
  const trit_model_info info = model_info(opened);
  if (info.blocks_present < info.blocks_stored) {
    note(format("%s is cut short: %u of %u blocks are here; running with the planes that are whole",
                flags.model->c_str(), info.blocks_present, info.blocks_stored));
  }
  if (flags.verbose) {
    note(format("%s (%s): %u layers, hidden %u, %llu weights, %llu bytes per token, chat format %s",
                info.name, info.architecture, info.n_layers, info.hidden,
                static_cast<unsigned long long>(info.parameters),
                static_cast<unsigned long long>(info.weight_bytes), info.chat_family));
  }
  return TRIT_OK;
}

trit_model_info model_info(const trit_model* model) {
  trit_model_info info = {};
  info.struct_size = sizeof info;
  trit_model_get_info(model, &info);
  return info;
}

int open_session(const ModelFlags& flags, trit_model* model, uint32_t default_context,
                 SessionHandle* session) {
  const trit_model_info info = model_info(model);
  trit_session_options options;
  trit_session_options_init(&options);
  options.context = static_cast<uint32_t>(flags.context.value_or(0));
  if (options.context == 0) options.context = std::min(default_context, info.max_context);
  options.threads = static_cast<uint32_t>(flags.threads.value_or(0));
  options.chunk = static_cast<uint32_t>(flags.chunk.value_or(0));
  options.cache_k = cache_type(flags.cache_k);
  options.cache_v = cache_type(flags.cache_v);
  trit_session* opened = nullptr;
  if (const trit_status s = trit_session_open(model, &options, &opened))
    return fail_in_budget(s, flags);
  session->reset(opened);
  cancel_on_interrupt(opened);
  return TRIT_OK;
}

void announce(const ModelFlags& flags, const trit_model* model, const trit_session* session) {
  const trit_model_info info = model_info(model);
  const uint32_t context = trit_session_context(session);
  std::string line =
      format("%s: context %u, cache %s/%s, threads %u, %s", planes_in_use(flags, info).c_str(),
             context, cache_name(flags.cache_k, info), cache_name(flags.cache_v, info),
             trit_session_threads(session), trit_kernel_level());
  if (context > info.max_context)
    line += format(" (the model was made for %u tokens)", info.max_context);
  note(line);
  if (info.memory_bytes) note(memory_in_use(info) + budget_reason(flags));
}

int set_sampling(const SamplingFlags& flags, bool verbose, const trit_model* model,
                 trit_session* session, uint64_t* seed_used) {
  trit_sampling sampling;
  trit_sampling_init(model, &sampling);
  const auto override_float = [](const std::optional<double>& flag, float* value) {
    if (flag) *value = static_cast<float>(*flag);
  };
  override_float(flags.temperature, &sampling.temperature);
  override_float(flags.top_p, &sampling.top_p);
  override_float(flags.min_p, &sampling.min_p);
  override_float(flags.repeat_penalty, &sampling.repeat_penalty);
  override_float(flags.presence_penalty, &sampling.presence_penalty);
  override_float(flags.frequency_penalty, &sampling.frequency_penalty);
  if (flags.top_k) sampling.top_k = static_cast<int32_t>(*flags.top_k);
  if (flags.repeat_last_n) sampling.repeat_last_n = static_cast<int32_t>(*flags.repeat_last_n);
  // 32 bits: short enough to type again.
  sampling.seed = *flags.seed < 0 ? std::random_device()() : static_cast<uint64_t>(*flags.seed);
  if (const trit_status s = trit_session_set_sampling(session, &sampling)) return fail(s);
  *seed_used = sampling.seed;
  if (verbose) {
    note(format("seed %llu, temp %g, top-k %d, top-p %g, min-p %g, repeat-penalty %g over %d",
                static_cast<unsigned long long>(sampling.seed), sampling.temperature,
                sampling.top_k, sampling.top_p, sampling.min_p, sampling.repeat_penalty,
                sampling.repeat_last_n));
  }
  return TRIT_OK;
}

trit_status tokenize(const trit_model* model, std::string_view text, unsigned flags,
                     TokenIds* ids) {
  size_t needed = 0;
  // No token is shorter than a byte, except BOS and the space that SentencePiece puts first.
  ids->resize(text.size() + 2);
  trit_status s =
      trit_tokenize(model, text.data(), text.size(), flags, ids->data(), ids->size(), &needed);
  if (s == TRIT_USAGE && needed > ids->size()) {
    ids->resize(needed);
    s = trit_tokenize(model, text.data(), text.size(), flags, ids->data(), ids->size(), &needed);
  }
  ids->resize(s ? 0 : needed);
  ids->shrink_to_fit();
  return s;
}

trit_status detokenize(const trit_model* model, const TokenIds& ids, unsigned flags,
                       std::string* text) {
  size_t needed = 0;
  trit_status s = trit_detokenize(model, ids.data(), ids.size(), flags, nullptr, 0, &needed);
  if (s == TRIT_USAGE && needed > 0) {
    text->resize(needed);
    s = trit_detokenize(model, ids.data(), ids.size(), flags, text->data(), text->size(), &needed);
  }
  return s;
}

trit_status tokenize_chat(const trit_model* model, const std::vector<trit_message>& messages,
                          const trit_chat_options& options, TokenIds* ids) {
  size_t needed = 0;
  trit_status s =
      trit_tokenize_chat(model, messages.data(), messages.size(), &options, nullptr, 0, &needed);
  if (s == TRIT_USAGE && needed > 0) {
    ids->resize(needed);
    s = trit_tokenize_chat(model, messages.data(), messages.size(), &options, ids->data(),
                           ids->size(), &needed);
  }
  return s;
}

std::string larger_context(const trit_model* model, uint32_t context) {
  const uint32_t most = model_info(model).max_context;
  return context < most ? format("; -c N makes it larger, up to %u", most) : "";
}

int check_prompt(const TokenIds& ids, const trit_model* model, const trit_session* session) {
  const uint32_t context = trit_session_context(session);
  if (ids.size() <= context) return TRIT_OK;
  return fail(TRIT_LIMIT,
              format("the prompt has %zu tokens, the context holds %u", ids.size(), context) +
                  larger_context(model, context));
}

Flag reasoning_flag(std::optional<std::string>* value) {
  return {"-rea, --reasoning", "on|off|auto", "let the model think first, where it can",
          TextTarget{value, {"on", "off", "auto"}}};
}

trit_reasoning parse_reasoning(const std::string& value) {
  return value == "on"    ? TRIT_REASONING_ON
         : value == "off" ? TRIT_REASONING_OFF
                          : TRIT_REASONING_AUTO;
}

}  // namespace trit
