// How well a model predicts a text with each prefix of its stored planes. For rooms that link the
// runtime and the converter.
#ifndef TRITSTACK_TESTS_SUPPORT_PREFIX_SCORES_H_
#define TRITSTACK_TESTS_SUPPORT_PREFIX_SCORES_H_

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model_format/convert/converter.h"
#include "runtime/session.h"
#include "tests/support/log_probabilities.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"

namespace trit {

// A checkpoint of ../shared/data as `quantize` makes it, three planes; the path.
inline std::string quantized(const TempDir& folder, const std::string& checkpoint,
                             Encoding encoding = Encoding::kTied) {
  QuantizeOptions options;
  options.source = shared_data() + "/models/" + checkpoint;
  options.output = folder.path(checkpoint + (is_dense(encoding) ? ".dense.trit" : ".trit"));
  options.encoding = encoding;
  options.threads = 2;
  const auto report = quantize(options, nullptr, std::atomic<bool>(false));
  REQUIRE_MESSAGE(report.ok(), report.status().message());
  return options.output;
}

// Twelve numbers of blocks, from the base to all.
inline std::vector<size_t> twelve_prefixes(const ModelReader& reader) {
  const size_t base = reader.base_blocks(), residual = reader.blocks().size() - base;
  std::vector<size_t> prefixes;
  for (size_t i = 0; i < 12; ++i) prefixes.push_back(base + residual * i / 11);
  return prefixes;
}

class PrefixScores {
 public:
  PrefixScores(const std::string& path, const std::string& text) {
    auto model = Model::open(path, {});
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    model_ = std::move(model.value());
    model_->tokenizer()->encode(text, false, false, &ids_);
    SessionOptions options;
    options.threads = 2;
    options.context = kWindow;
    auto session = Session::open(model_, options);
    REQUIRE(session.ok());
    session_ = std::move(session.value());
  }
  const ModelReader& reader() const { return model_->reader(); }

  // Of every token of the text, window by window: [position][vocab].
  std::vector<float> log_probabilities(size_t blocks) {
    REQUIRE(model_->planes().set_prefix(blocks).ok());
    REQUIRE(model_->planes().settle().ok());
    std::vector<float> all(ids_.size() * vocab());
    for (size_t begin = 0; begin < ids_.size(); begin += kWindow) {
      const size_t tokens = std::min<size_t>(kWindow, ids_.size() - begin);
      REQUIRE(session_->rewind(0).ok());
      REQUIRE(session_->prefill({&ids_[begin], tokens}, &all[begin * vocab()]).ok());
    }
    for (size_t i = 0; i < ids_.size(); ++i) to_log_probabilities(&all[i * vocab()], vocab());
    return all;
  }
  double perplexity(const std::vector<float>& log_probabilities) const {
    double sum = 0;
    size_t scored = 0;
    for (size_t i = 0; i + 1 < ids_.size(); ++i) {
      if (i % kWindow == kWindow - 1) continue;  // what follows is in another window
      sum -= log_probabilities[i * vocab() + static_cast<size_t>(ids_[i + 1])];
      ++scored;
    }
    return std::exp(sum / static_cast<double>(scored));
  }
  double perplexity(size_t blocks) { return perplexity(log_probabilities(blocks)); }

 private:
  static constexpr uint32_t kWindow = 256;

  size_t vocab() const { return model_->config().vocab; }

  std::shared_ptr<const Model> model_;
  std::unique_ptr<Session> session_;
  std::vector<int32_t> ids_;
};

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_PREFIX_SCORES_H_
