// How well a model predicts a text with each prefix of its stored planes. For rooms that link the
// runtime and the converter.
#ifndef TRITSTACK_TESTS_SUPPORT_PREFIX_PERPLEXITY_H_
#define TRITSTACK_TESTS_SUPPORT_PREFIX_PERPLEXITY_H_

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model_format/convert/converter.h"
#include "runtime/session.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"

namespace trit {

// A checkpoint of ../shared/data as `quantize` makes it, three planes; the path.
inline std::string quantized(const TempDir& folder, const std::string& checkpoint) {
  QuantizeOptions options;
  options.source = shared_data() + "/models/" + checkpoint;
  options.output = folder.path(checkpoint + ".trit");
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

class PrefixPerplexity {
 public:
  PrefixPerplexity(const std::string& path, const std::string& text) {
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
    logits_.resize(size_t{kWindow} * vocab());
  }
  const ModelReader& reader() const { return model_->reader(); }

  double of(size_t blocks) {
    REQUIRE(model_->planes().set_prefix(blocks).ok());
    REQUIRE(model_->planes().settle().ok());
    double sum = 0;
    size_t scored = 0;
    for (size_t begin = 0; begin + 1 < ids_.size(); begin += kWindow) {
      const size_t tokens = std::min<size_t>(kWindow, ids_.size() - begin);
      REQUIRE(session_->rewind(0).ok());
      REQUIRE(session_->prefill({&ids_[begin], tokens}, logits_.data()).ok());
      for (size_t i = 0; i + 1 < tokens; ++i, ++scored) sum += surprise(i, ids_[begin + i + 1]);
    }
    return std::exp(sum / static_cast<double>(scored));
  }

 private:
  static constexpr uint32_t kWindow = 256;

  size_t vocab() const { return model_->config().vocab; }
  double surprise(size_t position, int32_t id) const {
    const float* logits = logits_.data() + position * vocab();
    double sum = 0;
    for (size_t i = 0; i < vocab(); ++i)
      sum += std::exp(static_cast<double>(logits[i] - logits[id]));
    return std::log(sum);
  }

  std::shared_ptr<const Model> model_;
  std::unique_ptr<Session> session_;
  std::vector<int32_t> ids_;
  std::vector<float> logits_;
};

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_PREFIX_PERPLEXITY_H_
