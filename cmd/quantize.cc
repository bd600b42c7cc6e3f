// tritstack quantize: a Hugging Face folder becomes one .trit file, whole or not at all.
#include <cinttypes>
#include <thread>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/output.h"
#include "cmd/common/progress.h"
#include "model_format/convert/converter.h"

namespace trit {

namespace {

struct QuantizeFlags {
  std::optional<std::string> source, output, encoding, dense;
  std::optional<int64_t> planes, head_planes, group, threads;
  bool force = false, json = false, verbose = false;
};

CommandLine command_line(QuantizeFlags* f) {
  return {
      "quantize",
      "turn a Hugging Face folder (config.json, *.safetensors) into a .trit file",
      "  tritstack quantize Qwen3-0.6B -o qwen.trit\n"
      "  tritstack quantize Llama-3.2-1B-Instruct -o llama.trit --planes 4\n"
      "  tritstack quantize Qwen3-0.6B -o reference.trit --dense f32\n",
      {{"SRC", "", "the folder", TextTarget{&f->source, {}}, kRequired},
       {"-o, --output", "FILE", "the .trit file to write", TextTarget{&f->output, {}}, kRequired},
       {"--planes", "K", "planes of the layer matrices (default 3)",
        IntegerTarget{&f->planes, 1, kMaxPlanes}},
       {"--head-planes", "K", "planes of embedding and head (default 4)",
        IntegerTarget{&f->head_planes, 1, kMaxPlanes}},
       {"--encoding", "tied|free|native", "how planes make a weight, see FORMAT.md (default tied)",
        TextTarget{&f->encoding, {"tied", "free", "native"}}},
       {"--group", "N", "weights of a row that share a scale (default 128)",
        IntegerTarget{&f->group, 1, 1 << 20}},
       {"--dense", "f32|bf16", "keep the weights as they are: the reference",
        TextTarget{&f->dense, {"f32", "bf16"}}},
       {"-t, --threads", "N", "threads (default: all cores)", IntegerTarget{&f->threads, 1, 1024}},
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
                                     : nullptr;
  if (!f.dense || !flag) return TRIT_OK;
  return fail(TRIT_USAGE, format("quantize: --dense makes no planes, so it goes without %s", flag));
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
  options.threads = static_cast<uint32_t>(f.threads.value_or(cores));
  options.force = f.force;
  return options;
}

void announce(const QuantizeOptions& o) {
  const std::string weights =
      is_dense(o.encoding) ? encoding_name(o.encoding)
                           : format("%s, planes %u, head planes %u, group %u",
                                    encoding_name(o.encoding), o.planes, o.head_planes, o.group);
  note(format("%s, threads %u", weights.c_str(), o.threads));
}

void print_table(const QuantizeFlags& flags, const QuantizeReport& report) {
  print(format("%6s %14s %12s %15s\n", "planes", "bytes", "bits/weight", "relative error"));
  for (const auto& row : report.rows) {
    const std::string planes = flags.dense ? *flags.dense : std::to_string(row.planes);
    print(format("%6s %14" PRIu64 " %12.3f %15.5f\n", planes.c_str(), row.bytes,
                 row.bits_per_weight, row.relative_error));
  }
  print(format("%6s %14s %12.3f %15.5f\n", "head", "", report.head_bits_per_weight,
               report.head_relative_error));
  print(format("%s: %" PRIu64 " weights in %" PRIu64 " bytes\n", flags.output->c_str(),
               report.parameters, report.file_bytes));
}

void print_json(const std::string& output, const QuantizeReport& report) {
  JsonWriter out;
  out.begin_object().member("file", output).member("file_bytes", report.file_bytes);
  out.member("parameters", report.parameters).key("rows").begin_array();
  for (const auto& row : report.rows) {
    out.begin_object().member("planes", row.planes).member("bytes", row.bytes);
    out.member("bits_per_weight", row.bits_per_weight);
    out.member("relative_error", row.relative_error).end_object();
  }
  out.end_array().member("head_bits_per_weight", report.head_bits_per_weight);
  out.member("head_relative_error", report.head_relative_error).key("warnings").begin_array();
  for (const std::string& warning : report.warnings) out.value(warning);
  print(out.end_array().end_object().text() + "\n");
}

}  // namespace

int quantize_command(int argc, char** argv) {
  QuantizeFlags flags;
  if (const auto end = parse_args(command_line(&flags), argc, argv)) return *end;
  if (const int code = check_dense(flags)) return code;
  const QuantizeOptions options = quantize_options(flags);
  if (flags.verbose) announce(options);
  catch_interrupts();
  const Result<QuantizeReport> report = [&] {
    Progress progress;
    return quantize(
        options,
        [&](const std::string& stage, uint64_t done, uint64_t total) {
          // "layers.3.q" is the detail of the stage "layers".
          progress.update(stage.substr(0, stage.find('.')), stage, done, total);
        },
        interrupted());
  }();
  if (!report.ok()) return fail(report.status());
  for (const std::string& warning : report->warnings) note("warning: " + warning);
  flags.json ? print_json(*flags.output, report.value()) : print_table(flags, report.value());
  return TRIT_OK;
}

}  // namespace trit
