// See writer.h and FORMAT.md. The one idea: the size of the head follows from the description, so
// every base block has its final place from the start, and residual blocks, whose order is known
// last, wait in a scratch file.
#include "model_format/writer.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "model_format/checksum.h"
#include "model_format/file_layout.h"
#include "model_format/head_sections.h"
#include "model_format/output_file.h"

namespace trit {
namespace {

constexpr uint64_t kCopyBytes = uint64_t{1} << 20;

struct Block {
  uint32_t matrix, plane;
  uint64_t offset, bytes, hash;
  float gain = 0, quality = kNoQuality;
};

std::vector<uint8_t> encode_blocks(const std::vector<Block>& blocks) {
  using namespace block_record;
  std::vector<uint8_t> out(kBytes * blocks.size());
  uint8_t* record = out.data();
  for (const Block& b : blocks) {
    store(record + kOffset.offset, b.offset);
    store(record + kSize.offset, b.bytes);
    store(record + block_record::kHash.offset, b.hash);
    store(record + kMatrix.offset, b.matrix);
    store(record + kPlane.offset, b.plane);
    store(record + kGain.offset, b.gain);
    if (std::isnan(b.quality))
      store(record + kQuality.offset, kNotMeasured);
    else
      store(record + kQuality.offset, b.quality);
    record += kBytes;
  }
  return out;
}

// Checks what encode_* made of a description with the eyes of the reader.
Status check_sections(const std::string& path, const std::vector<std::vector<uint8_t>>& sections) {
  const auto region = [&](SectionKind kind) {
    const uint32_t k = static_cast<uint32_t>(kind);
    return Region{path, kSectionNames[k], 0, sections[k].data(), sections[k].size()};
  };
  ModelConfig config;
  GenerationDefaults generation;
  std::vector<MatrixInfo> matrices;
  std::vector<Span<const float>> vectors;
  TRIT_RETURN_IF_ERROR(decode_config(region(SectionKind::kConfig), &config));
  TRIT_RETURN_IF_ERROR(decode_generation(region(SectionKind::kGeneration), &generation));
  TRIT_RETURN_IF_ERROR(decode_matrices(region(SectionKind::kMatrices), config, &matrices));
  return decode_vectors(region(SectionKind::kVectors), config, &vectors);
}

}  // namespace

struct ModelWriter::State {
  std::vector<MatrixInfo> matrices;
  std::vector<std::vector<uint8_t>> sections;  // by kind; [0] unused
  OutputFile output;
  OpenFile spill;
  PartialFile partial;  // instead of the spill, and for base blocks too, where one is kept
  bool keeps_partial = false;
  std::vector<std::vector<uint64_t>> places;  // [matrix][plane] offset in the output or the spill
  uint64_t file_id = 0, head_bytes = 0, base_end = 0, file_bytes = 0;

  bool is_base(uint32_t matrix, uint32_t plane) const {
    return plane < matrices[matrix].base_planes;
  }
  // Where a block is written before finish().
  struct Place {
    const OpenFile& file;
    uint64_t offset;
  };
  Place place(uint32_t matrix, uint32_t plane) const {
    if (partial.is_open()) return {partial.file(), partial.place(matrix, plane)};
    return {is_base(matrix, plane) ? output.file() : spill, places[matrix][plane]};
  }
  std::vector<uint8_t>& section(SectionKind kind) { return sections[static_cast<size_t>(kind)]; }
  uint64_t place_head();
  uint64_t place_blocks();
  Result<uint64_t> move_block(const Place& from, const Block& block);
  Status check_order(const std::vector<Residual>& order) const;
  Status write_head(const std::vector<Block>& blocks);
};

// Returns the bytes of the head; the sections must have their final sizes.
uint64_t ModelWriter::State::place_head() {
  uint64_t end = header::kBytes + section_entry::kBytes * kSectionKinds;
  for (uint32_t kind = 1; kind <= kSectionKinds; ++kind)
    end = align_up(end, kAlign) + sections[kind].size();
  return align_up(end, kAlign);
}

// Base blocks in the output, residual blocks in the spill; returns the size of the spill.
uint64_t ModelWriter::State::place_blocks() {
  uint64_t spill_bytes = 0;
  base_end = head_bytes;
  places.resize(matrices.size());
  for (uint32_t m = 0; m < matrices.size(); ++m) {
    for (uint32_t p = 0; p < matrices[m].planes; ++p) {
      const uint64_t bytes = block_bytes(matrices[m], p);
      const uint64_t place = is_base(m, p) ? block_start(base_end, matrices[m], p) : spill_bytes;
      (is_base(m, p) ? base_end : spill_bytes) = place + bytes;
      places[m].push_back(place);
    }
  }
  return spill_bytes;
}

ModelWriter::ModelWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
ModelWriter::~ModelWriter() {
  if (state_->partial.is_open() && !state_->keeps_partial) state_->partial.remove();
}

Result<std::unique_ptr<ModelWriter>> ModelWriter::create(const std::string& path, FileDescription d,
                                                         bool force, const uint64_t* resume) {
  auto state = std::make_unique<State>();
  State& s = *state;
  const auto bytes_of = [](const std::string& text) {
    return std::vector<uint8_t>(text.begin(), text.end());
  };
  s.sections.resize(kSectionKinds + 1);
  s.section(SectionKind::kConfig) = encode_config(d.config);
  s.section(SectionKind::kGeneration) = encode_generation(d.generation);
  s.section(SectionKind::kMatrices) = encode_matrices(d.matrices);
  s.section(SectionKind::kErrors) = encode_errors(d.matrices);
  s.section(SectionKind::kOptions) = bytes_of(d.quantizer_options);
  s.section(SectionKind::kTokenizer) = std::move(d.tokenizer);
  s.section(SectionKind::kChatTemplate) = bytes_of(d.chat_template);
  s.section(SectionKind::kVectors) = encode_vectors(std::move(d.vectors));
  TRIT_RETURN_IF_ERROR(check_sections(path, s.sections));
  s.matrices = std::move(d.matrices);
  size_t blocks = 0;
  for (const MatrixInfo& m : s.matrices) blocks += m.planes;
  s.section(SectionKind::kBlocks).resize(blocks * block_record::kBytes);
  std::vector<Span<const uint8_t>> bytes_by_kind(s.sections.begin(), s.sections.end());
  s.file_id = identity_hash(bytes_by_kind);
  s.head_bytes = s.place_head();
  if (s.head_bytes > kMaxHeadBytes)
    return Status(Code::kUnsupported, path + ": head: expected at most " +
                                          std::to_string(kMaxHeadBytes) + " bytes, found " +
                                          std::to_string(s.head_bytes));
  const uint64_t spill_bytes = s.place_blocks();

  Result<OutputFile> output = OutputFile::create(path, force);
  if (!output.ok()) return output.status();
  s.output = std::move(output.value());
  TRIT_RETURN_IF_ERROR(s.output.file().resize(s.base_end));
  if (resume) {
    const uint64_t identity[] = {s.file_id, *resume};
    Result<PartialFile> partial =
        PartialFile::open(path, hash64(identity, sizeof identity, 0), s.matrices, force);
    if (!partial.ok()) return partial.status();
    s.partial = std::move(partial.value());
  } else if (spill_bytes > 0) {
    Result<OpenFile> spill = open_scratch(path);
    if (!spill.ok()) return spill.status();
    s.spill = std::move(spill.value());
    TRIT_RETURN_IF_ERROR(s.spill.resize(spill_bytes));
  }
  return std::unique_ptr<ModelWriter>(new ModelWriter(std::move(state)));
}

Status ModelWriter::write(uint32_t matrix, uint32_t plane, uint64_t offset,
                          Span<const uint8_t> bytes) {
  const State& s = *state_;
  assert(matrix < s.matrices.size() && plane < s.matrices[matrix].planes);
  assert(offset + bytes.size() <= block_bytes(s.matrices[matrix], plane));
  const State::Place place = s.place(matrix, plane);
  return place.file.write(place.offset + offset, bytes.data(), bytes.size());
}

Status ModelWriter::finish_matrix(uint32_t matrix, const float* errors) {
  MatrixInfo& m = state_->matrices[matrix];
  std::copy(errors, errors + m.planes, m.errors);
  return state_->partial.is_open() ? state_->partial.finish(matrix, errors, m.planes) : Status();
}

const PartialFile& ModelWriter::partial() const {
  return state_->partial;
}

Result<std::vector<std::vector<uint8_t>>> ModelWriter::read_blocks(uint32_t matrix) const {
  const MatrixInfo& m = state_->matrices[matrix];
  std::vector<std::vector<uint8_t>> blocks(m.planes);
  for (uint32_t p = 0; p < m.planes; ++p) {
    blocks[p].resize(block_bytes(m, p));
    const State::Place place = state_->place(matrix, p);
    TRIT_RETURN_IF_ERROR(place.file.read(place.offset, blocks[p].data(), blocks[p].size()));
  }
  return blocks;
}

void ModelWriter::keep() {
  state_->keeps_partial = true;
}

uint64_t ModelWriter::file_bytes() const {
  return state_->file_bytes;
}

// The hash of a block whose bytes are read from `from`; copied to its place where that is another
// file. In pieces, so that memory stays bounded.
Result<uint64_t> ModelWriter::State::move_block(const Place& from, const Block& block) {
  std::vector<uint8_t> piece(std::min(block.bytes, kCopyBytes));
  Hasher hasher(block_seed(file_id, block.matrix, block.plane));
  for (uint64_t done = 0; done < block.bytes; done += piece.size()) {
    piece.resize(std::min(block.bytes - done, kCopyBytes));
    TRIT_RETURN_IF_ERROR(from.file.read(from.offset + done, piece.data(), piece.size()));
    hasher.update(piece.data(), piece.size());
    if (&from.file != &output.file())
      TRIT_RETURN_IF_ERROR(output.file().write(block.offset + done, piece.data(), piece.size()));
  }
  return hasher.digest();
}

Status ModelWriter::State::check_order(const std::vector<Residual>& order) const {
  std::vector<uint32_t> next;
  size_t residuals = 0;
  for (const MatrixInfo& m : matrices) {
    next.push_back(m.base_planes);
    residuals += m.planes - m.base_planes;
  }
  for (const Residual& r : order) {
    if (r.matrix >= next.size() || r.plane != next[r.matrix]++ ||
        r.plane >= matrices[r.matrix].planes)
      return Status(Code::kInternal, "residual order: block out of order");
  }
  if (order.size() != residuals)
    return Status(Code::kInternal, "residual order: not every residual block once");
  return Status();
}

Status ModelWriter::finish(const std::vector<Residual>& residual_order, float base_quality) {
  State& s = *state_;
  TRIT_RETURN_IF_ERROR(s.check_order(residual_order));
  std::vector<Block> blocks;
  for (uint32_t m = 0; m < s.matrices.size(); ++m) {
    for (uint32_t p = 0; p < s.matrices[m].base_planes; ++p)
      blocks.push_back({m, p, s.places[m][p], block_bytes(s.matrices[m], p), 0});
  }
  blocks.back().quality = base_quality;
  uint64_t end = s.base_end;
  if (!residual_order.empty()) end = align_up(end, kResidualAlign);
  for (const Residual& r : residual_order) {
    const MatrixInfo& m = s.matrices[r.matrix];
    const uint64_t offset = block_start(end, m, r.plane);
    blocks.push_back({r.matrix, r.plane, offset, block_bytes(m, r.plane), 0, r.gain, r.quality});
    end = offset + blocks.back().bytes;
  }
  TRIT_RETURN_IF_ERROR(s.output.file().resize(end));
  for (Block& block : blocks) {
    Result<uint64_t> hash = s.move_block(s.place(block.matrix, block.plane), block);
    if (!hash.ok()) return hash.status();
    block.hash = hash.value();
  }
  s.file_bytes = end;
  TRIT_RETURN_IF_ERROR(s.write_head(blocks));
  return s.output.publish();
}

Status ModelWriter::State::write_head(const std::vector<Block>& blocks) {
  section(SectionKind::kErrors) = encode_errors(matrices);
  section(SectionKind::kBlocks) = encode_blocks(blocks);
  std::vector<uint8_t> head(head_bytes);
  uint64_t end = header::kBytes + section_entry::kBytes * kSectionKinds;
  for (uint32_t kind = 1; kind <= kSectionKinds; ++kind) {
    const std::vector<uint8_t>& bytes = sections[kind];
    const uint64_t offset = align_up(end, kAlign);
    std::copy(bytes.begin(), bytes.end(), head.begin() + static_cast<ptrdiff_t>(offset));
    uint8_t* entry = &head[header::kBytes + section_entry::kBytes * (kind - 1)];
    store(entry + section_entry::kKind.offset, kind);
    store(entry + section_entry::kFlags.offset, section_entry::kRequired);
    store(entry + section_entry::kOffset.offset, offset);
    store(entry + section_entry::kSize.offset, uint64_t{bytes.size()});
    store(entry + section_entry::kHash.offset,
          hash64(bytes.data(), bytes.size(), section_seed(file_id, kind)));
    end = offset + bytes.size();
  }
  std::copy(std::begin(kMagic), std::end(kMagic), head.begin());
  store(&head[header::kMajor.offset], kVersionMajor);
  store(&head[header::kMinor.offset], kVersionMinor);
  store(&head[header::kHeaderBytes.offset], header::kBytes + section_entry::kBytes * kSectionKinds);
  store(&head[header::kFileBytes.offset], file_bytes);
  store(&head[header::kHeadBytes.offset], head_bytes);
  store(&head[header::kBaseEnd.offset], base_end);
  store(&head[header::kFileId.offset], file_id);
  store(&head[header::kSections.offset], kSectionKinds);
  store(&head[header::kHash.offset], header_hash(head.data(), kSectionKinds));
  return output.file().write(0, head.data(), head.size());
}

}  // namespace trit
