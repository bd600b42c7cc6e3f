// See json.h. Not here: numbers wider than 64 bits, writing beyond json_quoted.
//
// The one idea: a container's children wait on a stack until it closes and then move as one run to
// the arena, so elements are indexed in O(1). Every object also keeps its members sorted by name:
// duplicates are neighbours there, and a lookup is a binary search, whatever the names are.
#include "model_format/json.h"

#include <algorithm>
#include <charconv>
#include <locale>
#include <sstream>

#include "model_format/utf8.h"

namespace trit {

struct JsonDocument::Nodes {
  struct Node {
    uint32_t begin = 0, end = 0;  // of the value in the text
    uint32_t first = 0;           // container: first child; string with escapes: in `decoded`
    uint32_t count = 0;           // container: elements or members; such a string: its bytes
    uint32_t sorted = 0;          // object: its run in `sorted`
    JsonType type = JsonType::kNull;
    bool escaped = false;
  };
  std::string_view text;
  std::vector<Node> nodes;       // an object's children alternate: name, value; the root is last
  std::vector<uint32_t> sorted;  // members of each object, ordered by name
  std::string decoded;           // strings that held escapes

  std::string_view string_of(const Node& node) const {
    if (node.escaped) return std::string_view(decoded).substr(node.first, node.count);
    return text.substr(node.begin + 1, node.end - node.begin - 2);
  }
  std::string_view name(const Node& object, uint32_t member) const {
    return string_of(nodes[object.first + 2 * member]);
  }
};

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

template <typename T>
std::optional<T> whole_number(std::string_view text) {
  T value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

void append_utf8(std::string* out, uint32_t code) {
  const auto push = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    push(code);
    return;
  }
  if (code < 0x800) {
    push(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      push(0xe0 | code >> 12);
    } else {
      push(0xf0 | code >> 18);
      push(0x80 | (code >> 12 & 63));
    }
    push(0x80 | (code >> 6 & 63));
  }
  push(0x80 | (code & 63));
}

}  // namespace

class JsonParser {
 public:
  using Node = JsonDocument::Nodes::Node;

  JsonParser(JsonDocument::Nodes* out, std::string_view file)
      : out_(out), text_(out->text), file_(file) {}

  Status parse() {
    Node root;
    skip_space();
    if (!parse_value(&root, 0)) return error_;
    skip_space();
    if (at_ != text_.size()) {
      fail("end of text");
      return error_;
    }
    out_->nodes.push_back(root);
    return Status();
  }

 private:
  static constexpr int kMaxDepth = 64;
  static constexpr int kMaxDecimalExponent = 308;  // every number is below 1e308

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }

  bool fail(std::string_view expected) {
    const std::string found =
        at_ < text_.size() ? quoted(text_.substr(at_, 16)) : std::string("end of text");
    return fail(expected, at_, found);
  }
  bool fail(std::string_view expected, size_t at, std::string_view found) {
    error_ =
        bad_field(Code::kMalformed, file_, "JSON", "offset " + std::to_string(at), expected, found);
    return false;
  }

  bool parse_value(Node* node, int depth) {
    node->begin = static_cast<uint32_t>(at_);
    bool ok = false;
    switch (peek()) {
      case '{':
        ok = parse_container(node, JsonType::kObject, depth + 1);
        break;
      case '[':
        ok = parse_container(node, JsonType::kArray, depth + 1);
        break;
      case '"':
        ok = parse_string(node);
        break;
      case 't':
        ok = parse_word(node, "true", JsonType::kBool);
        break;
      case 'f':
        ok = parse_word(node, "false", JsonType::kBool);
        break;
      case 'n':
        ok = parse_word(node, "null", JsonType::kNull);
        break;
      default:
        ok = parse_number(node);
    }
    node->end = static_cast<uint32_t>(at_);
    return ok;
  }

  bool parse_word(Node* node, std::string_view word, JsonType type) {
    if (text_.substr(at_, word.size()) != word) return fail("a value");
    at_ += word.size();
    node->type = type;
    return true;
  }

  bool parse_number(Node* node) {
    node->type = JsonType::kNumber;
    const size_t begin = at_;
    const bool negative = take('-');
    if (!is_digit(peek())) {
      at_ = begin;
      return fail(negative ? "a number" : "a value");
    }
    int64_t magnitude = 1;  // decimal exponent: the value is below 10^magnitude
    if (!take('0')) magnitude = static_cast<int64_t>(skip_digits());
    if (take('.') && skip_digits() == 0) return fail("a digit");
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      const bool below_one = peek() == '-';
      if (below_one || peek() == '+') ++at_;
      const size_t digits = at_;
      if (skip_digits() == 0) return fail("a digit");
      int64_t exponent = 0;
      for (size_t i = digits; i < at_; ++i)
        exponent = std::min<int64_t>(exponent * 10 + (text_[i] - '0'), int64_t{1} << 40);
      magnitude += below_one ? -exponent : exponent;
    }
    if (magnitude <= kMaxDecimalExponent) return true;
    return fail("a number below 1e308", begin, quoted(text_.substr(begin, at_ - begin)));
  }

  size_t skip_digits() {
    const size_t begin = at_;
    while (is_digit(peek())) ++at_;
    return at_ - begin;
  }

  bool parse_string(Node* node) {
    node->type = JsonType::kString;
    const size_t begin = ++at_;
    while (at_ < text_.size()) {
      const unsigned char c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') {
        if (node->escaped) node->count = static_cast<uint32_t>(out_->decoded.size() - node->first);
        ++at_;
        return true;
      }
      if (c < 0x20) return fail("no control character in a string");
      if (c == '\\') {
        if (!node->escaped) {
          node->escaped = true;
          node->first = static_cast<uint32_t>(out_->decoded.size());
          out_->decoded += text_.substr(begin, at_ - begin);
        }
        if (!parse_escape()) return false;
        continue;
      }
      const size_t bytes = c < 0x80 ? 1 : utf8_character_bytes(text_.substr(at_));
      if (bytes == 0) return fail("UTF-8");
      if (node->escaped) out_->decoded.append(text_, at_, bytes);
      at_ += bytes;
    }
    return fail("'\"'");
  }

  bool parse_escape() {
    constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
    const size_t begin = at_++;
    if (at_ == text_.size()) return fail("an escape");
    if (const size_t i = kNames.find(peek()); i != kNames.npos) {
      out_->decoded.push_back(kValues[i]);
      ++at_;
      return true;
    }
    uint32_t code = 0, low = 0;
    bool ok = parse_hex(&code);
    if (ok && code >= 0xd800 && code < 0xdc00) {
      ok = take('\\') && parse_hex(&low) && low >= 0xdc00 && low < 0xe000;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
      ok = false;
    }
    if (!ok) return fail("an escape", begin, quoted(text_.substr(begin, 12)));
    append_utf8(&out_->decoded, code);
    return true;
  }

  // uXXXX
  bool parse_hex(uint32_t* code) {
    if (!take('u') || text_.size() - at_ < 4) return false;
    *code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const int digit = hex_digit(text_[at_]);
      if (digit < 0) return false;
      *code = *code * 16 + static_cast<uint32_t>(digit);
    }
    return true;
  }

  bool parse_container(Node* node, JsonType type, int depth) {
    if (depth > kMaxDepth) return fail("at most 64 levels of nesting");
    const bool object = type == JsonType::kObject;
    const char close = object ? '}' : ']';
    node->type = type;
    const size_t waiting = stack_.size();
    ++at_;
    skip_space();
    if (!take(close)) {
      do {
        skip_space();
        if (object && !parse_name()) return false;
        Node child;
        if (!parse_value(&child, depth)) return false;
        stack_.push_back(child);
        skip_space();
      } while (take(','));
      if (!take(close)) return fail(object ? "',' or '}'" : "',' or ']'");
    }
    node->first = static_cast<uint32_t>(out_->nodes.size());
    node->count = static_cast<uint32_t>((stack_.size() - waiting) / (object ? 2 : 1));
    out_->nodes.insert(out_->nodes.end(), stack_.begin() + static_cast<ptrdiff_t>(waiting),
                       stack_.end());
    stack_.resize(waiting);
    return !object || sort_members(node);
  }

  bool parse_name() {
    Node name;
    name.begin = static_cast<uint32_t>(at_);
    if (peek() != '"') return fail("'\"' of a member name");
    if (!parse_string(&name)) return false;
    name.end = static_cast<uint32_t>(at_);
    stack_.push_back(name);
    skip_space();
    if (!take(':')) return fail("':'");
    skip_space();
    return true;
  }

  bool sort_members(Node* object) {
    std::vector<uint32_t>& sorted = out_->sorted;
    object->sorted = static_cast<uint32_t>(sorted.size());
    for (uint32_t i = 0; i < object->count; ++i) sorted.push_back(i);
    const auto begin = sorted.begin() + object->sorted;
    const auto name = [&](uint32_t i) { return out_->name(*object, i); };
    std::sort(begin, sorted.end(), [&](uint32_t a, uint32_t b) { return name(a) < name(b); });
    const auto twin = std::adjacent_find(
        begin, sorted.end(), [&](uint32_t a, uint32_t b) { return name(a) == name(b); });
    if (twin == sorted.end()) return true;
    const Node& second = out_->nodes[object->first + 2 * std::max(twin[0], twin[1])];
    return fail("each member name once", second.begin, quoted(out_->string_of(second)));
  }

  JsonDocument::Nodes* out_;
  std::string_view text_, file_;
  size_t at_ = 0;
  std::vector<Node> stack_;
  Status error_;
};

JsonDocument::JsonDocument() : nodes_(new Nodes) {}
JsonDocument::~JsonDocument() = default;

Result<std::unique_ptr<JsonDocument>> JsonDocument::parse(std::string_view text,
                                                          std::string_view file) {
  constexpr size_t kMaxText = size_t{1} << 30;  // offsets are 32 bits
  if (text.size() > kMaxText)
    return bad_field(Code::kMalformed, file, "JSON", "offset 0", "at most 1 GiB",
                     std::to_string(text.size()) + " bytes");
  std::unique_ptr<JsonDocument> document(new JsonDocument);
  document->nodes_->text = text;
  TRIT_RETURN_IF_ERROR(JsonParser(document->nodes_.get(), file).parse());
  return document;
}

JsonValue JsonDocument::root() const {
  return JsonValue(this, static_cast<uint32_t>(nodes_->nodes.size() - 1));
}

JsonType JsonValue::type() const {
  return document_ ? document_->nodes_->nodes[node_].type : JsonType::kNull;
}

std::string_view JsonValue::text() const {
  if (!document_) return {};
  const auto& node = document_->nodes_->nodes[node_];
  return document_->nodes_->text.substr(node.begin, node.end - node.begin);
}

uint64_t JsonValue::offset() const {
  return document_ ? document_->nodes_->nodes[node_].begin : 0;
}

bool JsonValue::boolean() const {
  assert(is_bool());
  return text() == "true";
}

double JsonValue::number() const {
  assert(is_number());
  // Not strtod: the decimal point depends on the program's locale. Not std::from_chars: libc++
  // lacks it for doubles.
  std::istringstream in{std::string(text())};
  in.imbue(std::locale::classic());
  double value = 0;
  in >> value;
  return value;
}

std::optional<int64_t> JsonValue::integer() const {
  return is_number() ? whole_number<int64_t>(text()) : std::nullopt;
}

std::optional<uint64_t> JsonValue::unsigned_integer() const {
  return is_number() ? whole_number<uint64_t>(text()) : std::nullopt;
}

std::string_view JsonValue::string() const {
  assert(is_string());
  return document_->nodes_->string_of(document_->nodes_->nodes[node_]);
}

size_t JsonValue::size() const {
  return is_array() || is_object() ? document_->nodes_->nodes[node_].count : 0;
}

JsonValue JsonValue::operator[](size_t i) const {
  if (i >= size()) return {};
  const uint32_t first = document_->nodes_->nodes[node_].first;
  const uint32_t child = static_cast<uint32_t>(i);
  return JsonValue(document_, first + (is_object() ? 2 * child + 1 : child));
}

std::string_view JsonValue::key(size_t i) const {
  assert(is_object() && i < size());
  return document_->nodes_->name(document_->nodes_->nodes[node_], static_cast<uint32_t>(i));
}

JsonValue JsonValue::operator[](std::string_view name) const {
  if (!is_object()) return {};
  const JsonDocument::Nodes& nodes = *document_->nodes_;
  const auto& object = nodes.nodes[node_];
  const auto begin = nodes.sorted.begin() + object.sorted, end = begin + object.count;
  const auto found = std::lower_bound(
      begin, end, name, [&](uint32_t i, std::string_view n) { return nodes.name(object, i) < n; });
  if (found == end || nodes.name(object, *found) != name) return {};
  return JsonValue(document_, object.first + 2 * *found + 1);
}

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t bytes = utf8_character_bytes(text);
    const unsigned char c = static_cast<unsigned char>(text[0]);
    if (bytes == 0) {
      out += "\\ufffd";  // not UTF-8: JSON cannot say it
    } else if (c == '"' || c == '\\') {
      out += {'\\', text[0]};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      out += {'\\', 'u', '0', '0', "01234567"[c >> 4], "0123456789abcdef"[c & 15]};
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes ? bytes : 1);
  }
  return out + "\"";
}

}  // namespace trit
