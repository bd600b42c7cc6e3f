// tritstack quantize: a Hugging Face folder becomes one .trit file, whole or not at all; what an
// interrupted run has finished is in OUT.partial.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <thread>

#include "cmd/calibrated.h"
#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/memory_budget.h"
#include "cmd/common/output.h"
#include "cmd/common/progress.h"
#include "runtime/default_threads.h"

namespace trit {

namespace {

struct QuantizeFlags {
  std::optional<std::string> source, output, encoding, dense, calibrate, order;
  std::optional<int64_t> calibrate_tokens, order_tokens, planes, head_planes, group, threads;
  bool force = false, json = false, verbose = false;
};

CommandLine command_line(QuantizeFlags* f) {
  return {
      "quantize",
      "turn a Hugging Face folder (config.json, *.safetensors) into a .trit file",
      "  tritstack quantize Qwen3-0.6B -o qwen.trit\n"
      "  tritstack quantize Qwen3-0.6B -o qwen.trit --calibrate text.txt\n"
      "  tritstack quantize Llama-3.2-1B-Instruct -o llama.trit --planes 4\n"
      "  tritstack quantize Qwen3-0.6B -o reference.trit --dense f32\n",
      {{"SRC", "", "the folder", TextTarget{&f->source, {}}, kRequired},
       {"-o, --output", "FILE",
        "the .trit file to write; interrupted, a run goes on from FILE.partial",
        TextTarget{&f->output, {}}, kRequired},
       {"--planes", "K", "planes of the layer matrices (default 3)",
        IntegerTarget{&f->planes, 1, kMaxPlanes}},
       {"--head-planes", "K", "planes of embedding and head (default 4)",
        IntegerTarget{&f->head_planes, 1, kMaxPlanes}},
       {"--encoding", "tied|free|native", "how planes make a weight, see FORMAT.md (default tied)",
        TextTarget{&f->encoding, {"tied", "free", "native"}}},
       {"--group", "N", "weights of a row that share a scale (default 160)",
        IntegerTarget{&f->group, 1, kMaxGroup}},
       {"--calibrate", "TEXT", "run the model on this text to choose better planes (slower)",
        TextTarget{&f->calibrate, {}}},
       {"--calibrate-tokens", "N", "most tokens of it (default 32768)",
        IntegerTarget{&f->calibrate_tokens, 1, INT32_MAX}},
       {"--order", "error|calibrated",
        "put planes in order of value by their errors, or (with --calibrate, default) as measured",
        TextTarget{&f->order, {"error", "calibrated"}}},
       {"--order-tokens", "N", "about how many tokens to read for that in all (default 131072)",
        IntegerTarget{&f->order_tokens, 1, INT32_MAX}},
       {"--dense", "f32|bf16", "no planes: the reference (bf16 rounds what is finer)",
        TextTarget{&f->dense, {"f32", "bf16"}}},
       {"-t, --threads", "N", "threads (default: all cores)",
        IntegerTarget{&f->threads, 1, kMaxThreads}},
       {"--force", "", "replace an existing output", SwitchTarget{&f->force}},
       {"--verbose", "", "show what was decided", SwitchTarget{&f->verbose}},
       {"--json", "", "print one JSON object", SwitchTarget{&f->json}}}};
}

// --dense keeps the weights as they are, so there is nothing for the flags of planes to say.
int check_dense(const QuantizeFlags& f) {
  const char* flag = f.planes        ? "--planes"
                     : f.head_planes ? "--head-planes"
                     : f.group       ? "--group"
                     : f.encoding    ? "--encoding"
                     : f.calibrate   ? "--calibrate"
                                     : nullptr;
  if (!f.dense || !flag) return TRIT_OK;
  return fail(TRIT_USAGE, format("quantize: --dense makes no planes, so it goes without %s", flag));
}

// Only the weights of tied planes are chosen by what they do.
int check_calibrate(const QuantizeFlags& f) {
  if (f.calibrate_tokens && !f.calibrate)
    return fail(TRIT_USAGE, "quantize: --calibrate-tokens goes with --calibrate TEXT");
  const bool measured = f.calibrate && f.order != "error";
  if (f.order == "calibrated" && !f.calibrate)
    return fail(TRIT_USAGE, "quantize: --order calibrated goes with --calibrate TEXT");
  if (f.order_tokens && !measured)
    return fail(TRIT_USAGE, "quantize: --order-tokens goes with an order that is measured");
  if (f.calibrate && f.encoding.value_or("tied") != "tied")
    return fail(TRIT_USAGE, "quantize: --calibrate goes with --encoding tied");
  return TRIT_OK;
}

QuantizeOptions quantize_options(const QuantizeFlags& f) {
  QuantizeOptions options;
  options.source = *f.source;
  options.output = *f.output;
  if (f.planes) options.planes = static_cast<uint32_t>(*f.planes);
  if (f.head_planes) options.head_planes = static_cast<uint32_t>(*f.head_planes);
  if (f.group) options.group = static_cast<uint32_t>(*f.group);
  if (f.dense) options.encoding = *f.dense == "f32" ? Encoding::kDenseF32 : Encoding::kDenseBf16;
  if (f.encoding == "free") options.encoding = Encoding::kFree;
  if (f.encoding == "native") options.encoding = Encoding::kNative;
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  options.threads = static_cast<uint32_t>(f.threads.value_or(std::min(cores, kMaxThreads)));
  options.force = f.force;
  options.note = [](const std::string& line) { note(line); };
  return options;
}

void announce(const QuantizeOptions& o) {
  const std::string weights =
      is_dense(o.encoding) ? encoding_name(o.encoding)
                           : format("%s, planes %u, head planes %u, group %u",
                                    encoding_name(o.encoding), o.planes, o.head_planes, o.group);
  note(format("%s, threads %u", weights.c_str(), o.threads));
}

// What the command has to say at its end.
struct Outcome {
  QuantizeReport report;
  std::vector<PrefixQuality> qualities;  // with --calibrate: dense, then a row each
  std::string compared_on;
  double seconds = 0;
};

// Right of each row's columns: nothing without --calibrate.
std::string quality_columns(const Outcome& outcome, size_t row) {
  if (outcome.qualities.empty()) return "";
  const PrefixQuality& q = outcome.qualities[row];
  return format(" %11.4f %10.6f %8.2f", q.perplexity, q.divergence, 100 * q.top1_agreement);
}

void print_table(const QuantizeFlags& flags, const Outcome& outcome) {
  const QuantizeReport& report = outcome.report;
  const bool compared = !outcome.qualities.empty();
  print(format("%6s %14s %12s %15s%s\n", "planes", "bytes", "bits/weight", "relative error",
               compared ? "  perplexity         KL  top-1 %" : ""));
  for (size_t i = 0; i < report.rows.size(); ++i) {
    const auto& row = report.rows[i];
    const std::string planes = flags.dense ? *flags.dense : std::to_string(row.planes);
    print(format("%6s %14" PRIu64 " %12.3f %15.5f%s\n", planes.c_str(), row.bytes,
                 row.bits_per_weight, row.relative_error, quality_columns(outcome, i + 1).c_str()));
  }
  print(format("%6s %14s %12.3f %15.5f\n", "head", "", report.head_bits_per_weight,
               report.head_relative_error));
  if (compared)
    print(format("%6s %43s%s\n%s\n", "dense", "", quality_columns(outcome, 0).c_str(),
                 outcome.compared_on.c_str()));
  print(format("%s: %" PRIu64 " weights in %" PRIu64 " bytes, %.0f s\n", flags.output->c_str(),
               report.parameters, report.file_bytes, outcome.seconds));
}

void print_json(const std::string& output, const Outcome& outcome) {
  const QuantizeReport& report = outcome.report;
  JsonWriter out;
  out.begin_object().member("file", output).member("file_bytes", report.file_bytes);
  out.member("parameters", report.parameters).key("rows").begin_array();
  for (const auto& row : report.rows) {
    out.begin_object().member("planes", row.planes).member("bytes", row.bytes);
    out.member("bits_per_weight", row.bits_per_weight);
    out.member("relative_error", row.relative_error).end_object();
  }
  out.end_array().member("head_bits_per_weight", report.head_bits_per_weight);
  out.member("head_relative_error", report.head_relative_error).key("quality").begin_array();
  for (const PrefixQuality& q : outcome.qualities) {
    out.begin_object().member("planes", q.planes).member("perplexity", q.perplexity);
    out.member("kl_divergence", q.divergence).member("top1_agreement", q.top1_agreement);
    out.end_object();
  }
  out.end_array().member("seconds", outcome.seconds).key("warnings").begin_array();
  for (const std::string& warning : report.warnings) out.value(warning);
  print(out.end_array().end_object().text() + "\n");
}

Status run_calibrated(const QuantizeFlags& flags, const QuantizeOptions& options,
                      const std::string& bytes, const QuantizeProgress& progress,
                      Outcome* outcome) {
  const int64_t order_tokens = flags.order == "error" ? 0 : flags.order_tokens.value_or(131072);
  const CalibrationText text{*flags.calibrate, bytes,
                             static_cast<uint64_t>(flags.calibrate_tokens.value_or(32768)),
                             static_cast<uint64_t>(order_tokens)};
  const auto job = CalibratedQuantize::prepare(options, text, progress, interrupted());
  if (!job.ok()) return job.status();
  auto report = (*job.value()).run(progress, interrupted());
  if (!report.ok()) return report.status();
  outcome->report = std::move(report.value());
  auto qualities = (*job.value()).compare(outcome->report, progress, interrupted());
  if (!qualities.ok()) return qualities.status();
  outcome->qualities = std::move(qualities.value());
  outcome->compared_on = format(
      "compared on %" PRIu64 " tokens%s; calibrated on %" PRIu64, (*job.value()).compared_tokens(),
      (*job.value()).held_out() ? " after those" : " of those, for want of more text",
      (*job.value()).calibration_tokens());
  return Status();
}

Status run(const QuantizeFlags& flags, const QuantizeOptions& options, const std::string& text,
           Outcome* outcome) {
  const auto start = std::chrono::steady_clock::now();
  Progress bar;
  const QuantizeProgress progress = [&](const std::string& stage, uint64_t done, uint64_t total) {
    // "layers.3.q" is the detail of the stage "layers".
    bar.update(stage.substr(0, stage.find('.')), stage, done, total);
  };
  if (flags.calibrate) {
    TRIT_RETURN_IF_ERROR(run_calibrated(flags, options, text, progress, outcome));
  } else {
    auto report = quantize(options, progress, interrupted());
    if (!report.ok()) return report.status();
    outcome->report = std::move(report.value());
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  outcome->seconds = taken.count();
  return Status();
}

}  // namespace

int quantize_command(int argc, char** argv) {
  QuantizeFlags flags;
  if (const auto end = parse_args(command_line(&flags), argc, argv)) return *end;
  if (const int code = check_dense(flags)) return code;
  if (const int code = check_calibrate(flags)) return code;
  catch_interrupts();
  std::string text;
  if (flags.calibrate) {
    if (const int code = refuse_input(*flags.output, *flags.calibrate, "the text of --calibrate"))
      return code;
    if (const int code = read_in_budget(*flags.calibrate, UINT64_MAX, {}, &text)) return code;
  }
  const QuantizeOptions options = quantize_options(flags);
  if (flags.verbose) announce(options);
  Outcome outcome;
  const Status status = run(flags, options, text, &outcome);
  if (!status.ok()) return fail(status);
  for (const std::string& warning : outcome.report.warnings) note("warning: " + warning);
  if (const uint32_t planes = outcome.report.rows.back().planes; planes < flags.planes.value_or(0))
    note(format("warning: planes %u: all there are to the weights, %lld asked", planes,
                static_cast<long long>(*flags.planes)));
  flags.json ? print_json(*flags.output, outcome) : print_table(flags, outcome);
  return TRIT_OK;
}

}  // namespace trit
