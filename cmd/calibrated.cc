// See calibrated.h.
#include "cmd/calibrated.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "cmd/common/scoring.h"
#include "cmd/measured_order.h"
#include "cmd/model_calibration.h"
#include "model_format/checksum.h"
#include "model_format/convert/hf_model.h"
#include "model_format/convert/plane_order.h"
#include "model_format/output_file.h"
#include "runtime/session.h"
#include "runtime/text/tokenizer.h"

namespace trit {

namespace {

constexpr uint32_t kWindow = 512;
constexpr size_t kMostHeldOut = 8;  // windows

// One model that reads windows, with the logits of its last chunk.
struct Reader {
  std::unique_ptr<Session> session;
  std::vector<float> logits;
};

Result<Reader> open_reader(const std::shared_ptr<const Model>& model, uint32_t window,
                           uint32_t threads) {
  SessionOptions options;
  options.context = window;
  options.threads = threads;
  Result<std::unique_ptr<Session>> session = Session::open(model, options);
  if (!session.ok()) return session.status();
  TRIT_RETURN_IF_ERROR(model->planes().settle());
  model->planes().release_pages();
  return Reader{std::move(session.value()),
                std::vector<float>(kScoredTokens * model->config().vocab)};
}

// Scores every token of a window but the first, with all readers beside the first of them.
Status score(Span<const int32_t> window, ThreadPool* pool, std::vector<Reader>* readers,
             std::vector<Scores>* scores) {
  const size_t last = window.size() - 1;
  for (Reader& reader : *readers) TRIT_RETURN_IF_ERROR(reader.session->rewind(0));
  for (size_t begin = 0; begin < last; begin += kScoredTokens) {
    const size_t count = std::min(kScoredTokens, last - begin);
    for (size_t r = 0; r < readers->size(); ++r) {
      Reader& reader = (*readers)[r];
      const size_t vocab = reader.session->model().config().vocab;
      TRIT_RETURN_IF_ERROR(
          reader.session->prefill({window.data() + begin, count}, reader.logits.data()));
      reader.session->model().planes().release_pages();  // one model at a time
      add_scores(reader.logits.data(), readers->front().logits.data(), vocab,
                 window.data() + begin + 1, count, pool, &(*scores)[r]);
    }
  }
  return Status();
}

// The dense encoding that holds every weight of a folder exactly.
Encoding exact_encoding(const HfModel& source) {
  for (const SourceMatrix& m : source.matrices)
    if (m.tensor->dtype != Dtype::kBf16) return Encoding::kDenseF32;
  return Encoding::kDenseBf16;
}

// What went wrong once the file was there.
Status with_whole_file(const std::string& output, const char* without, const Status& error) {
  return Status(error.code(), error.message() + "; " + output + " is whole, but " + without);
}

}  // namespace

Result<std::unique_ptr<CalibratedQuantize>> CalibratedQuantize::prepare(
    const QuantizeOptions& options, const CalibrationText& text, const QuantizeProgress& progress,
    const std::atomic<bool>& cancel) {
  // Writing the dense model takes a while: first see that the planes have a place, and that there
  // is enough to fit them to.
  const Result<OutputFile> place = OutputFile::create(options.output, options.force, true);
  if (!place.ok()) return place.status();
  const Result<HfModel> source = read_hf_model(options.source);
  if (!source.ok()) return source.status();
  if (source->config.ternary != TernaryForm::kNone)
    return Status(Code::kUnsupported,
                  options.source + ": --calibrate needs ordinary weights, found ternary ones");
  std::unique_ptr<CalibratedQuantize> job(new CalibratedQuantize);
  job->options_ = options;
  job->order_tokens_ = text.order_tokens;
  TRIT_RETURN_IF_ERROR(job->cut(source.value(), text));

  QuantizeOptions dense = options;
  dense.encoding = exact_encoding(source.value());
  dense.output = options.output + ".dense";
  dense.force = false;
  if (std::error_code error; std::filesystem::exists(dense.output, error))
    return Status(Code::kUsage, dense.output +
                                    ": in the way of a copy of the dense model; what an "
                                    "earlier run left there may be removed");
  const Result<QuantizeReport> report = quantize(dense, progress, cancel);
  if (!report.ok()) return report.status();
  ModelOptions in_pieces;  // its pages come when they are touched, and leave when we say so
  in_pieces.planes.budget_bytes = 1;
  in_pieces.planes.force = true;
  Result<std::shared_ptr<const Model>> model = Model::open(dense.output, in_pieces);
  std::remove(dense.output.c_str());
  if (!model.ok()) return model.status();
  job->dense_ = std::move(model.value());
  return job;
}

// The text into windows: those to calibrate on, then those to compare on.
Status CalibratedQuantize::cut(const HfModel& source, const CalibrationText& text) {
  const std::vector<uint8_t>& section = source.text.tokenizer;
  if (section.empty())
    return Status(Code::kUnsupported, options_.source + ": --calibrate needs its tokenizer.json");
  const ModelConfig& config = source.config.model;
  const auto tokenizer =
      Tokenizer::open({section.data(), section.size()}, config.vocab, options_.source);
  if (!tokenizer.ok()) return tokenizer.status();
  window_ = std::min(kWindow, config.max_positions);
  std::vector<int32_t> ids;
  tokenizer->encode(text.bytes, false, false, &ids);

  const bool has_bos = tokenizer->bos() != kNoToken;
  if (window_ < 3)
    return Status(Code::kUnsupported, options_.source +
                                          "/config.json: max_position_embeddings: calibration "
                                          "needs at least 3, found " +
                                          std::to_string(window_));
  const size_t step = window_ - (has_bos ? 1 : 0), windows = ids.size() / step;
  const size_t fitted = std::min<size_t>(windows, text.tokens / window_);
  if (fitted == 0)
    return Status(Code::kUsage, text.file + ": calibration text: expected at least " +
                                    std::to_string(window_) + " tokens, found " +
                                    std::to_string(std::min<uint64_t>(ids.size(), text.tokens)));
  for (size_t w = 0; w < std::min(windows, fitted + kMostHeldOut); ++w) {
    std::vector<int32_t>& to = w < fitted ? ids_ : held_out_;
    if (has_bos) to.push_back(tokenizer->bos());
    const auto first = ids.begin() + static_cast<ptrdiff_t>(w * step);
    to.insert(to.end(), first, first + static_cast<ptrdiff_t>(step));
  }
  held_out_is_new_ = !held_out_.empty();
  if (!held_out_is_new_)
    held_out_.assign(ids_.begin(), ids_.begin() + static_cast<ptrdiff_t>(std::min(
                                                      ids_.size(), kMostHeldOut * window_)));
  return Status();
}

Result<QuantizeReport> CalibratedQuantize::run(const QuantizeProgress& progress,
                                               const std::atomic<bool>& cancel) {
  CalibrationOptions calibration;
  calibration.window = window_;
  calibration.group = options_.group;
  calibration.prefixes = watched_prefixes(options_.planes);
  calibration.threads = options_.threads;
  Result<std::unique_ptr<ModelCalibration>> running =
      ModelCalibration::open(dense_, ids_, calibration, cancel);
  if (!running.ok()) return running.status();
  QuantizeOptions options = options_;
  options.calibration = running->get();
  char hash[17];
  std::snprintf(
      hash, sizeof hash, "%016llx",
      static_cast<unsigned long long>(hash64(ids_.data(), ids_.size() * sizeof ids_[0], window_)));
  options.calibrated_on = std::to_string(ids_.size()) + ":" + hash;
  Result<QuantizeReport> report = quantize(options, progress, cancel);
  if (!report.ok() || order_tokens_ == 0) return report;
  const Result<uint64_t> bytes = order_planes(progress, cancel);
  if (!bytes.ok())
    return with_whole_file(options_.output, "its planes are in estimated order", bytes.status());
  report->file_bytes = bytes.value();
  return report;
}

// Measures the order of the finished file's planes on text that they were not fitted to, and copies
// the file in it. Returns the size of the copy.
Result<uint64_t> CalibratedQuantize::order_planes(const QuantizeProgress& progress,
                                                  const std::atomic<bool>& cancel) const {
  const Result<std::shared_ptr<const Model>> model = Model::open(options_.output, {});
  if (!model.ok()) return model.status();
  const auto trials = PlaneTrials::open(dense_, model.value(), window_, options_.threads, cancel);
  if (!trials.ok()) return trials.status();
  const auto report = [&](uint64_t done, uint64_t total) {
    if (progress) progress("ordering", done, total);
  };
  const ModelReader& reader = (*model.value()).reader();
  const Result<MeasuredOrder> order =
      measure_order(trials.value().get(), reader, held_out_, window_, order_tokens_, report);
  if (!order.ok()) return order.status();
  return reorder_file(reader, options_.output, order->residuals, order->base_quality, cancel);
}

Result<std::vector<PrefixQuality>> CalibratedQuantize::compare(
    const QuantizeReport& report, const QuantizeProgress& progress,
    const std::atomic<bool>& cancel) const {
  const auto failed = [&](const Status& why) {
    return with_whole_file(options_.output, "was not compared", why);
  };
  std::vector<uint32_t> planes = {0};
  for (const QuantizeReport::Row& row : report.rows) planes.push_back(row.planes);
  std::vector<Reader> readers;
  for (const uint32_t p : planes) {
    ModelOptions model_options;
    model_options.planes.caps.planes = p;
    Result<std::shared_ptr<const Model>> model =
        p == 0 ? dense_ : Model::open(options_.output, model_options);
    if (!model.ok()) return failed(model.status());
    Result<Reader> reader = open_reader(model.value(), window_, options_.threads);
    if (!reader.ok()) return failed(reader.status());
    readers.push_back(std::move(reader.value()));
  }
  std::vector<Scores> scores(readers.size());
  ThreadPool pool(options_.threads);
  const size_t windows = held_out_.size() / window_;
  for (size_t w = 0; w < windows; ++w) {
    if (progress) progress("comparing", w, windows);
    if (cancel) return failed(Status(Code::kCancelled, "interrupted"));
    const Status scored = score({&held_out_[w * window_], window_}, &pool, &readers, &scores);
    if (!scored.ok()) return failed(scored);
  }
  std::vector<PrefixQuality> qualities;
  for (size_t i = 0; i < planes.size(); ++i)
    qualities.push_back({planes[i], scores[i].perplexity.perplexity(), scores[i].divergence.mean(),
                         scores[i].divergence.top1_agreement()});
  return qualities;
}

}  // namespace trit
