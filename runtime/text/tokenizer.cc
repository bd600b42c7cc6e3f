// See tokenizer.h. Here: finding added tokens in text, and turning ids back into text. How plain
// text is encoded: encoder.cc.
#include "runtime/text/tokenizer.h"

#include "model_format/model_config.h"
#include "runtime/text/encoder.h"
#include "runtime/text/unicode.h"

namespace trit {

Result<Tokenizer> Tokenizer::open(Span<const uint8_t> section, uint32_t vocab,
                                  std::string_view file) {
  Result<TokenizerSection> view = TokenizerSection::open(section, vocab, file);
  if (!view.ok()) return view.status();
  Tokenizer tokenizer;
  tokenizer.section_ = view.value();
  return tokenizer;
}

uint32_t Tokenizer::size() const {
  return section_.size();
}

int32_t Tokenizer::bos() const {
  const uint32_t bos = section_.header().bos;
  return bos == kNoId ? kNoToken : static_cast<int32_t>(bos);
}

const char* Tokenizer::kind_name() const {
  if (section_.header().kind == TokenizerKind::kSentencePiece) {
    return section_.header().splitter == Splitter::kSpaces ? "SentencePiece BPE (words at spaces)"
                                                           : "SentencePiece BPE";
  }
  switch (section_.header().splitter) {
    case Splitter::kGpt2:
      return "byte-level BPE (gpt2 splitter)";
    case Splitter::kLlama3:
      return "byte-level BPE (llama3 splitter)";
    case Splitter::kQwen2:
      return "byte-level BPE (qwen2 splitter)";
    case Splitter::kGpt2Digits:
      return "byte-level BPE (gpt2 splitter, digits alone)";
    case Splitter::kNone:
    case Splitter::kSpaces:
    case Splitter::kSpaceRuns:
      break;
  }
  return "byte-level BPE";
}

namespace {

// Text in which added tokens are recognised: leftmost first, the longest of those.
void encode_special(const TokenizerSection& section, std::string_view text, Encoder* encoder) {
  size_t plain = 0;  // where the plain text before `at` begins
  for (size_t at = 0; at < text.size();) {
    const uint32_t id = section.match_added(text.substr(at));
    if (id == kNoId) {
      ++at;
      continue;
    }
    encoder->add_plain(text.substr(plain, at - plain));
    encoder->add_token(id);
    at += section.piece(id).size();
    if ((section.flags(id) & kTokenStripsRight) != 0) {
      for (CodePoint c = decode_utf8(text, at); c.bytes > 0 && is_white_space(c.value);
           c = decode_utf8(text, at)) {
        at += c.bytes;
      }
    }
    plain = at;
  }
  encoder->add_plain(text.substr(plain));
}

}  // namespace

void Tokenizer::encode(Span<const TextPart> parts, bool add_bos, std::vector<int32_t>* ids) const {
  if (add_bos && bos() != kNoToken) ids->push_back(bos());
  Encoder encoder(section_, ids);
  for (const TextPart& part : parts) {
    if (part.allow_special) {
      encode_special(section_, part.text, &encoder);
    } else {
      encoder.add_plain(part.text);
    }
  }
  encoder.finish();
}

void Tokenizer::encode(std::string_view text, bool add_bos, bool parse_special,
                       std::vector<int32_t>* ids) const {
  const TextPart part{text, parse_special};
  encode(Span<const TextPart>(&part, 1), add_bos, ids);
}

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && static_cast<uint32_t>(id) < size() &&
         (section_.flags(static_cast<uint32_t>(id)) & kTokenSpecial) != 0;
}

std::string_view Tokenizer::piece(int32_t id) const {
  if (id < 0 || static_cast<uint32_t>(id) >= size()) return {};
  return section_.piece(static_cast<uint32_t>(id));
}

std::string Tokenizer::decode(Span<const int32_t> ids, bool special) const {
  std::string out;
  StreamDecoder decoder(this, special, true);
  for (const int32_t id : ids) decoder.next(id, &out);
  decoder.finish(&out);
  return out;
}

StreamDecoder::StreamDecoder(const Tokenizer* tokenizer, bool special, bool at_start)
    : tokenizer_(tokenizer),
      special_(special),
      at_start_(at_start && tokenizer->section_.has(kTokenizerStripSpace)) {}

void StreamDecoder::next(int32_t id, std::string* out) {
  if (!special_ && tokenizer_->is_special(id)) return;
  pending_ += tokenizer_->piece(id);
  if (pending_.empty()) return;
  size_t at = at_start_ && pending_[0] == ' ' ? 1 : 0;
  at_start_ = false;
  while (at < pending_.size()) {
    const CodePoint c = decode_utf8(pending_, at);
    if (c.cut_off) break;
    append_utf8(c.value, out);
    at += c.bytes;
  }
  pending_.erase(0, at);
}

void StreamDecoder::finish(std::string* out) {
  append_valid_utf8(pending_, out);
  pending_.clear();
}

}  // namespace trit
