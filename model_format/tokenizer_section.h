// The tokenizer section of a .trit file, used as it is mapped: sorted tables and merge ranks, so
// that opening builds no map of 150,000 strings. Written by the converter, read by runtime/text.
// Layout: a header of 16 words, then arrays whose places follow from the header's counts alone (see
// FORMAT.md). Not here: how text becomes ids.
//
// Pieces are stored as the raw bytes they stand for: the printable alphabet of byte-level BPE is
// undone, U+2581 of SentencePiece is a space, "<0x0A>" is a newline.
#ifndef TRITSTACK_MODEL_FORMAT_TOKENIZER_SECTION_H_
#define TRITSTACK_MODEL_FORMAT_TOKENIZER_SECTION_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/span.h"
#include "model_format/status.h"

namespace trit {

constexpr uint32_t kNoId = 0xFFFFFFFFu;

// SentencePiece's own sign for a space, U+2581; our pieces hold the space.
constexpr std::string_view kSpaceSign = "\xE2\x96\x81";
// The text with spaces in place of those signs.
std::string with_spaces(std::string_view text);

// Stored values: never renumber.
enum class TokenizerKind : uint32_t { kByteLevel = 0, kSentencePiece = 1 };

// How a text is cut into words; merges never cross words.
enum class Splitter : uint32_t {
  kNone = 0,  // the whole text is one word
  kGpt2 = 1,
  kLlama3 = 2,      // numbers in groups of up to three digits
  kQwen2 = 3,       // each digit alone
  kGpt2Digits = 4,  // each digit alone, then as GPT-2 (SmolLM)
  kSpaces = 5,      // a word begins at each space
  kSpaceRuns = 6,   // a word begins at each space that follows something else (Llama-2)
};

// When a plain text gets a space in front of it.
enum class SpacePrefix : uint32_t {
  kNever = 0,
  kAlways = 1,
  kUnlessSpace = 2,       // unless it begins with one
  kFirstUnlessSpace = 3,  // the same, only at the very start of the input
};

// Bits of TokenizerHeader::options.
enum : uint32_t {
  kTokenizerNfc = 1,           // normalise plain text to NFC first
  kTokenizerIgnoreMerges = 2,  // a word that is a piece becomes it, whatever the merges say
  kTokenizerFuseUnknown = 4,   // neighbouring unknown characters become one unknown token
  kTokenizerStripSpace = 8,    // decoding drops one space at the start of the text
  kTokenizerOptions = 15,
};

// Bits of a token's flags.
enum : uint8_t {
  kTokenSpecial = 1,  // control token: left out of decoded text
  kTokenAdded = 2,    // recognised in text before it is cut into words
  kTokenStripsLeft = 4,
  kTokenStripsRight = 8,  // an added token that swallows the white space beside it
  kTokenFlags = 15,
};

struct TokenizerHeader {
  TokenizerKind kind = TokenizerKind::kByteLevel;
  Splitter splitter = Splitter::kNone;
  SpacePrefix prefix = SpacePrefix::kNever;
  uint32_t options = 0;
  uint32_t bos = kNoId;  // the token that comes first in every text, or kNoId
  uint32_t unknown = kNoId;
  uint32_t n_ids = 0;  // ids are [0, n_ids); ids without a piece have an empty one
  uint32_t n_merges = 0;
  uint32_t n_lookups = 0;
  uint32_t n_added = 0;
  uint32_t piece_bytes = 0;
  uint32_t reserved[5] = {};
};
static_assert(sizeof(TokenizerHeader) == 64);

struct TokenMerge {
  uint32_t right, rank, result;
};

// A validated view of the section's bytes, which must outlive it.
class TokenizerSection {
 public:
  // `bytes` must start at a multiple of 4, ids must be below `vocab`. kMalformed names the field.
  // Checks every index, so that nothing below can leave the section.
  static Result<TokenizerSection> open(Span<const uint8_t> bytes, uint32_t vocab,
                                       std::string_view file);

  const TokenizerHeader& header() const { return *header_; }
  bool has(uint32_t option) const { return (header_->options & option) != 0; }
  uint32_t size() const { return header_->n_ids; }
  std::string_view piece(uint32_t id) const {
    return {pieces_ + piece_offsets_[id], piece_offsets_[id + 1] - piece_offsets_[id]};
  }
  uint8_t flags(uint32_t id) const { return flags_[id]; }
  // The token of a lone byte: all of them (byte-level) or the fallback (SentencePiece); or kNoId.
  uint32_t byte_id(uint8_t byte) const { return byte_ids_[byte]; }
  // What `left` followed by `right` merges to; null when they do not.
  const TokenMerge* find_merge(uint32_t left, uint32_t right) const;
  // The piece of the model's own vocabulary with these bytes, or kNoId.
  uint32_t find_piece(std::string_view bytes) const;
  // The added token with exactly this text, or kNoId.
  uint32_t find_added(std::string_view text) const;
  // The longest added token that `text` begins with, or kNoId.
  uint32_t match_added(std::string_view text) const;

 private:
  void place_arrays(const uint8_t* bytes);
  Status check_header(uint32_t vocab, std::string_view file) const;
  Status check_pieces(std::string_view file) const;
  Status check_merges(std::string_view file) const;
  Status check_tables(std::string_view file) const;
  Status check_sorted(std::string_view file, const char* field, Span<const uint32_t> ids) const;
  uint32_t find_sorted(Span<const uint32_t> ids, std::string_view bytes) const;

  const TokenizerHeader* header_ = nullptr;
  const uint32_t* piece_offsets_ = nullptr;  // [n_ids + 1] into pieces_
  const uint32_t* merge_index_ = nullptr;    // [n_ids + 1] into merges_: those of each left id
  const TokenMerge* merges_ = nullptr;       // sorted by right id
  Span<const uint32_t> lookups_;             // ids sorted by their bytes, each string once
  Span<const uint32_t> added_;               // the same of the added tokens
  const uint32_t* byte_ids_ = nullptr;       // [256]
  const uint8_t* flags_ = nullptr;           // [n_ids]
  const char* pieces_ = nullptr;
  std::array<bool, 256> begins_added_ = {};  // bytes that added tokens begin with
};

// What a section is built from. Counts in the header are filled in by the builder.
struct TokenizerContents {
  struct Merge {
    uint32_t left;
    TokenMerge merge;
  };
  TokenizerHeader header;
  std::vector<std::string> pieces;
  std::vector<uint8_t> flags;     // one per piece
  std::vector<uint32_t> lookups;  // ids that find_piece may return; of equal pieces the lowest wins
  std::vector<Merge> merges;      // of equal pairs the last wins
  std::array<uint32_t, 256> byte_ids;
};

// The pieces together must stay below 4 GiB.
std::vector<uint8_t> build_tokenizer_section(TokenizerContents contents);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_TOKENIZER_SECTION_H_
