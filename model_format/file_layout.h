// The bytes of a .trit file as constants: what FORMAT.md says in tables, for the writer and the
// reader alike (a test reads the tables and compares). Here: the offset of every field of every
// record, alignments, and how little-endian numbers are loaded and stored. Not here: bounds and
// their checks (head_sections.h, reader.cc).
#ifndef TRITSTACK_MODEL_FORMAT_FILE_LAYOUT_H_
#define TRITSTACK_MODEL_FORMAT_FILE_LAYOUT_H_

#include <cstdint>
#include <cstring>

#include "model_format/model_config.h"

namespace trit {

// Like PNG's: a byte that 7-bit channels strip, line ends that text transfers rewrite, and the byte
// that ends a file on DOS.
constexpr uint8_t kMagic[8] = {0x89, 'T', 'R', 'T', '\r', '\n', 0x1a, '\n'};
constexpr uint16_t kVersionMajor = 1;
constexpr uint16_t kVersionMinor = 0;

constexpr uint64_t kAlign = 64;                 // of sections, vectors and blocks
constexpr uint64_t kResidualAlign = 16384;      // of the first residual block: the largest page
constexpr uint64_t kSkewModulus = 4096;         // streams equal modulo this alias in the cache
constexpr uint64_t kSkewStep = 1024;            // digits of plane p start at p * this, modulo that
constexpr uint64_t kSkewMinDigitBytes = 65536;  // smaller planes are not skewed
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 62;  // so that sums of offsets never wrap
constexpr uint64_t kMaxHeadBytes = uint64_t{1} << 30;  // what opening a file may read
constexpr uint32_t kMaxSections = 64;
constexpr uint32_t kMaxNameBytes = 1024;

// A field of a record: its name in messages and in FORMAT.md, and its offset in the record.
struct Field {
  const char* name;
  uint32_t offset;
};

namespace header {
constexpr uint32_t kBytes = 64;  // the section table follows
constexpr Field kMagic{"magic", 0};
constexpr Field kMajor{"version_major", 8};        // u16
constexpr Field kMinor{"version_minor", 10};       // u16
constexpr Field kHeaderBytes{"header_bytes", 12};  // u32
constexpr Field kFileBytes{"file_bytes", 16};      // u64
constexpr Field kHeadBytes{"head_bytes", 24};      // u64
constexpr Field kBaseEnd{"base_end", 32};          // u64
constexpr Field kFileId{"file_id", 40};            // u64
constexpr Field kSections{"sections", 48};         // u32
constexpr Field kReserved{"reserved", 52};         // u32
constexpr Field kHash{"header_hash", 56};          // u64
}  // namespace header

namespace section_entry {
constexpr uint32_t kBytes = 32;
constexpr Field kKind{"kind", 0};      // u32
constexpr Field kFlags{"flags", 4};    // u32
constexpr Field kOffset{"offset", 8};  // u64
constexpr Field kSize{"bytes", 16};    // u64
constexpr Field kHash{"hash", 24};     // u64
constexpr uint32_t kRequired = 1;      // flag: a reader that does not know the kind must refuse
}  // namespace section_entry

// Stored values, in this order in the file: never renumber.
enum class SectionKind : uint32_t {
  kConfig = 1,
  kGeneration = 2,
  kMatrices = 3,
  kErrors = 4,
  kBlocks = 5,
  kOptions = 6,
  kTokenizer = 7,
  kChatTemplate = 8,
  kVectors = 9,
};
constexpr uint32_t kSectionKinds = 9;
constexpr const char* kSectionNames[] = {
    "",       "config",  "generation", "matrices",      "errors",
    "blocks", "options", "tokenizer",  "chat_template", "vectors"};
// Their bytes, in this order, make the file id.
constexpr SectionKind kIdentity[] = {SectionKind::kConfig, SectionKind::kTokenizer,
                                     SectionKind::kMatrices, SectionKind::kOptions};

namespace config_record {
constexpr uint32_t kBytes = 80;  // then: rope f64, end tokens i32, name, architecture
constexpr Field kLayers{"n_layers", 0};
constexpr Field kHidden{"hidden", 4};
constexpr Field kHeads{"n_heads", 8};
constexpr Field kKvHeads{"n_kv_heads", 12};
constexpr Field kHeadDim{"head_dim", 16};
constexpr Field kFfn{"ffn", 20};
constexpr Field kVocab{"vocab", 24};
constexpr Field kMaxPositions{"max_positions", 28};
constexpr Field kActivation{"activation", 32};
constexpr Field kNormEps{"norm_eps", 36};        // f32
constexpr Field kRopeFactor{"rope_factor", 40};  // f32
constexpr Field kFeatures{"features", 44};
constexpr Field kChatFamily{"chat_family", 48};
constexpr Field kBos{"bos", 52};  // i32
constexpr Field kEos{"eos", 56};  // i32
constexpr Field kEndTokens{"end_tokens", 60};
constexpr Field kRopeCount{"rope_count", 64};
constexpr Field kNameBytes{"name_bytes", 68};
constexpr Field kArchitectureBytes{"architecture_bytes", 72};
constexpr Field kReserved{"reserved", 76};
}  // namespace config_record

namespace generation_record {
constexpr uint32_t kBytes = 24;
constexpr Field kDoSample{"do_sample", 0};       // u32, 0 or 1
constexpr Field kTemperature{"temperature", 4};  // f32, as all that follow but top_k
constexpr Field kTopP{"top_p", 8};
constexpr Field kMinP{"min_p", 12};
constexpr Field kRepeatPenalty{"repeat_penalty", 16};
constexpr Field kTopK{"top_k", 20};  // i32
}  // namespace generation_record

namespace matrix_record {
constexpr uint32_t kBytes = 40;  // all u32
constexpr Field kRole{"role", 0};
constexpr Field kLayer{"layer", 4};
constexpr Field kEncoding{"encoding", 8};
constexpr Field kRows{"rows", 12};
constexpr Field kCols{"cols", 16};
constexpr Field kGroup{"group", 20};
constexpr Field kPlanes{"planes", 24};
constexpr Field kBasePlanes{"base_planes", 28};
constexpr Field kFeatures{"features", 32};
constexpr Field kReserved{"reserved", 36};
// Names of the bits of `features`; version 1 knows them by name only and refuses them all.
constexpr const char* kFeatureNames[] = {"input scale", "output scale", "column permutation",
                                         "group offset", "Walsh-Hadamard before"};
}  // namespace matrix_record

namespace error_record {
constexpr uint32_t kBytes = 4 * kMaxPlanes;  // f32 per plane count
}  // namespace error_record

namespace block_record {
constexpr uint32_t kBytes = 40;
constexpr Field kOffset{"offset", 0};     // u64
constexpr Field kSize{"bytes", 8};        // u64
constexpr Field kHash{"hash", 16};        // u64
constexpr Field kMatrix{"matrix", 24};    // u32
constexpr Field kPlane{"plane", 28};      // u32
constexpr Field kGain{"gain", 32};        // f32
constexpr Field kQuality{"quality", 36};  // f32 of the prefix that ends here; NaN: not measured
constexpr uint32_t kNotMeasured = 0x7fc00000;  // the one NaN
}  // namespace block_record

namespace vector_record {
constexpr uint32_t kBytes = 24;
constexpr Field kRole{"role", 0};           // u32
constexpr Field kLayer{"layer", 4};         // u32
constexpr Field kOffset{"offset", 8};       // u64, in the section
constexpr Field kCount{"count", 16};        // u32
constexpr Field kReserved{"reserved", 20};  // u32
}  // namespace vector_record

inline uint64_t align_up(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

template <typename T>
T load(const uint8_t* at) {
  uint64_t bits = 0;
  for (size_t i = 0; i < sizeof(T); ++i) bits |= uint64_t{at[i]} << (8 * i);
  T value;
  if constexpr (sizeof(T) == 8) {
    std::memcpy(&value, &bits, 8);
  } else if constexpr (sizeof(T) == 4) {
    const uint32_t low = static_cast<uint32_t>(bits);
    std::memcpy(&value, &low, 4);
  } else {
    value = static_cast<T>(bits);
  }
  return value;
}

template <typename T>
void store(uint8_t* at, T value) {
  uint64_t bits = 0;
  if constexpr (sizeof(T) == 8) {
    std::memcpy(&bits, &value, 8);
  } else if constexpr (sizeof(T) == 4) {
    uint32_t low;
    std::memcpy(&low, &value, 4);
    bits = low;
  } else {
    bits = value;
  }
  for (size_t i = 0; i < sizeof(T); ++i) at[i] = static_cast<uint8_t>(bits >> (8 * i));
}

// Where block (m, plane) starts when the bytes before `cursor` are taken.
inline uint64_t block_start(uint64_t cursor, const MatrixInfo& m, uint32_t plane) {
  const uint64_t start = align_up(cursor, kAlign);
  const uint64_t scales = block_scale_bytes(m, plane);
  if (is_dense(m.encoding) || block_bytes(m, plane) - scales < kSkewMinDigitBytes) return start;
  const uint64_t wanted = plane * kSkewStep;
  return start + (wanted - (start + scales)) % kSkewModulus;  // unsigned: the way up to it
}

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_FILE_LAYOUT_H_
