// See rope.h. The formulas are those of the transformers library's modeling_rope_utils.
#include "model_format/convert/rope.h"

#include <algorithm>
#include <cmath>

#include "model_format/portable_math.h"

namespace trit {
namespace {

constexpr double kTwoPi = 6.283185307179586476925286766559;
constexpr double kMinFactor = 1e-6, kMaxFactor = 1e6;

double clamp01(double x) {
  return std::min(std::max(x, 0.0), 1.0);
}

// Long waves are stretched by `factor`, short ones stay, those between are blended by how many
// turns they make in the trained context.
void scale_llama3(JsonFields* rope, double factor, double trained, std::vector<double>* freq) {
  const double low = rope->number("low_freq_factor", kMinFactor, kMaxFactor);
  const double high = rope->number("high_freq_factor", kMinFactor, kMaxFactor);
  if (high <= low)
    rope->fail(Code::kMalformed, "high_freq_factor",
               "a number above low_freq_factor " + found_text(rope->value("low_freq_factor")),
               found_text(rope->value("high_freq_factor")));
  for (double& f : *freq) {
    const double turns = trained * f / kTwoPi;
    const double keep = clamp01((turns - low) / (high - low));
    f = keep * f + (1 - keep) * f / factor;
  }
}

// The same idea with a ramp over the index of the pair; returns the factor on cos and sin.
double scale_yarn(JsonFields* rope, double factor, double trained, double theta,
                  std::vector<double>* freq) {
  const double dim = 2 * static_cast<double>(freq->size());
  const auto pair_index = [&](double rotations) {
    return dim * portable_log(trained / (rotations * kTwoPi)) / (2 * portable_log(theta));
  };
  double low = pair_index(rope->number_or("beta_fast", 32, kMinFactor, kMaxFactor));
  double high = pair_index(rope->number_or("beta_slow", 1, kMinFactor, kMaxFactor));
  if (rope->boolean_or("truncate", true)) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < freq->size(); ++i) {
    const double ramp = clamp01((static_cast<double>(i) - low) / (high - low));
    (*freq)[i] = (1 - ramp) * (*freq)[i] + ramp * (*freq)[i] / factor;
  }
  // DeepSeek's two factors would change the default below.
  for (const char* key : {"mscale", "mscale_all_dim"})
    if (rope->has(key)) rope->fail(Code::kUnsupported, key, "no such key", "it");
  const double attention = factor > 1 ? 0.1 * portable_log(factor) + 1 : 1;
  return rope->number_or("attention_factor", attention, kMinFactor, 1024);
}

}  // namespace

void read_rope(JsonFields* fields, ModelConfig* config) {
  const char* key = fields->has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  JsonFields rope = fields->object(key);
  // theta well above 1: frequencies fall with the index, and its logarithm divides.
  const double outer_theta = fields->number_or("rope_theta", 10000, 2, 1e15);
  const double theta = rope.number_or("rope_theta", outer_theta, 2, 1e15);
  for (const char* nested : {"full_attention", "sliding_attention"})
    if (rope.has(nested)) rope.fail(Code::kUnsupported, nested, "one rope for all layers", "it");
  const std::string type = rope.text_or("rope_type", rope.text_or("type", "default"));
  for (JsonFields* f : {fields, &rope})
    if (f->number_or("partial_rotary_factor", 1, 0, 1) != 1)
      f->fail(Code::kUnsupported, "partial_rotary_factor", "1",
              found_text(f->value("partial_rotary_factor")));

  const uint32_t half = config->head_dim / 2;
  std::vector<double> freq(half);
  for (uint32_t i = 0; i < half; ++i)
    freq[i] = portable_pow(theta, -2.0 * i / static_cast<double>(config->head_dim));
  double attention_factor = 1;
  if (type == "linear" || type == "llama3" || type == "yarn") {
    const double factor = rope.number("factor", 1, kMaxFactor);
    const double trained =
        rope.integer_or("original_max_position_embeddings", config->max_positions, 1, kMaxContext);
    if (type == "linear")
      for (double& f : freq) f /= factor;
    if (type == "llama3") scale_llama3(&rope, factor, trained, &freq);
    if (type == "yarn") attention_factor = scale_yarn(&rope, factor, trained, theta, &freq);
  } else if (type != "default") {
    rope.fail(Code::kUnsupported, rope.has("rope_type") ? "rope_type" : "type",
              "default, linear, llama3 or yarn", quoted(type));
  }
  fields->keep(rope.status());
  config->rope_frequencies = std::move(freq);
  config->rope_factor = static_cast<float>(attention_factor);
}

}  // namespace trit
