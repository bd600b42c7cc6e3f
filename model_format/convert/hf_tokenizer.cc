// See hf_tokenizer.h. Here: vocabulary, merges and added tokens, and what bytes each piece stands
// for. Not here: the steps around them (hf_pipeline.h), chat families (chat_family.cc).
#include "model_format/convert/hf_tokenizer.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "model_format/convert/hf_pipeline.h"
#include "model_format/convert/json_fields.h"
#include "model_format/json.h"
#include "model_format/tokenizer_section.h"

namespace trit {

namespace {

// The printable alphabet of byte-level BPE: which byte each of its code points stands for, or -1.
std::array<int, 0x144> printable_bytes() {
  std::array<int, 0x144> bytes;
  bytes.fill(-1);
  int next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
    bytes[static_cast<size_t>(printable ? b : next++)] = b;
  }
  return bytes;
}

// The bytes that a piece of byte-level BPE stands for; false when it is not in the alphabet.
bool from_printable(std::string_view piece, std::string* out) {
  static const std::array<int, 0x144> bytes = printable_bytes();
  out->clear();
  for (size_t i = 0; i < piece.size(); ++i) {
    size_t code = static_cast<uint8_t>(piece[i]);
    // The text is UTF-8 and the alphabet has no character of three bytes.
    if (code >= 0xE0) return false;
    if (code >= 0xC0) code = (code & 0x1F) << 6 | (static_cast<uint8_t>(piece[++i]) & 0x3F);
    if (code >= bytes.size() || bytes[code] < 0) return false;
    out->push_back(static_cast<char>(bytes[code]));
  }
  return true;
}

// The value of a digit of "<0x0A>", or -1. Nothing but these sixteen: no sign, no lower case.
int hex_digit(char c) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const size_t i = kDigits.find(c);
  return i == kDigits.npos ? -1 : static_cast<int>(i);
}

class TokenizerImporter {
 public:
  TokenizerImporter(JsonValue root, std::string_view file, uint32_t vocab)
      : root_(root), file_(file), limit_(vocab == 0 ? kMaxVocab : std::min(vocab, kMaxVocab)) {
    contents_.byte_ids.fill(kNoId);
  }

  Result<std::vector<uint8_t>> import() {
    auto pipeline = read_pipeline(root_, file_);
    if (!pipeline.ok()) return pipeline.status();
    header() = pipeline->header;
    decodes_bytes_ = pipeline->decodes_bytes;
    TRIT_RETURN_IF_ERROR(read_model());
    TRIT_RETURN_IF_ERROR(read_vocabulary());
    TRIT_RETURN_IF_ERROR(read_merges());
    cut_at_space_runs();
    TRIT_RETURN_IF_ERROR(read_added_tokens());
    if (header().bos != kNoId && (header().bos >= taken_.size() || !taken_[header().bos])) {
      return wrong(Code::kMalformed, "$.post_processor", "a token of the vocabulary",
                   std::to_string(header().bos));
    }
    for (uint32_t id = 0; id < contents_.pieces.size(); ++id) {
      if (reachable_[id]) contents_.lookups.push_back(id);
    }
    std::vector<uint8_t> bytes = build_tokenizer_section(std::move(contents_));
    // What was read one by one must also hold as a whole (every byte has a token).
    TRIT_RETURN_IF_ERROR(TokenizerSection::open(bytes, kNoId, file_).status());
    return bytes;
  }

 private:
  TokenizerHeader& header() { return contents_.header; }
  bool byte_level() const { return contents_.header.kind == TokenizerKind::kByteLevel; }

  Status wrong(Code code, const std::string& path, std::string_view expected,
               std::string_view found) const {
    return bad_field(code, file_, path.substr(path.find_last_of('.') + 1), path, expected, found);
  }

  Status read_model();
  Status read_vocabulary();
  Status read_piece(uint32_t id, std::string_view text);
  Status read_merges();
  Status read_merge(JsonValue merge, uint32_t rank);
  void cut_at_space_runs();
  Status read_added_tokens();
  Status read_added_token(JsonFields token, const std::string& path);
  bool grow(uint64_t id);

  JsonValue root_;
  std::string file_;
  uint32_t limit_;  // ids are below it
  TokenizerContents contents_;
  bool decodes_bytes_ = false, byte_fallback_ = false;
  std::vector<bool> taken_, reachable_;                 // per id: has a piece; text can become it
  std::unordered_map<std::string_view, uint32_t> ids_;  // by the text in model.vocab
};

Status TokenizerImporter::read_model() {
  JsonFields model(root_["model"], file_, "$.model");
  const std::string type = model.text_or("type", "BPE");  // old files do not name it
  byte_fallback_ = model.boolean_or("byte_fallback", false);
  if (model.boolean_or("ignore_merges", false)) header().options |= kTokenizerIgnoreMerges;
  if (model.boolean_or("fuse_unk", false)) header().options |= kTokenizerFuseUnknown;
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const std::string text = model.text_or(key, "");
    if (!text.empty()) model.fail(Code::kUnsupported, key, "null", quoted(text));
  }
  if (model.has("dropout") &&
      !(model.value("dropout").is_number() && model.value("dropout").number() == 0)) {
    model.fail(Code::kUnsupported, "dropout", "null", found_text(model.value("dropout")));
  }
  TRIT_RETURN_IF_ERROR(model.status());
  if (type != "BPE") return wrong(Code::kUnsupported, "$.model.type", "BPE", quoted(type));
  for (const char* key : {"vocab", "merges"}) {
    const JsonValue v = model.value(key);
    if (key[0] == 'v' ? !v.is_object() : !v.is_array()) {
      model.fail(Code::kMalformed, key, key[0] == 'v' ? "an object" : "an array", found_text(v));
    }
  }
  return model.status();
}

// Makes room for an id; false when it is too large.
bool TokenizerImporter::grow(uint64_t id) {
  if (id >= limit_) return false;
  if (id >= taken_.size()) {
    taken_.resize(id + 1);
    reachable_.resize(id + 1);
    contents_.pieces.resize(id + 1);
    contents_.flags.resize(id + 1);
  }
  return true;
}

Status TokenizerImporter::read_vocabulary() {
  const JsonValue vocab = root_["model"]["vocab"];
  ids_.reserve(vocab.size());
  for (size_t i = 0; i < vocab.size(); ++i) {
    const std::string_view text = vocab.key(i);
    const std::optional<uint64_t> id = vocab[i].unsigned_integer();
    if (!id || !grow(*id)) {
      return wrong(Code::kMalformed, "$.model.vocab", "ids below " + std::to_string(limit_),
                   quoted(text) + ": " + found_text(vocab[i]));
    }
    if (taken_[*id]) {
      return wrong(Code::kMalformed, "$.model.vocab", "each id once",
                   quoted(text) + ": " + std::to_string(*id) + " again");
    }
    ids_.emplace(text, static_cast<uint32_t>(*id));
    TRIT_RETURN_IF_ERROR(read_piece(static_cast<uint32_t>(*id), text));
  }
  JsonFields model(root_["model"], file_, "$.model");
  if (model.has("unk_token")) {
    const std::string unknown = model.text_or("unk_token", "");
    TRIT_RETURN_IF_ERROR(model.status());
    const auto found = ids_.find(unknown);
    if (found == ids_.end()) {
      return wrong(Code::kMalformed, "$.model.unk_token", "a token of vocab", quoted(unknown));
    }
    header().unknown = found->second;
  }
  return Status();
}

Status TokenizerImporter::read_piece(uint32_t id, std::string_view text) {
  std::string& piece = contents_.pieces[id];
  taken_[id] = true;
  if (byte_level()) {
    // A piece outside the alphabet is decoded as it stands; no text becomes it.
    reachable_[id] = from_printable(text, &piece) && !piece.empty();
    if (!reachable_[id]) piece = text;
    if (reachable_[id] && piece.size() == 1) {
      contents_.byte_ids[static_cast<uint8_t>(piece[0])] = id;
    }
    return Status();
  }
  const bool byte_form = text.size() == 6 && text.substr(0, 3) == "<0x" && text[5] == '>';
  if (byte_form && (byte_fallback_ || decodes_bytes_)) {
    const int high = hex_digit(text[3]), low = hex_digit(text[4]);
    if (high < 0 || low < 0) {
      return wrong(Code::kMalformed, "$.model.vocab", "a byte as <0x00> to <0xFF>", quoted(text));
    }
    piece.assign(1, static_cast<char>(high * 16 + low));
    if (byte_fallback_) contents_.byte_ids[static_cast<size_t>(high * 16 + low)] = id;
    return Status();
  }
  piece = with_spaces(text);
  // Spaces of the text are U+2581 by then, so a piece with a plain space never matches.
  reachable_[id] = !text.empty() && text.find(' ') == text.npos;
  return Status();
}

Status TokenizerImporter::read_merges() {
  const JsonValue merges = root_["model"]["merges"];
  contents_.merges.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    TRIT_RETURN_IF_ERROR(read_merge(merges[i], static_cast<uint32_t>(i)));
  }
  return Status();
}

// "left right" or ["left", "right"].
Status TokenizerImporter::read_merge(JsonValue merge, uint32_t rank) {
  auto path = [&] { return "$.model.merges[" + std::to_string(rank) + "]"; };
  std::string_view left, right;
  if (merge.is_string()) {
    const std::string_view both = merge.string();
    const size_t space = both.find(' ');
    left = both.substr(0, space);
    right = space == both.npos ? std::string_view() : both.substr(space + 1);
  } else if (merge.size() == 2 && merge[size_t{0}].is_string() && merge[1].is_string()) {
    left = merge[size_t{0}].string();
    right = merge[1].string();
  }
  if (left.empty() || right.empty() || (merge.is_string() && right.find(' ') != right.npos)) {
    return wrong(Code::kMalformed, path(), "two tokens", found_text(merge));
  }
  std::string joined(left);
  joined += right;
  uint32_t ids[3];
  const std::string_view texts[3] = {left, right, joined};
  for (int i = 0; i < 3; ++i) {
    const auto found = ids_.find(texts[i]);
    if (found == ids_.end()) {
      return wrong(Code::kMalformed, path(), "tokens of vocab", quoted(texts[i]));
    }
    ids[i] = found->second;
  }
  contents_.merges.push_back({ids[0], {ids[1], rank, ids[2]}});
  return Status();
}

// A tokenizer without a splitter merges a whole text as one word. Where no merge ever joins text to
// a space behind it, the same ids come from cutting there, with small words in place of a huge one.
void TokenizerImporter::cut_at_space_runs() {
  const auto space = ids_.find(kSpaceSign);
  if (header().splitter != Splitter::kNone || byte_level() || space == ids_.end() ||
      (header().options & kTokenizerIgnoreMerges) != 0) {
    return;
  }
  for (const TokenizerContents::Merge& m : contents_.merges) {
    const std::string& piece = contents_.pieces[m.merge.result];
    if (piece.find(' ', piece.find_first_not_of(' ')) != piece.npos) return;
  }
  header().splitter = Splitter::kSpaceRuns;
}

Status TokenizerImporter::read_added_tokens() {
  const JsonValue list = root_["added_tokens"];
  if (!list.is_array() && !list.is_null()) {
    return wrong(Code::kMalformed, "$.added_tokens", "an array", found_text(list));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = "$.added_tokens[" + std::to_string(i) + "]";
    TRIT_RETURN_IF_ERROR(read_added_token(JsonFields(list[i], file_, path), path));
  }
  return Status();
}

Status TokenizerImporter::read_added_token(JsonFields token, const std::string& path) {
  const auto id = static_cast<uint32_t>(token.integer("id", 0, limit_ - 1));
  const std::string text = token.text_or("content", "");
  if (text.empty()) token.fail(Code::kMalformed, "content", "a text", "nothing");
  if (token.boolean_or("single_word", false)) {
    token.fail(Code::kUnsupported, "single_word", "false", "true");
  }
  uint8_t flags = kTokenAdded;
  if (token.boolean_or("special", false)) flags |= kTokenSpecial;
  if (token.boolean_or("lstrip", false)) flags |= kTokenStripsLeft;
  if (token.boolean_or("rstrip", false)) flags |= kTokenStripsRight;
  TRIT_RETURN_IF_ERROR(token.status());
  grow(id);  // integer() kept it below the limit
  const auto known = ids_.find(text);
  const bool same = known != ids_.end() && known->second == id;
  if (taken_[id] && !same) {
    return wrong(Code::kMalformed, path + ".id", "a free id, or that of the same text in vocab",
                 std::to_string(id));
  }
  taken_[id] = true;
  if (contents_.pieces[id] != text) {
    contents_.pieces[id] = text;
    reachable_[id] = false;
  }
  contents_.flags[id] = flags;
  return Status();
}

}  // namespace

Result<std::vector<uint8_t>> convert_tokenizer(std::string_view json, std::string_view file,
                                               uint32_t vocab) {
  TRIT_RETURN_IF_ERROR(refuse_lfs_pointer(json, file));
  auto document = JsonDocument::parse(json, file);
  if (!document.ok()) return document.status();
  return TokenizerImporter(document.value()->root(), file, vocab).import();
}

int32_t find_token(const std::vector<uint8_t>& tokenizer_section, std::string_view text) {
  Result<TokenizerSection> section = TokenizerSection::open(tokenizer_section, kNoId, "");
  if (!section.ok()) return kNoToken;
  uint32_t id = section->find_added(text);
  if (id == kNoId) id = section->find_piece(text);
  return id == kNoId ? kNoToken : static_cast<int32_t>(id);
}

int32_t section_bos(const std::vector<uint8_t>& tokenizer_section) {
  Result<TokenizerSection> section = TokenizerSection::open(tokenizer_section, kNoId, "");
  if (!section.ok() || section->header().bos == kNoId) return kNoToken;
  return static_cast<int32_t>(section->header().bos);
}

}  // namespace trit
