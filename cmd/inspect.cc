// tritstack inspect: what a .trit file holds, from its head alone.
#include <cinttypes>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/model_flags.h"
#include "cmd/common/output.h"
#include "model_format/reader.h"
#include "runtime/text/tokenizer.h"

namespace trit {

namespace {

uint64_t matrix_bytes(const MatrixInfo& m) {
  uint64_t bytes = 0;
  for (uint32_t plane = 0; plane < m.planes; ++plane) bytes += block_bytes(m, plane);
  return bytes;
}

std::string tokenizer_name(const ModelReader& reader) {
  if (reader.tokenizer().empty()) return "none";
  const Result<Tokenizer> tokenizer =
      Tokenizer::open(reader.tokenizer(), reader.config().vocab, reader.path());
  return tokenizer.ok() ? tokenizer->kind_name() : "damaged";
}

std::vector<std::string> features(const ModelConfig& c) {
  std::vector<std::string> names = {c.activation == Activation::kRelu2 ? "relu2" : "silu"};
  if (c.tied_head) names.push_back("tied head");
  if (c.qkv_bias) names.push_back("qkv bias");
  if (c.o_bias) names.push_back("o bias");
  if (c.ffn_bias) names.push_back("ffn bias");
  if (c.qk_norm) names.push_back("qk norm");
  if (c.sub_norm) names.push_back("sub norms");
  return names;
}

// Bytes of the file by what they are for; the last is what no other kind claims.
struct Share {
  std::string kind;
  uint64_t bytes;
};

std::vector<Share> shares(const ModelReader& reader) {
  std::vector<Share> list;
  uint64_t claimed = reader.head_bytes();
  for (uint32_t role = 0; role < kMatrixRoles; ++role) {
    uint64_t bytes = 0;
    for (const MatrixInfo& m : reader.matrices()) {
      if (m.role == static_cast<MatrixRole>(role)) bytes += matrix_bytes(m);
    }
    if (bytes) list.push_back({role_name(static_cast<MatrixRole>(role)), bytes});
    claimed += bytes;
  }
  list.push_back({"tokenizer", reader.tokenizer().size()});
  list.push_back({"rest of the head", reader.head_bytes() - reader.tokenizer().size()});
  list.push_back({"gaps between blocks", reader.file_bytes() - claimed});
  return list;
}

void print_text(const ModelReader& reader, bool sizes) {
  const ModelConfig& c = reader.config();
  print(format("%s: %s, %s, format %u.%u, id %016" PRIx64 "\n", reader.path().c_str(),
               c.name.c_str(), c.architecture.c_str(), reader.version_major(),
               reader.version_minor(), reader.file_id()));
  print(format("  layers %u, hidden %u, heads %u (kv %u) of %u, ffn %u, vocab %u, positions %u\n",
               c.n_layers, c.hidden, c.n_heads, c.n_kv_heads, c.head_dim, c.ffn, c.vocab,
               c.max_positions));
  print("  features: " + joined(features(c)) + "\n");
  print("  tokenizer: " + tokenizer_name(reader) + ", chat format " + family_name(c.chat_family));
  print(format(", %zu end tokens\n", c.end_tokens.size()));
  print(format("  %zu of %zu blocks here (%zu base), %" PRIu64 " bytes\n\n", reader.whole_blocks(),
               reader.blocks().size(), reader.base_blocks(), reader.file_bytes()));
  if (sizes) {
    for (const Share& share : shares(reader)) {
      print(format(
          "%-20s %14" PRIu64 " %6.2f %%\n", share.kind.c_str(), share.bytes,
          100.0 * static_cast<double>(share.bytes) / static_cast<double>(reader.file_bytes())));
    }
    return;
  }
  print(format("%-20s %8s %8s %7s %-8s %14s\n", "matrix", "rows", "cols", "planes", "encoding",
               "bytes"));
  for (const MatrixInfo& m : reader.matrices()) {
    print(format("%-20s %8u %8u %7u %-8s %14" PRIu64 "\n", matrix_name(m).c_str(), m.rows, m.cols,
                 m.planes, encoding_name(m.encoding), matrix_bytes(m)));
  }
  print("\nresidual planes in stored order:");
  for (size_t i = reader.base_blocks(); i < reader.blocks().size(); ++i) {
    const BlockInfo& block = reader.blocks()[i];
    print(" " + matrix_name(reader.matrices()[block.matrix]) + format("/%u", block.plane + 1));
  }
  print("\n");
}

void write_matrices(const ModelReader& reader, JsonWriter* out) {
  out->key("matrices").begin_array();
  for (const MatrixInfo& m : reader.matrices()) {
    out->begin_object().member("name", matrix_name(m)).member("rows", m.rows);
    out->member("cols", m.cols).member("group", m.group).member("planes", m.planes);
    out->member("base_planes", m.base_planes).member("encoding", encoding_name(m.encoding));
    out->member("bytes", matrix_bytes(m)).end_object();
  }
  out->end_array().key("stack").begin_array();
  for (const BlockInfo& block : reader.blocks()) {
    out->begin_object().member("matrix", matrix_name(reader.matrices()[block.matrix]));
    out->member("plane", block.plane + 1).member("offset", block.offset);
    out->member("bytes", block.bytes).member("gain", static_cast<double>(block.gain)).end_object();
  }
  out->end_array();
}

void print_json(const ModelReader& reader, bool sizes) {
  const ModelConfig& c = reader.config();
  JsonWriter out;
  out.begin_object().member("file", reader.path()).member("name", c.name);
  out.member("architecture", c.architecture);
  out.member("format", format("%u.%u", reader.version_major(), reader.version_minor()));
  out.member("file_id", format("%016" PRIx64, reader.file_id()));
  out.member("file_bytes", reader.file_bytes()).member("n_layers", c.n_layers);
  out.member("hidden", c.hidden).member("n_heads", c.n_heads).member("n_kv_heads", c.n_kv_heads);
  out.member("head_dim", c.head_dim).member("ffn", c.ffn).member("vocab", c.vocab);
  out.member("max_positions", c.max_positions).key("features").begin_array();
  for (const std::string& feature : features(c)) out.value(feature);
  out.end_array().member("tokenizer", tokenizer_name(reader));
  out.member("chat_family", family_name(c.chat_family)).key("end_tokens").begin_array();
  for (const int32_t id : c.end_tokens) out.value(id);
  out.end_array().member("blocks", uint64_t{reader.blocks().size()});
  out.member("base_blocks", uint64_t{reader.base_blocks()});
  out.member("whole_blocks", uint64_t{reader.whole_blocks()});
  write_matrices(reader, &out);
  if (sizes) {
    out.key("sizes").begin_object();
    for (const Share& share : shares(reader)) out.member(share.kind, share.bytes);
    out.end_object();
  }
  print(out.end_object().text() + "\n");
}

}  // namespace

int inspect_command(int argc, char** argv) {
  ModelFlags flags;
  bool sizes = false, json = false;
  const CommandLine command = {
      "inspect", "show what a .trit file holds",
      "  tritstack inspect qwen.trit\n"
      "  tritstack inspect qwen.trit --sizes\n",
      join_flags(file_flags(&flags),
                 {{"--sizes", "", "bytes by kind instead of matrices", SwitchTarget{&sizes}},
                  {"--json", "", "print one JSON object", SwitchTarget{&json}}})};
  if (const auto end = parse_args(command, argc, argv)) return *end;
  announce_file(flags);
  const Result<ModelReader> reader = ModelReader::open(*flags.model);
  if (!reader.ok()) return fail(reader.status());
  json ? print_json(reader.value(), sizes) : print_text(reader.value(), sizes);
  return TRIT_OK;
}

}  // namespace trit
