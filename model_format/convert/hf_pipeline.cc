// See hf_pipeline.h. The order matters: the pre_tokenizer tells which of the two kinds of tokenizer
// this is, and the other steps are judged by that.
#include "model_format/convert/hf_pipeline.h"

#include <optional>
#include <string>
#include <vector>

#include "model_format/convert/json_fields.h"
#include "model_format/model_config.h"

namespace trit {

namespace {

// The splitters we have written out by hand, by their exact text.
const struct {
  std::string_view pattern;
  Splitter splitter;
} kPatterns[] = {
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
     R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     Splitter::kLlama3},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
     R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     Splitter::kQwen2},
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     Splitter::kGpt2},
};

struct Step {
  JsonValue value;
  std::string type, path;
};

class PipelineReader {
 public:
  PipelineReader(JsonValue root, std::string_view file) : root_(root), file_(file) {}

  Result<TokenizerPipeline> read() {
    TRIT_RETURN_IF_ERROR(read_pre_tokenizer());
    TRIT_RETURN_IF_ERROR(read_normalizer());
    TRIT_RETURN_IF_ERROR(read_decoder());
    TRIT_RETURN_IF_ERROR(read_post_processor());
    return out_;
  }

 private:
  TokenizerHeader& header() { return out_.header; }
  bool byte_level() const { return out_.header.kind == TokenizerKind::kByteLevel; }

  Status wrong(Code code, const std::string& path, std::string_view expected,
               std::string_view found) const {
    return bad_field(code, file_, path.substr(path.find_last_of('.') + 1), path, expected, found);
  }
  Status unsupported(const Step& step, std::string_view expected) const {
    return wrong(Code::kUnsupported, step.path, expected, quoted(step.type));
  }
  JsonFields fields(const Step& step) const { return JsonFields(step.value, file_, step.path); }

  Result<std::vector<Step>> steps(std::string_view member, std::string_view sequence_key) const;
  Status read_pre_tokenizer();
  Status read_split(const Step& step);
  Status read_byte_level(const Step& step, bool alone);
  Status read_metaspace(const Step& step);
  Status read_normalizer();
  Status read_decoder();
  Status read_post_processor();
  Status read_template(const Step& step);

  JsonValue root_;
  std::string file_;
  TokenizerPipeline out_;
  bool metaspace_ = false;
};

// A member that is null, one step or a Sequence of steps.
Result<std::vector<Step>> PipelineReader::steps(std::string_view member,
                                                std::string_view sequence_key) const {
  const JsonValue node = root_[member];
  const std::string path = "$." + std::string(member);
  std::vector<Step> out;
  if (node.is_null()) return out;
  auto add = [&](JsonValue value, std::string where) {
    JsonFields step(value, file_, where);
    const std::string type = step.text_or("type", "");
    out.push_back({value, type, std::move(where)});
    return step.status();
  };
  if (!node["type"].is_string() || node["type"].string() != "Sequence") {
    TRIT_RETURN_IF_ERROR(add(node, path));
    return out;
  }
  const JsonValue list = node[sequence_key];
  for (size_t i = 0; i < list.size(); ++i) {
    TRIT_RETURN_IF_ERROR(
        add(list[i], path + "." + std::string(sequence_key) + "[" + std::to_string(i) + "]"));
  }
  return out;
}

Status PipelineReader::read_pre_tokenizer() {
  Result<std::vector<Step>> read = steps("pre_tokenizer", "pretokenizers");
  if (!read.ok()) return read.status();
  const std::vector<Step>& s = read.value();
  header().kind = TokenizerKind::kSentencePiece;
  if (s.empty()) return Status();
  if (s.size() == 1 && s[0].type == "Metaspace") return read_metaspace(s[0]);
  header().kind = TokenizerKind::kByteLevel;
  const Step& last = s.back();
  constexpr const char* kKnown = "ByteLevel, Split + ByteLevel, Digits + ByteLevel or Metaspace";
  if (last.type != "ByteLevel") return unsupported(last, kKnown);
  if (s.size() == 1) return read_byte_level(last, true);
  if (s.size() > 2) return unsupported(s[0], kKnown);
  TRIT_RETURN_IF_ERROR(read_byte_level(last, false));
  if (s[0].type == "Split" && header().splitter == Splitter::kNone) return read_split(s[0]);
  JsonFields digits = fields(s[0]);
  if (s[0].type != "Digits" || header().splitter != Splitter::kGpt2 ||
      !digits.boolean_or("individual_digits", false)) {
    TRIT_RETURN_IF_ERROR(digits.status());
    return unsupported(s[0], kKnown);
  }
  header().splitter = Splitter::kGpt2Digits;
  return Status();
}

Status PipelineReader::read_split(const Step& step) {
  JsonFields split = fields(step);
  const std::string pattern = split.object("pattern").text_or("Regex", "");
  const std::string behavior = split.text_or("behavior", "");
  const bool invert = split.boolean_or("invert", false);
  TRIT_RETURN_IF_ERROR(split.status());
  if (behavior != "Isolated" || invert) {
    return wrong(Code::kUnsupported, step.path + ".behavior", "Isolated, not inverted",
                 quoted(behavior));
  }
  for (const auto& known : kPatterns) {
    if (pattern == known.pattern) {
      header().splitter = known.splitter;
      return Status();
    }
  }
  return wrong(Code::kUnsupported, step.path + ".pattern.Regex",
               "the pattern of GPT-2, Llama 3 or Qwen2", quoted(pattern));
}

Status PipelineReader::read_byte_level(const Step& step, bool alone) {
  JsonFields byte_level = fields(step);
  if (byte_level.boolean_or("use_regex", true)) header().splitter = Splitter::kGpt2;
  if (byte_level.boolean_or("add_prefix_space", true)) {
    header().prefix = SpacePrefix::kUnlessSpace;
    // Behind another step it would put a space before every word.
    if (!alone) byte_level.fail(Code::kUnsupported, "add_prefix_space", "false", "true");
  }
  return byte_level.status();
}

Status PipelineReader::read_metaspace(const Step& step) {
  JsonFields metaspace = fields(step);
  const std::string sign = metaspace.text_or("replacement", kSpaceSign);
  const bool add = metaspace.boolean_or("add_prefix_space", true);
  const std::string scheme = metaspace.text_or("prepend_scheme", add ? "always" : "never");
  const bool split = metaspace.boolean_or("split", true);
  TRIT_RETURN_IF_ERROR(metaspace.status());
  if (sign != kSpaceSign) {
    return wrong(Code::kUnsupported, step.path + ".replacement", "U+2581", quoted(sign));
  }
  metaspace_ = true;
  header().splitter = split ? Splitter::kSpaces : Splitter::kNone;
  if (scheme == "always") {
    header().prefix = SpacePrefix::kUnlessSpace;
  } else if (scheme == "first") {
    header().prefix = SpacePrefix::kFirstUnlessSpace;
  } else if (scheme != "never") {
    return wrong(Code::kUnsupported, step.path + ".prepend_scheme", "always, first or never",
                 quoted(scheme));
  }
  return Status();
}

Status PipelineReader::read_normalizer() {
  Result<std::vector<Step>> read = steps("normalizer", "normalizers");
  if (!read.ok()) return read.status();
  bool replaces = false;
  for (const Step& step : read.value()) {
    JsonFields f = fields(step);
    const bool spaces = !byte_level() && !metaspace_;  // are spaces the normalizer's business?
    if (step.type == "NFC") {
      header().options |= kTokenizerNfc;
    } else if (spaces && step.type == "Prepend" && f.text_or("prepend", "") == kSpaceSign) {
      header().prefix = SpacePrefix::kAlways;
    } else if (spaces && step.type == "Replace" &&
               f.object("pattern").text_or("String", "") == " " &&
               f.text_or("content", "") == kSpaceSign) {
      replaces = true;
    } else {
      TRIT_RETURN_IF_ERROR(f.status());
      return unsupported(step, byte_level() ? "NFC or null" : "NFC, Prepend U+2581, Replace space");
    }
    TRIT_RETURN_IF_ERROR(f.status());
  }
  if (!byte_level() && !metaspace_ && !replaces) {
    return wrong(Code::kUnsupported, "$.pre_tokenizer",
                 "ByteLevel or Metaspace, or a normalizer that replaces spaces", "neither");
  }
  return Status();
}

Status PipelineReader::read_decoder() {
  Result<std::vector<Step>> read = steps("decoder", "decoders");
  if (!read.ok()) return read.status();
  bool known = false;
  for (const Step& step : read.value()) {
    JsonFields f = fields(step);
    if (byte_level()) {
      if (step.type != "ByteLevel") return unsupported(step, "ByteLevel");
      known = true;
    } else if (step.type == "Replace" && f.object("pattern").text_or("String", "") == kSpaceSign &&
               f.text_or("content", "") == " ") {
      known = true;
    } else if (step.type == "Metaspace") {
      known = true;
      const bool add = f.boolean_or("add_prefix_space", true);
      if (f.text_or("prepend_scheme", add ? "always" : "never") != "never") {
        header().options |= kTokenizerStripSpace;
      }
    } else if (step.type == "ByteFallback") {
      out_.decodes_bytes = true;
    } else if (step.type == "Strip" && f.text_or("content", "") == " " &&
               f.integer("start", 0, 1) == 1 && f.integer("stop", 0, 1) == 0) {
      header().options |= kTokenizerStripSpace;
    } else if (step.type != "Fuse") {
      TRIT_RETURN_IF_ERROR(f.status());
      return unsupported(step, "Replace U+2581, ByteFallback, Fuse, Strip or Metaspace");
    }
    TRIT_RETURN_IF_ERROR(f.status());
  }
  if (known) return Status();
  return wrong(Code::kUnsupported, "$.decoder",
               byte_level() ? "ByteLevel" : "Replace U+2581 or Metaspace", "neither");
}

Status PipelineReader::read_post_processor() {
  Result<std::vector<Step>> read = steps("post_processor", "processors");
  if (!read.ok()) return read.status();
  for (const Step& step : read.value()) {
    if (step.type == "TemplateProcessing") {
      TRIT_RETURN_IF_ERROR(read_template(step));
    } else if (step.type != "ByteLevel") {  // that one only moves offsets
      return unsupported(step, "TemplateProcessing or ByteLevel");
    }
  }
  return Status();
}

// At most one token before the text, none behind it.
Status PipelineReader::read_template(const Step& step) {
  const JsonValue single = step.value["single"];
  const std::string path = step.path + ".single";
  if (single.size() == 0 || single.size() > 2 || !single[single.size() - 1]["Sequence"].exists()) {
    return wrong(Code::kUnsupported, path, "at most one token, then the text", found_text(single));
  }
  if (single.size() == 1) return Status();
  const JsonValue name = single[size_t{0}]["SpecialToken"]["id"];
  const JsonValue ids =
      name.is_string() ? step.value["special_tokens"][name.string()]["ids"] : JsonValue();
  const uint64_t id = ids.size() == 1 ? ids[size_t{0}].unsigned_integer().value_or(kNoId) : kNoId;
  if (id >= kMaxVocab || header().bos != kNoId) {
    return wrong(Code::kMalformed, path, "one token of the vocabulary", found_text(name));
  }
  header().bos = static_cast<uint32_t>(id);
  return Status();
}

}  // namespace

Result<TokenizerPipeline> read_pipeline(JsonValue root, std::string_view file) {
  return PipelineReader(root, file).read();
}

}  // namespace trit
