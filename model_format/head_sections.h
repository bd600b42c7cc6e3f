// The head's sections as values: one encoder and one decoder per section, and the views and checks
// that all decoders share. A decoder trusts nothing: every field is bounded, every byte accounted
// for. The writer decodes what it encodes of a model, and says no before it has written a block.
// Not here: the block table, and the header but for its hashes (reader.cc, writer.cc).
#ifndef TRITSTACK_MODEL_FORMAT_HEAD_SECTIONS_H_
#define TRITSTACK_MODEL_FORMAT_HEAD_SECTIONS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/file_layout.h"
#include "model_format/model_config.h"
#include "model_format/span.h"
#include "model_format/status.h"
#include "model_format/writer.h"

namespace trit {

// Some bytes of a file: which file, where in it, and a name for messages ("config").
struct Region {
  std::string_view file;
  std::string name;
  uint64_t offset = 0;  // in the file
  const uint8_t* data = nullptr;
  uint64_t bytes = 0;

  Region part(uint64_t at, uint64_t part_bytes, std::string part_name) const;
  template <typename T>
  T get(Field f) const {
    return load<T>(data + f.offset);
  }
  // "<file>: <name>.<field> at offset <n>: expected ..., found ...".
  Status bad(Field f, std::string_view expected, std::string_view found,
             Code code = Code::kMalformed) const;
  Status require(Field f, bool ok, std::string_view expected, std::string_view found) const;
  // An integer field within [low, high], or equal to the one value allowed.
  Status in_range(Field f, int64_t value, int64_t low, int64_t high) const;
  Status equal(Field f, uint64_t value, uint64_t expected) const;
  // The size of the whole region.
  Status has_bytes(uint64_t expected) const;
  // Bytes [begin, end) of the region are padding.
  Status zeros(uint64_t begin, uint64_t end) const;
};

std::string number_text(double value);
std::string hex_text(uint64_t value);

// What the header's two computed fields must be. `head`: at least the header and its section table;
// `sections`: the bytes of each section, by kind.
uint64_t header_hash(const uint8_t* head, uint32_t sections);
uint64_t identity_hash(const std::vector<Span<const uint8_t>>& sections);

std::vector<uint8_t> encode_config(const ModelConfig& config);
Status decode_config(const Region& section, ModelConfig* config);

std::vector<uint8_t> encode_generation(const GenerationDefaults& generation);
Status decode_generation(const Region& section, GenerationDefaults* generation);

// Matrices stand in one order: embedding, [head], then layer by layer q k v o gate up down.
uint32_t matrix_count(const ModelConfig& config);
size_t matrix_position(const ModelConfig& config, MatrixRole role, uint32_t layer);
std::vector<uint8_t> encode_matrices(const std::vector<MatrixInfo>& matrices);
Status decode_matrices(const Region& section, const ModelConfig& config,
                       std::vector<MatrixInfo>* matrices);
std::vector<uint8_t> encode_errors(const std::vector<MatrixInfo>& matrices);
Status decode_errors(const Region& section, std::vector<MatrixInfo>* matrices);

// Vectors are indexed [role * n_layers + layer]; empty where the model has none.
std::vector<uint8_t> encode_vectors(std::vector<VectorData> vectors);
Status decode_vectors(const Region& section, const ModelConfig& config,
                      std::vector<Span<const float>>* vectors);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_HEAD_SECTIONS_H_
