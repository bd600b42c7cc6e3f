// See converter.h: options are checked, the folder is read, the output is opened, then matrix after
// matrix is converted and at last the residual planes are put in order.
#include "model_format/convert/converter.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <new>
#include <numeric>
#include <optional>

#include "model_format/checksum.h"
#include "model_format/convert/convert_matrix.h"
#include "model_format/convert/hf_model.h"
#include "model_format/convert/plane_order.h"
#include "model_format/writer.h"

namespace trit {
namespace {

constexpr uint32_t kBaseLayerPlanes = 2, kBaseHeadPlanes = 3;
// Part of what a run must share with the interrupted one that it goes on with: raised when the same
// options come to give other planes.
constexpr uint64_t kQuantizerVersion = 3;

Status check_option(const char* name, uint32_t value, uint32_t min, uint32_t max) {
  if (value >= min && value <= max) return Status();
  return Status(Code::kUsage, std::string(name) + ": expected " + std::to_string(min) + ".." +
                                  std::to_string(max) + ", found " + std::to_string(value));
}

Status check_options(const QuantizeOptions& o) {
  namespace fs = std::filesystem;
  TRIT_RETURN_IF_ERROR(check_option("--planes", o.planes, 1, kMaxPlanes));
  TRIT_RETURN_IF_ERROR(check_option("--head-planes", o.head_planes, 1, kMaxPlanes));
  TRIT_RETURN_IF_ERROR(check_option("--group", o.group, 1, kMaxGroup));
  if (o.output.empty()) return Status(Code::kUsage, "-o: expected a file name, found nothing");
  std::error_code error;
  const fs::file_status source = fs::status(o.source, error);
  if (!fs::exists(source)) {
    if (error && error.value() != ENOENT) return io_error(o.source, "open", error.value());
    return file_error(Code::kIo, o.source,
                      "no such folder; hf download ORG/NAME --local-dir NAME gets one");
  }
  if (!fs::is_directory(source))
    return Status(Code::kUsage, o.source +
                                    ": expected a Hugging Face folder, the one in which "
                                    "config.json and *.safetensors lie, found a file");
  // --force must never replace what is being read.
  for (fs::directory_iterator it(o.source, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (fs::equivalent(it->path(), o.output, ignored))
      return Status(Code::kUsage, o.output + ": the output is a file of the source folder");
  }
  return error ? io_error(o.source, "list", error.value()) : Status();
}

std::string options_text(const QuantizeOptions& o) {
  const std::string encoding = std::string("encoding=") + encoding_name(o.encoding);
  if (is_dense(o.encoding)) return encoding;
  return encoding + " planes=" + std::to_string(o.planes) +
         " head_planes=" + std::to_string(o.head_planes) + " group=" + std::to_string(o.group) +
         (o.calibration ? " calibrated_on=" + o.calibrated_on : "");
}

// What a matrix shall become. PTQTP leaves embedding and head alone, so they are tied even when the
// layers are free or native.
MatrixInfo plan_matrix(const SourceMatrix& source, const QuantizeOptions& o) {
  MatrixInfo m;
  m.role = source.role;
  m.layer = source.layer;
  m.rows = source.shape.rows;
  m.cols = source.shape.cols;
  const bool in_layer = is_layer_role(source.role);
  m.planes = m.base_planes = 1;
  if (source.ternary != TernaryForm::kNone) {
    m.encoding = Encoding::kNative;
    m.group = m.cols;
  } else if (is_dense(o.encoding)) {
    m.encoding = o.encoding;
  } else {
    m.encoding = in_layer && o.encoding == Encoding::kFree ? Encoding::kFree : Encoding::kTied;
    m.group = std::min(o.group, m.cols);
    m.planes = in_layer ? o.planes : o.head_planes;
    m.base_planes = m.encoding == Encoding::kFree
                        ? m.planes
                        : std::min(m.planes, in_layer ? kBaseLayerPlanes : kBaseHeadPlanes);
  }
  return m;
}

// Plane counts below which ordinary models are known to be of no use.
void warn_of_few_planes(const std::vector<MatrixInfo>& matrices,
                        std::vector<std::string>* warnings) {
  bool layers = false, heads = false;
  for (const MatrixInfo& m : matrices) {
    if (m.encoding == Encoding::kNative || is_dense(m.encoding)) continue;
    (is_layer_role(m.role) ? layers : heads) |=
        m.planes < (is_layer_role(m.role) ? kBaseLayerPlanes : kBaseHeadPlanes);
  }
  if (layers) warnings->push_back("with fewer than 2 planes an ordinary model is of no use");
  if (heads) warnings->push_back("fewer than 3 head planes cost much quality");
}

struct Totals {
  double weights = 0, bits = 0, error = 0;

  // `planes` of the matrix resident.
  void add(const MatrixInfo& m, uint32_t planes) {
    const double n = static_cast<double>(m.rows) * m.cols;
    weights += n;
    for (uint32_t p = 0; p < planes; ++p) bits += 8.0 * static_cast<double>(block_bytes(m, p));
    error += n * static_cast<double>(m.errors[planes - 1]);
  }
  double bits_per_weight() const { return weights > 0 ? bits / weights : 0; }
  double relative_error() const { return weights > 0 ? std::sqrt(error / weights) : 0; }
};

void fill_report(const std::vector<MatrixInfo>& matrices, const std::vector<VectorData>& vectors,
                 QuantizeReport* report) {
  uint32_t least = 1, most = 1;
  Totals heads;
  for (const MatrixInfo& m : matrices) {
    report->parameters += uint64_t{m.rows} * m.cols;
    if (!is_layer_role(m.role)) {
      heads.add(m, m.planes);
      continue;
    }
    least = std::max(least, m.base_planes);
    most = std::max(most, m.planes);
  }
  for (const VectorData& v : vectors) report->parameters += v.values.size();
  report->head_bits_per_weight = heads.bits_per_weight();
  report->head_relative_error = heads.relative_error();
  for (uint32_t planes = least; planes <= most; ++planes) {
    Totals layers;
    for (const MatrixInfo& m : matrices)
      if (is_layer_role(m.role)) layers.add(m, std::min(planes, m.planes));
    report->rows.push_back({planes, static_cast<uint64_t>((layers.bits + heads.bits) / 8),
                            layers.bits_per_weight(), layers.relative_error()});
  }
}

std::optional<VectorRole> norm_before(MatrixRole role) {
  switch (first_with_input_of(role)) {
    case MatrixRole::kQ:
      return VectorRole::kAttentionNorm;
    case MatrixRole::kGate:
      return VectorRole::kFfnNorm;
    case MatrixRole::kHead:
      return VectorRole::kFinalNorm;
    default:
      return std::nullopt;
  }
}

// How much an error in the weights of each column counts, as far as the norm in front of the matrix
// tells: what it puts out is on average as large as its gains.
std::vector<float> column_importance(const MatrixInfo& info,
                                     const std::vector<VectorData>& vectors) {
  std::vector<float> importance(info.cols, 1.0f);
  const auto norm = norm_before(info.role);
  for (const VectorData& v : vectors) {
    if (!norm || v.role != *norm || (is_layer_role(info.role) && v.layer != info.layer)) continue;
    for (uint32_t i = 0; i < info.cols; ++i) importance[i] = v.values[i] * v.values[i];
  }
  return importance;
}

// What calibration knows of a matrix, and the factors of its inputs' moments, which matrices with
// the same input share.
struct Measured {
  std::vector<InputStatistics> statistics;
  std::vector<Factor> factors;
};

Status measure(const QuantizeOptions& options, const MatrixInfo& info,
               const std::atomic<bool>& cancel, Measured* measured) {
  Result<std::vector<InputStatistics>> statistics =
      options.calibration->measure(info.role, info.layer);
  if (!statistics.ok()) return statistics.status();
  measured->statistics = std::move(statistics.value());
  if (first_with_input_of(info.role) != info.role && !measured->factors.empty()) return Status();
  measured->factors.clear();
  for (const InputStatistics& s : measured->statistics) {
    Result<Factor> factor = factorize(s.moments, info.cols, options.threads, cancel);
    if (!factor.ok()) return factor.status();
    measured->factors.push_back(std::move(factor.value()));
  }
  if (is_layer_role(info.role)) return Status();
  // Every prefix of the head has the same inputs.
  measured->statistics[0].planes = info.planes;
  while (measured->statistics.back().planes > info.base_planes) {
    InputStatistics shorter = measured->statistics.back();
    --shorter.planes;
    measured->statistics.push_back(shorter);
    measured->factors.push_back(measured->factors[0]);
  }
  return Status();
}

// One matrix; with calibration, by what the model does with it, and calibration goes on with it.
Status convert_one(const QuantizeOptions& options, bool is_head, MatrixTask task, float* errors,
                   Measured* measured) {
  const MatrixInfo& info = task.info;
  const bool in_layer = is_layer_role(info.role);
  if (!options.calibration || !(in_layer || is_head)) return convert_matrix(task, errors);
  std::vector<std::vector<uint8_t>> blocks(info.planes);
  for (uint32_t p = 0; p < info.planes; ++p) blocks[p].resize(block_bytes(info, p));
  task.blocks = &blocks;
  std::optional<Compensator> compensator;
  if (info.encoding == Encoding::kTied) {
    TRIT_RETURN_IF_ERROR(measure(options, info, task.cancel, measured));
    compensator.emplace(info, measured->statistics, measured->factors);
    task.compensator = &*compensator;
  }
  TRIT_RETURN_IF_ERROR(convert_matrix(task, errors));
  return in_layer ? options.calibration->take(info, std::move(blocks)) : Status();
}

// One matrix that an interrupted run has finished.
Status take_finished(const QuantizeOptions& options, const ModelWriter& writer, uint32_t index,
                     MatrixInfo* info, Measured* measured) {
  std::copy_n(writer.partial().errors(index), info->planes, info->errors);
  measured->factors.clear();
  if (!options.calibration || !is_layer_role(info->role)) return Status();
  auto blocks = writer.read_blocks(index);
  return blocks.ok() ? options.calibration->take(*info, std::move(blocks.value()))
                     : blocks.status();
}

Status convert_all(const QuantizeOptions& options, const HfModel& model, ModelWriter* writer,
                   std::vector<MatrixInfo>* matrices, const QuantizeProgress& progress,
                   const std::atomic<bool>& cancel) {
  uint64_t total = 0, done = 0;
  for (const MatrixInfo& m : *matrices) total += uint64_t{m.rows} * m.cols;
  // Layers first: what the head's inputs are depends on them.
  std::vector<uint32_t> order(matrices->size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_partition(order.begin(), order.end(),
                        [&](uint32_t i) { return is_layer_role((*matrices)[i].role); });
  const MatrixRole head = model.config.model.tied_head ? MatrixRole::kEmbedding : MatrixRole::kHead;
  Measured measured;
  for (const uint32_t i : order) {
    MatrixInfo& info = (*matrices)[i];
    const std::string name = matrix_name(info);
    const auto report = [&](uint64_t rows) {
      if (progress) progress(name, done + rows * info.cols, total);
    };
    if (options.calibration) report(0);  // measuring comes first and takes a while
    const MatrixTask task{model.tensors,
                          model.matrices[i],
                          info,
                          i,
                          writer,
                          options.threads,
                          cancel,
                          report,
                          column_importance(info, model.vectors)};
    if (writer->partial().is_open() && writer->partial().finished(i))
      TRIT_RETURN_IF_ERROR(take_finished(options, *writer, i, &info, &measured));
    else
      TRIT_RETURN_IF_ERROR(convert_one(options, info.role == head, task, info.errors, &measured));
    TRIT_RETURN_IF_ERROR(model.tensors.check_files());
    TRIT_RETURN_IF_ERROR(writer->finish_matrix(i, info.errors));
    done += uint64_t{info.rows} * info.cols;
  }
  if (progress) progress("writing", total, total);
  if (cancel) return Status(Code::kCancelled, "interrupted");
  return writer->finish(order_planes(*matrices, estimated_values(*matrices)));
}

void note_partial(const QuantizeOptions& options, const PartialFile& partial) {
  const std::string& path = partial.file().path();
  if (partial.forgot())
    options.note(path + ": what is damaged in it, or of another run, is made anew");
  if (const uint32_t count = partial.finished_count())
    options.note(path + ": going on after " + std::to_string(count) + " finished matrices");
}

// An error that says nothing against what is finished: the next run goes on from there.
Status keep_partial(const Status& error, ModelWriter* writer) {
  const Code code = error.code();
  const PartialFile& partial = writer->partial();
  const bool bad_source = code == Code::kMalformed || code == Code::kUnsupported;
  if (bad_source || !partial.is_open() || partial.finished_count() == 0) return error;
  writer->keep();
  return Status(code, error.message() + "; the same command goes on from " + partial.file().path());
}

}  // namespace

std::vector<uint32_t> watched_prefixes(uint32_t planes) {
  std::vector<uint32_t> prefixes = {planes};
  while (prefixes.back() > kBaseLayerPlanes) prefixes.push_back(prefixes.back() - 1);
  return prefixes;
}

Result<QuantizeReport> quantize(const QuantizeOptions& options, const QuantizeProgress& progress,
                                const std::atomic<bool>& cancel) {
  TRIT_RETURN_IF_ERROR(check_options(options));
  if (progress) progress("reading", 0, 1);
  auto model = read_hf_model(options.source);
  if (!model.ok()) return model.status();
  if (options.encoding == Encoding::kNative && model->config.ternary == TernaryForm::kNone)
    return Status(Code::kUnsupported,
                  options.source + ": native encoding needs ternary weights, found ordinary ones");

  std::vector<MatrixInfo> matrices;
  for (const SourceMatrix& source : model->matrices)
    matrices.push_back(plan_matrix(source, options));
  if (options.calibration &&
      std::none_of(matrices.begin(), matrices.end(), [](const MatrixInfo& m) {
        return is_layer_role(m.role) && m.encoding == Encoding::kTied;
      }))
    return Status(Code::kUnsupported, options.source +
                                          ": calibration needs ordinary weights that become tied "
                                          "planes, found none");
  QuantizeReport report;
  report.warnings = std::move(model->warnings);
  warn_of_few_planes(matrices, &report.warnings);

  FileDescription description;
  description.config = model->config.model;
  description.generation = model->text.generation;
  description.matrices = matrices;
  description.vectors = model->vectors;
  description.tokenizer = std::move(model->text.tokenizer);
  description.chat_template = std::move(model->text.chat_template);
  description.quantizer_options = options_text(options);
  const uint64_t run[] = {kQuantizerVersion, model->tensors.identity()};
  const uint64_t resume = hash64(run, sizeof run, 0);
  auto writer = ModelWriter::create(options.output, std::move(description), options.force,
                                    is_dense(options.encoding) ? nullptr : &resume);
  if (!writer.ok()) return writer.status();
  const PartialFile& partial = writer.value()->partial();
  if (options.note && partial.is_open()) note_partial(options, partial);
  Status done;
  try {
    done = convert_all(options, model.value(), writer->get(), &matrices, progress, cancel);
  } catch (const std::bad_alloc&) {  // what is finished is not lost
    done = Status(Code::kMemory, options.output + ": out of memory");
  }
  if (!done.ok()) return keep_partial(done, writer->get());
  report.file_bytes = (*writer.value()).file_bytes();
  fill_report(matrices, model->vectors, &report);
  return report;
}

}  // namespace trit
