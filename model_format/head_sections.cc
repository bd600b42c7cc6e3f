// See head_sections.h. Each section: its encoder, then its decoder, fields in file order.
#include "model_format/head_sections.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "model_format/checksum.h"
#include "model_format/utf8.h"

namespace trit {

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

std::string hex_text(uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

Region Region::part(uint64_t at, uint64_t part_bytes, std::string part_name) const {
  return Region{file, std::move(part_name), offset + at, data + at, part_bytes};
}

Status Region::bad(Field f, std::string_view expected, std::string_view found, Code code) const {
  return bad_field(code, file, name + "." + f.name, "offset " + std::to_string(offset + f.offset),
                   expected, found);
}

Status Region::require(Field f, bool ok, std::string_view expected, std::string_view found) const {
  return ok ? Status() : bad(f, expected, found);
}

Status Region::in_range(Field f, int64_t value, int64_t low, int64_t high) const {
  if (value >= low && value <= high) return Status();
  return bad(f, std::to_string(low) + ".." + std::to_string(high), std::to_string(value));
}

Status Region::equal(Field f, uint64_t value, uint64_t expected) const {
  return value == expected ? Status() : bad(f, std::to_string(expected), std::to_string(value));
}

Status Region::has_bytes(uint64_t expected) const {
  if (bytes == expected) return Status();
  return bad_field(Code::kMalformed, file, name + ".bytes", "offset " + std::to_string(offset),
                   std::to_string(expected), std::to_string(bytes));
}

Status Region::zeros(uint64_t begin, uint64_t end) const {
  for (uint64_t i = begin; i < end; ++i) {
    if (data[i] != 0)
      return bad_field(Code::kMalformed, file, name + " padding",
                       "offset " + std::to_string(offset + i), "0", std::to_string(data[i]));
  }
  return Status();
}

namespace {

constexpr double kMaxNormEps = 1e-2;
constexpr double kMaxRopeFactor = 1024, kMaxRopeFrequency = 1024;

struct Feature {
  bool ModelConfig::*member;
  const char* name;
};
// Bit i of config.features.
constexpr Feature kConfigFeatures[] = {
    {&ModelConfig::tied_head, "tied_head"}, {&ModelConfig::qkv_bias, "qkv_bias"},
    {&ModelConfig::o_bias, "o_bias"},       {&ModelConfig::ffn_bias, "ffn_bias"},
    {&ModelConfig::qk_norm, "qk_norm"},     {&ModelConfig::sub_norm, "sub_norm"}};
constexpr uint32_t kConfigFeatureCount = sizeof kConfigFeatures / sizeof *kConfigFeatures;

// The roles of a layer's matrices in file order are contiguous.
constexpr uint32_t kLayerMatrices = kMatrixRoles - static_cast<uint32_t>(MatrixRole::kQ);

std::string bit_list(uint32_t bits, const char* const* names, uint32_t count) {
  for (uint32_t i = 0; i < 32; ++i) {
    if (bits >> i & 1) return i < count ? names[i] : "bit " + std::to_string(i);
  }
  return "none";
}

void append(std::vector<uint8_t>* out, std::string_view text) {
  out->insert(out->end(), text.begin(), text.end());
}

Status decode_config_fields(const Region& s, ModelConfig* c) {
  using namespace config_record;
  const struct {
    Field field;
    uint32_t* out;
    uint32_t low, high;
  } sizes[] = {
      {kLayers, &c->n_layers, 1, kMaxLayers},   {kHidden, &c->hidden, 1, kMaxDim},
      {kHeads, &c->n_heads, 1, kMaxDim},        {kKvHeads, &c->n_kv_heads, 1, kMaxDim},
      {kHeadDim, &c->head_dim, 2, kMaxHeadDim}, {kFfn, &c->ffn, 1, kMaxDim},
      {kVocab, &c->vocab, 1, kMaxVocab},        {kMaxPositions, &c->max_positions, 1, kMaxContext},
  };
  for (const auto& size : sizes) {
    *size.out = s.get<uint32_t>(size.field);
    TRIT_RETURN_IF_ERROR(s.in_range(size.field, *size.out, size.low, size.high));
  }
  TRIT_RETURN_IF_ERROR(s.require(kKvHeads, c->n_heads % c->n_kv_heads == 0,
                                 "a divisor of n_heads " + std::to_string(c->n_heads),
                                 std::to_string(c->n_kv_heads)));
  TRIT_RETURN_IF_ERROR(
      s.require(kHeadDim, c->head_dim % 2 == 0, "an even number", std::to_string(c->head_dim)));
  TRIT_RETURN_IF_ERROR(s.require(kHeads, uint64_t{c->n_heads} * c->head_dim <= kMaxDim,
                                 "n_heads * head_dim at most " + std::to_string(kMaxDim),
                                 std::to_string(uint64_t{c->n_heads} * c->head_dim)));
  const uint32_t activation = s.get<uint32_t>(kActivation);
  if (activation > static_cast<uint32_t>(Activation::kRelu2))
    return s.bad(kActivation, "0 (silu) or 1 (relu2)", std::to_string(activation),
                 Code::kUnsupported);
  c->activation = static_cast<Activation>(activation);
  c->norm_eps = s.get<float>(kNormEps);
  TRIT_RETURN_IF_ERROR(s.require(kNormEps, c->norm_eps > 0 && c->norm_eps <= kMaxNormEps,
                                 "above 0 and at most 0.01", number_text(c->norm_eps)));
  c->rope_factor = s.get<float>(kRopeFactor);
  TRIT_RETURN_IF_ERROR(s.require(kRopeFactor,
                                 c->rope_factor > 0 && c->rope_factor <= kMaxRopeFactor,
                                 "above 0 and at most 1024", number_text(c->rope_factor)));
  const uint32_t features = s.get<uint32_t>(kFeatures);
  for (uint32_t i = 0; i < kConfigFeatureCount; ++i)
    c->*kConfigFeatures[i].member = (features >> i & 1) != 0;
  if (features >> kConfigFeatureCount)
    return s.bad(kFeatures, "features this build knows",
                 bit_list(features >> kConfigFeatureCount << kConfigFeatureCount, nullptr, 0),
                 Code::kUnsupported);
  const uint32_t family = s.get<uint32_t>(kChatFamily);
  if (family > static_cast<uint32_t>(ChatFamily::kBitNet))
    return s.bad(kChatFamily, "a chat family this build knows", std::to_string(family),
                 Code::kUnsupported);
  c->chat_family = static_cast<ChatFamily>(family);
  c->bos = s.get<int32_t>(kBos);
  c->eos = s.get<int32_t>(kEos);
  TRIT_RETURN_IF_ERROR(s.in_range(kBos, c->bos, kNoToken, int64_t{c->vocab} - 1));
  TRIT_RETURN_IF_ERROR(s.in_range(kEos, c->eos, kNoToken, int64_t{c->vocab} - 1));
  return s.equal(kReserved, s.get<uint32_t>(kReserved), 0);
}

}  // namespace

uint64_t header_hash(const uint8_t* head, uint32_t sections) {
  Hasher hasher(0);
  hasher.update(head, header::kHash.offset);
  hasher.update(head + header::kBytes, size_t{section_entry::kBytes} * sections);
  return hasher.digest();
}

uint64_t identity_hash(const std::vector<Span<const uint8_t>>& sections) {
  Hasher hasher(0);
  for (const SectionKind kind : kIdentity) {
    const Span<const uint8_t>& bytes = sections[static_cast<size_t>(kind)];
    uint8_t size[8];
    store(size, uint64_t{bytes.size()});
    hasher.update(size, sizeof size);
    hasher.update(bytes.data(), bytes.size());
  }
  return hasher.digest();
}

std::vector<uint8_t> encode_config(const ModelConfig& c) {
  using namespace config_record;
  std::vector<uint8_t> out(kBytes + 8 * c.rope_frequencies.size() + 4 * c.end_tokens.size());
  const auto put = [&](Field f, auto value) { store(&out[f.offset], value); };
  put(kLayers, c.n_layers);
  put(kHidden, c.hidden);
  put(kHeads, c.n_heads);
  put(kKvHeads, c.n_kv_heads);
  put(kHeadDim, c.head_dim);
  put(kFfn, c.ffn);
  put(kVocab, c.vocab);
  put(kMaxPositions, c.max_positions);
  put(kActivation, static_cast<uint32_t>(c.activation));
  put(kNormEps, c.norm_eps);
  put(kRopeFactor, c.rope_factor);
  uint32_t features = 0;
  for (uint32_t i = 0; i < kConfigFeatureCount; ++i)
    features |= uint32_t{c.*kConfigFeatures[i].member} << i;
  put(kFeatures, features);
  put(kChatFamily, static_cast<uint32_t>(c.chat_family));
  put(kBos, c.bos);
  put(kEos, c.eos);
  put(kEndTokens, static_cast<uint32_t>(c.end_tokens.size()));
  put(kRopeCount, static_cast<uint32_t>(c.rope_frequencies.size()));
  put(kNameBytes, static_cast<uint32_t>(c.name.size()));
  put(kArchitectureBytes, static_cast<uint32_t>(c.architecture.size()));
  uint8_t* at = out.data() + kBytes;
  for (const double f : c.rope_frequencies) store(std::exchange(at, at + 8), f);
  for (const int32_t t : c.end_tokens) store(std::exchange(at, at + 4), t);
  append(&out, c.name);
  append(&out, c.architecture);
  return out;
}

Status decode_config(const Region& s, ModelConfig* c) {
  using namespace config_record;
  if (s.bytes < kBytes) return s.has_bytes(kBytes);
  TRIT_RETURN_IF_ERROR(decode_config_fields(s, c));
  const uint32_t end_tokens = s.get<uint32_t>(kEndTokens), rope = s.get<uint32_t>(kRopeCount);
  const uint32_t name = s.get<uint32_t>(kNameBytes);
  const uint32_t architecture = s.get<uint32_t>(kArchitectureBytes);
  TRIT_RETURN_IF_ERROR(s.in_range(kEndTokens, end_tokens, 0, kMaxEndTokens));
  TRIT_RETURN_IF_ERROR(s.equal(kRopeCount, rope, c->head_dim / 2));
  TRIT_RETURN_IF_ERROR(s.in_range(kNameBytes, name, 0, kMaxNameBytes));
  TRIT_RETURN_IF_ERROR(s.in_range(kArchitectureBytes, architecture, 0, kMaxNameBytes));
  uint64_t at = kBytes;
  const uint64_t text_at = at + 8 * uint64_t{rope} + 4 * uint64_t{end_tokens};
  // A wrong count shows here: the four counts make the size.
  TRIT_RETURN_IF_ERROR(s.require(
      kArchitectureBytes, text_at + name + architecture == s.bytes,
      "end_tokens, rope_count, name_bytes and architecture_bytes that fill the section",
      std::to_string(text_at + name + architecture) + " of " + std::to_string(s.bytes) + " bytes"));
  c->rope_frequencies.clear();
  for (uint32_t i = 0; i < rope; ++i, at += 8) {
    const double f = load<double>(s.data + at);
    const Field field{"rope_frequencies", static_cast<uint32_t>(at)};
    TRIT_RETURN_IF_ERROR(
        s.require(field, f >= 0 && f <= kMaxRopeFrequency, "0..1024", number_text(f)));
    c->rope_frequencies.push_back(f);
  }
  c->end_tokens.clear();
  for (uint32_t i = 0; i < end_tokens; ++i, at += 4) {
    const int32_t token = load<int32_t>(s.data + at);
    const Field field{"end_tokens", static_cast<uint32_t>(at)};
    const int64_t low = i ? int64_t{c->end_tokens.back()} + 1 : 0;  // sorted, none twice
    TRIT_RETURN_IF_ERROR(s.in_range(field, token, low, int64_t{c->vocab} - 1));
    c->end_tokens.push_back(token);
  }
  const std::string_view text(reinterpret_cast<const char*>(s.data + text_at), name + architecture);
  c->name = text.substr(0, name);
  c->architecture = text.substr(name);
  TRIT_RETURN_IF_ERROR(s.require(kNameBytes, is_utf8(c->name), "UTF-8", quoted(c->name)));
  return s.require(kArchitectureBytes, is_utf8(c->architecture), "UTF-8", quoted(c->architecture));
}

std::vector<uint8_t> encode_generation(const GenerationDefaults& g) {
  using namespace generation_record;
  const auto or_unset = [](float x) { return x < 0 ? -1.0f : x; };
  std::vector<uint8_t> out(kBytes);
  store(&out[kDoSample.offset], uint32_t{g.do_sample});
  store(&out[kTemperature.offset], or_unset(g.temperature));
  store(&out[kTopP.offset], or_unset(g.top_p));
  store(&out[kMinP.offset], or_unset(g.min_p));
  store(&out[kRepeatPenalty.offset], or_unset(g.repeat_penalty));
  store(&out[kTopK.offset], std::max(g.top_k, -1));
  return out;
}

Status decode_generation(const Region& s, GenerationDefaults* g) {
  using namespace generation_record;
  TRIT_RETURN_IF_ERROR(s.has_bytes(kBytes));
  const uint32_t do_sample = s.get<uint32_t>(kDoSample);
  TRIT_RETURN_IF_ERROR(s.in_range(kDoSample, do_sample, 0, 1));
  g->do_sample = do_sample != 0;
  const struct {
    Field field;
    float* out;
    float high;
  } values[] = {{kTemperature, &g->temperature, 1000},
                {kTopP, &g->top_p, 1},
                {kMinP, &g->min_p, 1},
                {kRepeatPenalty, &g->repeat_penalty, 1000}};
  for (const auto& value : values) {
    *value.out = s.get<float>(value.field);
    TRIT_RETURN_IF_ERROR(
        s.require(value.field, *value.out == -1 || (*value.out >= 0 && *value.out <= value.high),
                  "-1 (not given) or 0.." + number_text(value.high), number_text(*value.out)));
  }
  g->top_k = s.get<int32_t>(kTopK);
  return s.in_range(kTopK, g->top_k, -1, kMaxVocab);
}

uint32_t matrix_count(const ModelConfig& c) {
  return (c.tied_head ? 1 : 2) + kLayerMatrices * c.n_layers;
}

size_t matrix_position(const ModelConfig& c, MatrixRole role, uint32_t layer) {
  const size_t index = static_cast<size_t>(role);
  if (!is_layer_role(role)) return index;
  const size_t first = matrix_count(c) - size_t{kLayerMatrices} * c.n_layers;
  return first + size_t{kLayerMatrices} * layer + index - static_cast<size_t>(MatrixRole::kQ);
}

std::vector<uint8_t> encode_matrices(const std::vector<MatrixInfo>& matrices) {
  using namespace matrix_record;
  std::vector<uint8_t> out(kBytes * matrices.size());
  uint8_t* record = out.data();
  for (const MatrixInfo& m : matrices) {
    const auto put = [&](Field f, uint32_t value) { store(record + f.offset, value); };
    put(kRole, static_cast<uint32_t>(m.role));
    put(kLayer, m.layer);
    put(kEncoding, static_cast<uint32_t>(m.encoding));
    put(kRows, m.rows);
    put(kCols, m.cols);
    put(kGroup, m.group);
    put(kPlanes, m.planes);
    put(kBasePlanes, m.base_planes);
    record += kBytes;
  }
  return out;
}

namespace {

// The matrix that the config wants at a position.
MatrixInfo expected_matrix(const ModelConfig& c, uint32_t position) {
  MatrixInfo m;
  const uint32_t first = matrix_count(c) - kLayerMatrices * c.n_layers;
  if (position < first) {
    m.role = static_cast<MatrixRole>(position);
  } else {
    m.role = static_cast<MatrixRole>(static_cast<uint32_t>(MatrixRole::kQ) +
                                     (position - first) % kLayerMatrices);
    m.layer = (position - first) / kLayerMatrices;
  }
  const Shape shape = matrix_shape(c, m.role);
  m.rows = shape.rows;
  m.cols = shape.cols;
  return m;
}

// `m` comes with the role, layer and shape that its place asks for; the rest is read.
Status decode_matrix(const Region& r, MatrixInfo* m) {
  using namespace matrix_record;
  const auto u32 = [&](Field f) { return r.get<uint32_t>(f); };
  if (const uint32_t features = u32(kFeatures))
    return r.bad(kFeatures, "no feature (format version 1 has none)",
                 bit_list(features, kFeatureNames, sizeof kFeatureNames / sizeof *kFeatureNames),
                 Code::kUnsupported);
  TRIT_RETURN_IF_ERROR(r.equal(kRole, u32(kRole), static_cast<uint32_t>(m->role)));
  TRIT_RETURN_IF_ERROR(r.equal(kLayer, u32(kLayer), m->layer));
  const uint32_t encoding = u32(kEncoding);
  if (encoding < static_cast<uint32_t>(Encoding::kTied) ||
      encoding > static_cast<uint32_t>(Encoding::kDenseBf16))
    return r.bad(kEncoding, "an encoding this build knows", std::to_string(encoding),
                 Code::kUnsupported);
  m->encoding = static_cast<Encoding>(encoding);
  TRIT_RETURN_IF_ERROR(r.equal(kRows, u32(kRows), m->rows));
  TRIT_RETURN_IF_ERROR(r.equal(kCols, u32(kCols), m->cols));
  m->group = u32(kGroup);
  m->planes = u32(kPlanes);
  m->base_planes = u32(kBasePlanes);
  const bool grouped = m->encoding == Encoding::kTied || m->encoding == Encoding::kFree;
  if (grouped) {
    TRIT_RETURN_IF_ERROR(r.in_range(kGroup, m->group, 1, kMaxGroup));
    TRIT_RETURN_IF_ERROR(r.in_range(kPlanes, m->planes, 1, kMaxPlanes));
  } else {
    TRIT_RETURN_IF_ERROR(r.equal(kGroup, m->group, is_dense(m->encoding) ? 0 : m->cols));
    TRIT_RETURN_IF_ERROR(r.equal(kPlanes, m->planes, 1));
  }
  TRIT_RETURN_IF_ERROR(r.in_range(kBasePlanes, m->base_planes, 1, m->planes));
  return r.equal(kReserved, u32(kReserved), 0);
}

}  // namespace

Status decode_matrices(const Region& s, const ModelConfig& config,
                       std::vector<MatrixInfo>* matrices) {
  const uint32_t count = matrix_count(config);
  TRIT_RETURN_IF_ERROR(s.has_bytes(uint64_t{matrix_record::kBytes} * count));
  matrices->clear();
  for (uint32_t i = 0; i < count; ++i) {
    MatrixInfo m = expected_matrix(config, i);
    const uint64_t at = uint64_t{matrix_record::kBytes} * i;
    TRIT_RETURN_IF_ERROR(decode_matrix(s.part(at, matrix_record::kBytes, matrix_name(m)), &m));
    matrices->push_back(m);
  }
  return Status();
}

std::vector<uint8_t> encode_errors(const std::vector<MatrixInfo>& matrices) {
  std::vector<uint8_t> out;
  out.resize(error_record::kBytes * matrices.size());
  uint8_t* at = out.data();
  for (const MatrixInfo& m : matrices) {
    for (const float error : m.errors) store(std::exchange(at, at + 4), error);
  }
  return out;
}

Status decode_errors(const Region& s, std::vector<MatrixInfo>* matrices) {
  TRIT_RETURN_IF_ERROR(s.has_bytes(uint64_t{error_record::kBytes} * matrices->size()));
  uint32_t at = 0;
  for (MatrixInfo& m : *matrices) {
    for (uint32_t p = 0; p < kMaxPlanes; ++p, at += 4) {
      const float error = load<float>(s.data + at);
      const bool ok =
          p < m.planes ? error >= 0 && std::isfinite(error) : load<uint32_t>(s.data + at) == 0;
      TRIT_RETURN_IF_ERROR(s.require(Field{"error", at}, ok,
                                     p < m.planes ? "at least 0 and finite" : "0",
                                     number_text(error)));
      m.errors[p] = error;
    }
  }
  return Status();
}

std::vector<uint8_t> encode_vectors(std::vector<VectorData> vectors) {
  using namespace vector_record;
  std::sort(vectors.begin(), vectors.end(), [](const VectorData& a, const VectorData& b) {
    return a.role != b.role ? a.role < b.role : a.layer < b.layer;
  });
  std::vector<uint8_t> out(kBytes * vectors.size());
  for (size_t i = 0; i < vectors.size(); ++i) {
    const VectorData& v = vectors[i];
    const uint64_t offset = align_up(out.size(), kAlign);
    out.resize(offset + 4 * v.values.size());
    uint8_t* record = &out[i * kBytes];
    store(record + kRole.offset, static_cast<uint32_t>(v.role));
    store(record + kLayer.offset, v.layer);
    store(record + kOffset.offset, offset);
    store(record + kCount.offset, static_cast<uint32_t>(v.values.size()));
    for (size_t j = 0; j < v.values.size(); ++j) store(&out[offset + 4 * j], v.values[j]);
  }
  return out;
}

Status decode_vectors(const Region& s, const ModelConfig& c,
                      std::vector<Span<const float>>* vectors) {
  using namespace vector_record;
  struct Wanted {
    VectorRole role;
    uint32_t layer;
  };
  std::vector<Wanted> wanted;
  for (uint32_t i = 0; i < kVectorRoles; ++i) {
    const VectorRole role = static_cast<VectorRole>(i);
    const uint32_t layers = !has_vector(c, role) ? 0 : is_layer_role(role) ? c.n_layers : 1;
    for (uint32_t layer = 0; layer < layers; ++layer) wanted.push_back({role, layer});
  }
  uint64_t end = kBytes * wanted.size();
  if (s.bytes < end) return s.has_bytes(end);
  vectors->assign(size_t{kVectorRoles} * c.n_layers, {});
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto [role, layer] = wanted[i];
    const Region r =
        s.part(i * kBytes, kBytes, "vectors[" + std::to_string(i) + "] " + role_name(role));
    TRIT_RETURN_IF_ERROR(r.equal(kRole, r.get<uint32_t>(kRole), static_cast<uint32_t>(role)));
    TRIT_RETURN_IF_ERROR(r.equal(kLayer, r.get<uint32_t>(kLayer), layer));
    const uint64_t offset = align_up(end, kAlign);
    TRIT_RETURN_IF_ERROR(r.equal(kOffset, r.get<uint64_t>(kOffset), offset));
    const uint32_t count = vector_size(c, role);
    TRIT_RETURN_IF_ERROR(r.equal(kCount, r.get<uint32_t>(kCount), count));
    TRIT_RETURN_IF_ERROR(r.equal(kReserved, r.get<uint32_t>(kReserved), 0));
    if (s.bytes < offset + 4 * uint64_t{count}) return s.has_bytes(offset + 4 * uint64_t{count});
    TRIT_RETURN_IF_ERROR(s.zeros(end, offset));
    end = offset + 4 * uint64_t{count};
    const float* values = reinterpret_cast<const float*>(s.data + offset);
    const bool finite =
        std::all_of(values, values + count, [](float x) { return std::isfinite(x); });
    TRIT_RETURN_IF_ERROR(r.require(kOffset, finite, "finite values", "NaN or infinity"));
    (*vectors)[static_cast<size_t>(role) * c.n_layers + layer] = {values, count};
  }
  return s.has_bytes(end);
}

}  // namespace trit
