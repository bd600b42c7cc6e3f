// See encoder.h.
#include "runtime/text/encoder.h"

#include <algorithm>

#include "model_format/utf8.h"
#include "runtime/text/nfc.h"
#include "runtime/text/pretokenize.h"
#include "runtime/text/unicode.h"

namespace trit {

namespace {

// Symbols are numbered with 32 bits, so no word may be larger. Only a text of this size without a
// place to cut is cut here.
constexpr size_t kMaxWordBytes = size_t{1} << 30;

void strip_white_space_at_end(std::string* text) {
  size_t end = text->size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && (static_cast<uint8_t>((*text)[begin]) & 0xC0) == 0x80) --begin;
    if (!is_white_space(decode_utf8(*text, begin).value)) break;
    end = begin;
  }
  text->resize(end);
}

}  // namespace

void Encoder::add_token(uint32_t id) {
  if ((section_.flags(id) & kTokenStripsLeft) != 0) strip_white_space_at_end(&run_);
  finish();
  at_start_ = false;
  ids_->push_back(static_cast<int32_t>(id));
}

void Encoder::normalize() {
  if (!is_utf8(run_)) {
    std::string valid;
    append_valid_utf8(run_, &valid);
    run_ = std::move(valid);
  }
  if (section_.has(kTokenizerNfc)) run_ = to_nfc(std::move(run_));
  if (section_.header().kind == TokenizerKind::kSentencePiece) run_ = with_spaces(run_);
  bool prefix = false;
  switch (section_.header().prefix) {
    case SpacePrefix::kNever:
      break;
    case SpacePrefix::kAlways:
      prefix = true;
      break;
    case SpacePrefix::kUnlessSpace:
      prefix = run_[0] != ' ';
      break;
    case SpacePrefix::kFirstUnlessSpace:
      prefix = at_start_ && run_[0] != ' ';
      break;
  }
  if (prefix) run_.insert(0, 1, ' ');
}

void Encoder::finish() {
  if (run_.empty()) return;
  normalize();
  for (size_t at = 0; at < run_.size();) {
    size_t end = word_end(section_.header().splitter, run_, at);
    if (end - at > kMaxWordBytes) {
      end = at + kMaxWordBytes;
      while ((static_cast<uint8_t>(run_[end]) & 0xC0) == 0x80) --end;
    }
    encode_word(std::string_view(run_).substr(at, end - at));
    at = end;
  }
  run_.clear();
  at_start_ = false;
}

void Encoder::encode_word(std::string_view word) {
  if (section_.has(kTokenizerIgnoreMerges)) {
    if (const uint32_t id = section_.find_piece(word); id != kNoId) {
      ids_->push_back(static_cast<int32_t>(id));
      return;
    }
  }
  after_unknown_ = false;
  merger_.reserve(word.size());
  if (section_.header().kind == TokenizerKind::kByteLevel) {
    add_bytes(word);
  } else {
    add_characters(word);
  }
  merger_.finish(ids_);
}

void Encoder::add_bytes(std::string_view word) {
  for (const char c : word) {
    const uint32_t id = section_.byte_id(static_cast<uint8_t>(c));
    if (id == kNoId) {
      add_unknown();
    } else {
      merger_.add(id);
      after_unknown_ = false;
    }
  }
}

void Encoder::add_characters(std::string_view word) {
  for (size_t at = 0; at < word.size();) {
    const std::string_view character = word.substr(at, decode_utf8(word, at).bytes);
    at += character.size();
    const uint32_t id = section_.find_piece(character);
    if (id != kNoId) {
      merger_.add(id);
      after_unknown_ = false;
      continue;
    }
    const bool as_bytes = std::all_of(character.begin(), character.end(), [this](char c) {
      return section_.byte_id(static_cast<uint8_t>(c)) != kNoId;
    });
    if (as_bytes) {
      add_bytes(character);
    } else {
      add_unknown();
    }
  }
}

void Encoder::add_unknown() {
  if (after_unknown_ && section_.has(kTokenizerFuseUnknown)) return;
  // A section without an unknown token has all bytes of UTF-8; that was checked.
  merger_.add(section_.header().unknown);
  after_unknown_ = true;
}

}  // namespace trit
