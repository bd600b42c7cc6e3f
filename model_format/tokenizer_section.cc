// See tokenizer_section.h. The order of the arrays, for the builder and the reader alike:
// header, piece_offsets, merge_index, merges, lookups, added, byte_ids, flags, pieces.
#include "model_format/tokenizer_section.h"

#include <algorithm>
#include <cassert>

#include "model_format/model_config.h"

namespace trit {

namespace {

Status malformed(std::string_view file, const char* field, std::string_view where,
                 std::string_view expected, std::string_view found) {
  return bad_field(Code::kMalformed, file, std::string("tokenizer ") + field, where, expected,
                   found);
}

std::string entry(uint64_t i) {
  return "entry " + std::to_string(i);
}

uint64_t section_bytes(const TokenizerHeader& h) {
  const uint64_t words = 2 * (uint64_t{h.n_ids} + 1) + h.n_lookups + h.n_added + 256;
  return sizeof(TokenizerHeader) + 4 * words + sizeof(TokenMerge) * uint64_t{h.n_merges} + h.n_ids +
         h.piece_bytes;
}

// Can this byte be part of UTF-8 at all?
bool occurs_in_utf8(uint32_t byte) {
  return byte < 0xC0 || (byte >= 0xC2 && byte < 0xF5);
}

}  // namespace

std::string with_spaces(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t sign = std::min(text.find(kSpaceSign, at), text.size());
    out += text.substr(at, sign - at);
    if (sign < text.size()) out += ' ';
    at = sign + kSpaceSign.size();
  }
  return out;
}

Result<TokenizerSection> TokenizerSection::open(Span<const uint8_t> bytes, uint32_t vocab,
                                                std::string_view file) {
  assert(reinterpret_cast<uintptr_t>(bytes.data()) % 4 == 0);
  if (bytes.size() < sizeof(TokenizerHeader)) {
    return malformed(file, "section", "offset 0", "at least 64 bytes",
                     std::to_string(bytes.size()));
  }
  TokenizerSection section;
  section.header_ = reinterpret_cast<const TokenizerHeader*>(bytes.data());
  TRIT_RETURN_IF_ERROR(section.check_header(vocab, file));
  const uint64_t needed = section_bytes(*section.header_);
  if (needed != bytes.size()) {
    return malformed(file, "section", "size", std::to_string(needed) + " bytes",
                     std::to_string(bytes.size()));
  }
  section.place_arrays(bytes.data());
  TRIT_RETURN_IF_ERROR(section.check_pieces(file));
  TRIT_RETURN_IF_ERROR(section.check_merges(file));
  TRIT_RETURN_IF_ERROR(section.check_tables(file));
  for (uint32_t id : section.added_) {
    section.begins_added_[static_cast<uint8_t>(section.piece(id)[0])] = true;
  }
  return section;
}

void TokenizerSection::place_arrays(const uint8_t* bytes) {
  const TokenizerHeader& h = *header_;
  piece_offsets_ = reinterpret_cast<const uint32_t*>(bytes + sizeof(TokenizerHeader));
  merge_index_ = piece_offsets_ + h.n_ids + 1;
  merges_ = reinterpret_cast<const TokenMerge*>(merge_index_ + h.n_ids + 1);
  const uint32_t* words = reinterpret_cast<const uint32_t*>(merges_ + h.n_merges);
  lookups_ = {words, h.n_lookups};
  added_ = {words + h.n_lookups, h.n_added};
  byte_ids_ = added_.end();
  flags_ = reinterpret_cast<const uint8_t*>(byte_ids_ + 256);
  pieces_ = reinterpret_cast<const char*>(flags_ + h.n_ids);
}

Status TokenizerSection::check_header(uint32_t vocab, std::string_view file) const {
  const TokenizerHeader& h = *header_;
  const struct {
    const char* field;
    uint32_t value, limit;
  } bounds[] = {
      {"kind", static_cast<uint32_t>(h.kind), 1},
      {"splitter", static_cast<uint32_t>(h.splitter), 6},
      {"prefix", static_cast<uint32_t>(h.prefix), 3},
      {"options", h.options, kTokenizerOptions},
      {"ids", h.n_ids, std::min(vocab, kMaxVocab)},
      {"lookups", h.n_lookups, h.n_ids},
      {"added", h.n_added, h.n_ids},
      {"reserved", h.reserved[0] | h.reserved[1] | h.reserved[2] | h.reserved[3] | h.reserved[4],
       0},
  };
  for (const auto& b : bounds) {
    if (b.value > b.limit) {
      return malformed(file, b.field, "header", "at most " + std::to_string(b.limit),
                       std::to_string(b.value));
    }
  }
  const struct {
    const char* field;
    uint32_t id;
  } ids[] = {{"bos", h.bos}, {"unknown", h.unknown}};
  for (const auto& i : ids) {
    if (i.id != kNoId && i.id >= h.n_ids) {
      return malformed(file, i.field, "header", "an id below " + std::to_string(h.n_ids),
                       std::to_string(i.id));
    }
  }
  return Status();
}

Status TokenizerSection::check_pieces(std::string_view file) const {
  const uint32_t n = header_->n_ids;
  if (piece_offsets_[0] != 0 || piece_offsets_[n] != header_->piece_bytes) {
    return malformed(
        file, "piece_offsets", "ends", "0 and " + std::to_string(header_->piece_bytes),
        std::to_string(piece_offsets_[0]) + " and " + std::to_string(piece_offsets_[n]));
  }
  for (uint32_t id = 0; id < n; ++id) {
    if (piece_offsets_[id] > piece_offsets_[id + 1]) {
      return malformed(file, "piece_offsets", entry(id), "ascending offsets",
                       std::to_string(piece_offsets_[id]));
    }
    if ((flags_[id] & ~kTokenFlags) != 0) {
      return malformed(file, "flags", entry(id), "known bits", std::to_string(flags_[id]));
    }
  }
  return Status();
}

Status TokenizerSection::check_merges(std::string_view file) const {
  const uint32_t n = header_->n_ids;
  if (merge_index_[0] != 0 || merge_index_[n] != header_->n_merges) {
    return malformed(file, "merge_index", "ends", "0 and " + std::to_string(header_->n_merges),
                     std::to_string(merge_index_[0]) + " and " + std::to_string(merge_index_[n]));
  }
  for (uint32_t id = 0; id < n; ++id) {
    const uint32_t begin = merge_index_[id], end = merge_index_[id + 1];
    if (begin > end || end > header_->n_merges) {
      return malformed(file, "merge_index", entry(id), "ascending indices", std::to_string(begin));
    }
    for (uint32_t i = begin; i < end; ++i) {
      const TokenMerge& m = merges_[i];
      if (m.right >= n || m.result >= n || (i > begin && merges_[i - 1].right >= m.right)) {
        return malformed(file, "merges", entry(i), "ascending ids below " + std::to_string(n),
                         std::to_string(m.right) + " giving " + std::to_string(m.result));
      }
    }
  }
  return Status();
}

Status TokenizerSection::check_sorted(std::string_view file, const char* field,
                                      Span<const uint32_t> ids) const {
  std::string_view previous;  // less than every piece but the empty one
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= header_->n_ids) {
      return malformed(file, field, entry(i), "an id below " + std::to_string(header_->n_ids),
                       std::to_string(ids[i]));
    }
    if (piece(ids[i]) <= previous) {
      return malformed(file, field, entry(i), "ids sorted by their bytes", quoted(piece(ids[i])));
    }
    previous = piece(ids[i]);
  }
  return Status();
}

Status TokenizerSection::check_tables(std::string_view file) const {
  TRIT_RETURN_IF_ERROR(check_sorted(file, "lookups", lookups_));
  TRIT_RETURN_IF_ERROR(check_sorted(file, "added", added_));
  for (size_t i = 0; i < added_.size(); ++i) {
    if ((flags_[added_[i]] & kTokenAdded) == 0) {
      return malformed(file, "added", entry(i), "a token flagged as added",
                       std::to_string(added_[i]));
    }
  }
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const uint32_t id = byte_ids_[byte];
    if (id == kNoId ? header_->unknown == kNoId && occurs_in_utf8(byte) : id >= header_->n_ids) {
      return malformed(file, "byte_ids", entry(byte), "an id, or an unknown token",
                       id == kNoId ? "neither" : std::to_string(id));
    }
  }
  return Status();
}

const TokenMerge* TokenizerSection::find_merge(uint32_t left, uint32_t right) const {
  const TokenMerge* end = merges_ + merge_index_[left + 1];
  const TokenMerge* found =
      std::lower_bound(merges_ + merge_index_[left], end, right,
                       [](const TokenMerge& m, uint32_t id) { return m.right < id; });
  return found != end && found->right == right ? found : nullptr;
}

uint32_t TokenizerSection::find_sorted(Span<const uint32_t> ids, std::string_view bytes) const {
  const uint32_t* found =
      std::lower_bound(ids.begin(), ids.end(), bytes,
                       [this](uint32_t id, std::string_view b) { return piece(id) < b; });
  return found != ids.end() && piece(*found) == bytes ? *found : kNoId;
}

uint32_t TokenizerSection::find_piece(std::string_view bytes) const {
  return find_sorted(lookups_, bytes);
}

uint32_t TokenizerSection::find_added(std::string_view text) const {
  return find_sorted(added_, text);
}

uint32_t TokenizerSection::match_added(std::string_view text) const {
  if (text.empty() || !begins_added_[static_cast<uint8_t>(text[0])]) return kNoId;
  uint32_t longest = kNoId;
  // The candidates are a range that shrinks with every byte; one that ends here comes first in it.
  const uint32_t *begin = added_.begin(), *end = added_.end();
  for (size_t depth = 0; depth < text.size(); ++depth) {
    const uint8_t byte = static_cast<uint8_t>(text[depth]);
    auto byte_at = [&](uint32_t id) {
      return piece(id).size() <= depth ? -1 : int{static_cast<uint8_t>(piece(id)[depth])};
    };
    begin = std::partition_point(begin, end, [&](uint32_t id) { return byte_at(id) < byte; });
    end = std::partition_point(begin, end, [&](uint32_t id) { return byte_at(id) == byte; });
    if (begin == end) break;
    if (piece(*begin).size() == depth + 1) longest = *begin;
  }
  return longest;
}

namespace {

// Sorts by bytes and keeps the lowest id of each string.
void sort_by_bytes(const std::vector<std::string>& pieces, std::vector<uint32_t>* ids) {
  std::sort(ids->begin(), ids->end(), [&](uint32_t a, uint32_t b) {
    const int order = pieces[a].compare(pieces[b]);
    return order != 0 ? order < 0 : a < b;
  });
  ids->erase(std::unique(ids->begin(), ids->end(),
                         [&](uint32_t a, uint32_t b) { return pieces[a] == pieces[b]; }),
             ids->end());
}

// Sorts by left, then right, and keeps the last of each pair.
void sort_merges(std::vector<TokenizerContents::Merge>* merges) {
  auto key = [](const TokenizerContents::Merge& m) {
    return uint64_t{m.left} << 32 | m.merge.right;
  };
  std::stable_sort(merges->begin(), merges->end(),
                   [&](const auto& a, const auto& b) { return key(a) < key(b); });
  auto last = std::unique(merges->rbegin(), merges->rend(),
                          [&](const auto& a, const auto& b) { return key(a) == key(b); });
  merges->erase(merges->begin(), last.base());
}

template <typename T>
void append(std::vector<uint8_t>* out, const T* values, size_t count) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(values);
  out->insert(out->end(), bytes, bytes + count * sizeof(T));
}

}  // namespace

std::vector<uint8_t> build_tokenizer_section(TokenizerContents contents) {
  assert(contents.flags.size() == contents.pieces.size());
  const uint32_t n = static_cast<uint32_t>(contents.pieces.size());
  std::vector<uint32_t> added, piece_offsets(1, 0), merge_index(n + 1, 0);
  for (uint32_t id = 0; id < n; ++id) {
    piece_offsets.push_back(piece_offsets.back() +
                            static_cast<uint32_t>(contents.pieces[id].size()));
    if ((contents.flags[id] & kTokenAdded) != 0) added.push_back(id);
  }
  sort_by_bytes(contents.pieces, &added);
  sort_by_bytes(contents.pieces, &contents.lookups);
  sort_merges(&contents.merges);
  std::vector<TokenMerge> merges;
  for (const TokenizerContents::Merge& m : contents.merges) {
    merges.push_back(m.merge);
    ++merge_index[m.left + 1];
  }
  for (uint32_t id = 0; id < n; ++id) merge_index[id + 1] += merge_index[id];

  TokenizerHeader& h = contents.header;
  h.n_ids = n;
  h.n_merges = static_cast<uint32_t>(merges.size());
  h.n_lookups = static_cast<uint32_t>(contents.lookups.size());
  h.n_added = static_cast<uint32_t>(added.size());
  h.piece_bytes = piece_offsets.back();
  std::vector<uint8_t> out;
  out.reserve(section_bytes(h));
  append(&out, &h, 1);
  append(&out, piece_offsets.data(), piece_offsets.size());
  append(&out, merge_index.data(), merge_index.size());
  append(&out, merges.data(), merges.size());
  append(&out, contents.lookups.data(), contents.lookups.size());
  append(&out, added.data(), added.size());
  append(&out, contents.byte_ids.data(), contents.byte_ids.size());
  append(&out, contents.flags.data(), contents.flags.size());
  for (const std::string& piece : contents.pieces) append(&out, piece.data(), piece.size());
  return out;
}

}  // namespace trit
