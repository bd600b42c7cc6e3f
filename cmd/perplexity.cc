// tritstack perplexity: how surprised a model is by a text, in windows of the context. By default
// the second half of each window is scored, as llama.cpp does; --score all scores every token after
// one BOS. --kl compares with another .trit of the same model, token by token.
#include <algorithm>
#include <cinttypes>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/memory_budget.h"
#include "cmd/common/model_flags.h"
#include "cmd/common/output.h"
#include "cmd/common/progress.h"
#include "cmd/common/scoring.h"
#include "cmd/common/terminal.h"
#include "runtime/memory_plan.h"

namespace trit {

namespace {

constexpr uint32_t kDefaultContext = 512;

struct PerplexityFlags {
  ModelFlags model;
  std::optional<std::string> file, reference, score = "half";
  std::optional<int64_t> chunks = -1;
  std::optional<uint64_t> bytes;
  bool json = false;
};

CommandLine command_line(PerplexityFlags* f) {
  const std::vector<Flag> own = {
      {"-f, --file", "FILE", "the text (-: standard input); a byte of it counts 34 in --memory",
       TextTarget{&f->file, {}}, kRequired},
      {"--bytes", "SIZE", "read only so much of the text", SizeTarget{&f->bytes}},
      {"--chunks", "N", "most windows; -1: all", IntegerTarget{&f->chunks, -1, INT32_MAX}},
      {"--score", "half|all", "tokens scored: the second half of each window, or all",
       TextTarget{&f->score, {"half", "all"}}},
      {"--kl, --kl-divergence", "REF.trit",
       "compare with another file of the same model, all of it, beside --memory",
       TextTarget{&f->reference, {}}},
      {"--json", "", "print one JSON object", SwitchTarget{&f->json}},
  };
  return {"perplexity",
          "measure how well a model predicts a text, in windows of -c tokens (default 512, or the "
          "model's context if that is less)",
          "  tritstack perplexity -m qwen.trit -f wiki.test.raw\n"
          "  tritstack perplexity -m qwen.trit -f wiki.test.raw --kl reference.trit --chunks 20\n",
          join_flags(model_flags(&f->model), own, session_flags(&f->model))};
}

// The prompt of one window and its first scored token: tokens [first, size) are predicted from
// those before them.
struct Window {
  TokenIds ids;
  size_t first;
};

struct Text {
  TokenIds ids;
  int32_t bos = -1;  // -1: the tokenizer adds none
};

int read_bytes(const PerplexityFlags& f, std::string* bytes) {
  if (const int code = read_in_budget(*f.file, f.bytes.value_or(UINT64_MAX), f.model, bytes))
    return code;
  // A cut character at the end, at most 3 bytes of it.
  for (size_t cut = 1; cut <= 3 && cut <= bytes->size(); ++cut) {
    const auto lead = static_cast<unsigned char>((*bytes)[bytes->size() - cut]);
    if ((lead & 0xc0) == 0x80) continue;
    if (lead >= 0xc0 && cut < (lead >= 0xf0 ? 4u : lead >= 0xe0 ? 3u : 2u))
      bytes->resize(bytes->size() - cut);
    break;
  }
  return TRIT_OK;
}

int read_tokens(const PerplexityFlags& f, const trit_model* model, const std::string& bytes,
                Text* text) {
  TokenIds start;
  if (const trit_status s = tokenize(model, "", TRIT_ADD_BOS, &start)) return fail(s);
  if (!start.empty()) text->bos = start[0];
  const unsigned flags = *f.score == "half" ? unsigned{TRIT_ADD_BOS} : 0u;
  const trit_status s = tokenize(model, bytes, flags, &text->ids);
  return s ? fail(s) : TRIT_OK;
}

std::vector<Window> half_windows(const Text& text, size_t context) {
  std::vector<Window> windows;
  for (size_t begin = 0; begin + context <= text.ids.size(); begin += context) {
    const auto first = text.ids.begin() + static_cast<ptrdiff_t>(begin);
    windows.push_back({TokenIds(first, first + static_cast<ptrdiff_t>(context)), context / 2 + 1});
    if (text.bos >= 0) windows.back().ids[0] = text.bos;
  }
  return windows;
}

std::vector<Window> all_windows(const Text& text, size_t context) {
  const size_t step = text.bos >= 0 ? context - 1 : context;
  std::vector<Window> windows;
  for (size_t begin = 0; begin < text.ids.size(); begin += step) {
    Window window = {{}, 1};
    if (text.bos >= 0) window.ids.push_back(text.bos);
    for (size_t i = begin; i < std::min(begin + step, text.ids.size()); ++i)
      window.ids.push_back(text.ids[i]);
    if (window.ids.size() > 1) windows.push_back(std::move(window));
  }
  return windows;
}

// One model that reads windows chunk by chunk.
class Scorer {
 public:
  Scorer(trit_session* session, size_t vocab) : session_(session), vocab_(vocab) {}

  int begin_window() {
    const trit_status s = trit_session_rewind(session_, 0);
    return s ? fail(s) : TRIT_OK;
  }
  // Reads ids; `keep`: their logits are wanted.
  int read(const int32_t* ids, size_t count, bool keep) {
    if (keep) logits_.resize(count * vocab_);
    const trit_status s =
        trit_session_prefill(session_, ids, count, keep ? logits_.data() : nullptr);
    if (s == TRIT_CANCELLED || interrupted()) return fail(TRIT_CANCELLED, "interrupted");
    return s ? fail(s) : TRIT_OK;
  }
  const float* logits() const { return logits_.data(); }

 private:
  trit_session* session_;
  size_t vocab_;
  std::vector<float> logits_;
};

// Scores one window with one model, or with two (reference second).
int score_window(const Window& window, size_t vocab, ThreadPool* pool, std::vector<Scorer>* scorers,
                 Scores* scores) {
  for (Scorer& scorer : *scorers) {
    if (const int code = scorer.begin_window()) return code;
  }
  // The last token predicts nothing that is known.
  const size_t end = window.ids.size() - 1;
  for (size_t begin = 0; begin < end;) {
    const bool keep = begin >= window.first - 1;
    const size_t border = keep ? end : window.first - 1;
    const size_t count = std::min(kScoredTokens, border - begin);
    for (Scorer& scorer : *scorers) {
      if (const int code = scorer.read(window.ids.data() + begin, count, keep)) return code;
    }
    if (keep)
      add_scores(scorers->front().logits(),
                 scorers->size() > 1 ? scorers->back().logits() : nullptr, vocab,
                 &window.ids[begin + 1], count, pool, scores);
    begin += count;
  }
  return TRIT_OK;
}

int score_all(const std::vector<Window>& windows, size_t vocab, ThreadPool* pool,
              std::vector<Scorer> scorers, Scores* scores) {
  Progress progress;
  for (size_t i = 0; i < windows.size(); ++i) {
    if (const int code = score_window(windows[i], vocab, pool, &scorers, scores)) return code;
    const std::string running = format("window %zu of %zu: PPL = %.4f", i + 1, windows.size(),
                                       scores->perplexity.perplexity());
    // Elsewhere than on a terminal about ten lines are enough.
    const size_t stride = (windows.size() + 9) / 10;
    if (has_cursor(2) || (i + 1) % stride == 0) progress.update(running, "", i + 1, windows.size());
  }
  return TRIT_OK;
}

// Opens --kl REF, which must read the text as the same tokens.
int open_reference(const PerplexityFlags& f, const trit_model* model, const std::string& bytes,
                   const Text& text, ModelHandle* reference, SessionHandle* session) {
  ModelFlags flags = f.model;
  flags.model = f.reference;
  flags.planes = flags.head_planes = std::nullopt;
  flags.memory = std::nullopt;
  flags.aside = 0;
  if (const int code = open_model(flags, reference)) return code;
  Text other;
  if (const int code = read_tokens(f, reference->get(), bytes, &other)) return code;
  if (other.ids != text.ids || model_info(reference->get()).vocab != model_info(model).vocab)
    return fail(TRIT_USAGE, *f.reference + ": not the same model: its tokens differ");
  if (const int code = open_session(flags, reference->get(), kDefaultContext, session)) return code;
  announce(flags, reference->get(), session->get());
  return TRIT_OK;
}

void print_results(const PerplexityFlags& f, const Scores& scores, size_t windows, size_t context) {
  const PerplexityEstimate& estimate = scores.perplexity;
  if (f.json) {
    JsonWriter out;
    out.begin_object().member("perplexity", estimate.perplexity());
    out.member("error", estimate.error()).member("tokens", estimate.count());
    out.member("windows", uint64_t{windows}).member("context", uint64_t{context});
    if (f.reference) {
      out.member("kl_divergence", scores.divergence.mean());
      out.member("top1_agreement", scores.divergence.top1_agreement());
    }
    return print(out.end_object().text() + "\n");
  }
  print(format("%zu windows of %zu tokens, %" PRIu64 " scored\n", windows, context,
               estimate.count()));
  if (f.reference) {
    print(format("Mean KL divergence = %.6f\nTop-1 agreement = %.2f %%\n", scores.divergence.mean(),
                 100 * scores.divergence.top1_agreement()));
  }
  print(format("Final estimate: PPL = %.4f +/- %.5f\n", estimate.perplexity(), estimate.error()));
}

}  // namespace

int perplexity_command(int argc, char** argv) {
  PerplexityFlags flags;
  if (const auto end = parse_args(command_line(&flags), argc, argv)) return *end;
  catch_interrupts();
  decide_memory(&flags.model);
  ModelHandle model, reference;
  SessionHandle session, reference_session;
  if (const int code = open_model(flags.model, &model)) return code;
  std::string bytes;
  if (const int code = read_bytes(flags, &bytes)) return code;
  const size_t vocab = model_info(model.get()).vocab;
  const uint64_t threads =
      static_cast<uint64_t>(flags.model.threads.value_or(default_thread_count()));
  const uint64_t scoring = kScoredTokens * vocab * sizeof(float) + (threads - 1) * kThreadBytes;
  const uint64_t reading =
      std::max(tokenizing_bytes(bytes), bytes.size() * (1 + 2 * sizeof(int32_t)));
  if (const int code = set_aside(reading + scoring, model.get(), &flags.model)) return code;
  if (const int code = open_session(flags.model, model.get(), kDefaultContext, &session))
    return code;
  Text text;
  if (const int code = read_tokens(flags, model.get(), bytes, &text)) return code;
  if (!flags.reference) std::string().swap(bytes);
  const uint64_t kept = scoring + bytes.capacity() + 2 * text.ids.size() * sizeof(int32_t);
  if (const int code = set_aside(kept, model.get(), &flags.model)) return code;
  const size_t context = trit_session_context(session.get());
  if (context < 4) return fail(TRIT_USAGE, "perplexity: -c: expected at least 4 tokens");

  std::vector<Window> windows =
      *flags.score == "half" ? half_windows(text, context) : all_windows(text, context);
  if (windows.empty()) {
    return fail(TRIT_USAGE, format("%s: the text has %zu tokens, a window needs %zu; -c N makes "
                                   "smaller ones",
                                   flags.file->c_str(), text.ids.size(),
                                   *flags.score == "half" ? context : size_t{2}));
  }
  if (*flags.chunks >= 0 && static_cast<size_t>(*flags.chunks) < windows.size())
    windows.resize(static_cast<size_t>(*flags.chunks));
  if (windows.empty()) return fail(TRIT_USAGE, "perplexity: --chunks: expected at least 1");

  announce(flags.model, model.get(), session.get());
  PressureWatch watch(flags.model, model.get(), PressureWatch::Lines::kAtOnce);
  std::vector<Scorer> scorers = {Scorer(session.get(), vocab)};
  if (flags.reference) {
    if (const int code =
            open_reference(flags, model.get(), bytes, text, &reference, &reference_session))
      return code;
    scorers.emplace_back(reference_session.get(), vocab);
  }
  Scores scores;
  ThreadPool pool(trit_session_threads(session.get()));
  if (const int code = score_all(windows, vocab, &pool, std::move(scorers), &scores)) return code;
  print_results(flags, scores, windows.size(), context);
  return TRIT_OK;
}

}  // namespace trit
