// See reader.h and FORMAT.md. In the order of the file: header, section table, sections (their
// contents in head_sections.cc), block table. Each step relies only on what came before it.
#include "model_format/reader.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "model_format/checksum.h"
#include "model_format/file_layout.h"
#include "model_format/head_sections.h"

namespace trit {

class HeadParser {
 public:
  explicit HeadParser(ModelReader* out)
      : out_(out), file_{out->path_, "header", 0, out->head_.data(), out->size_} {}

  Status parse_start() {
    TRIT_RETURN_IF_ERROR(parse_version());
    return parse_header();
  }
  Status parse() {
    TRIT_RETURN_IF_ERROR(parse_start());
    if (out_->head_.size() < out_->head_bytes_)
      return file_error(Code::kIo, out_->path_, "changed while it was opened");
    TRIT_RETURN_IF_ERROR(parse_sections());
    TRIT_RETURN_IF_ERROR(parse_contents());
    return parse_blocks();
  }

 private:
  Status parse_version();
  Status parse_header();
  Status parse_sections();
  Status parse_contents();
  Status parse_blocks();
  Status parse_block(const Region& record, bool base, BlockInfo* block);
  Status too_short(uint64_t needed, std::string_view what) const;

  const Region& region(SectionKind kind) const { return sections_[static_cast<size_t>(kind)]; }
  Span<const uint8_t> bytes(SectionKind kind) const {
    return {region(kind).data, static_cast<size_t>(region(kind).bytes)};
  }

  ModelReader* out_;
  Region file_;
  Region sections_[kSectionKinds + 1];  // by kind
  uint64_t blocks_end_ = 0;             // of the blocks read so far
  std::vector<uint32_t> next_plane_;    // per matrix: the residual plane that comes next
};

Status HeadParser::too_short(uint64_t needed, std::string_view what) const {
  return bad_field(Code::kMalformed, file_.file, "size", "end of file",
                   "at least " + std::to_string(needed) + " bytes (" + std::string(what) + ")",
                   std::to_string(file_.bytes) + " bytes");
}

Status HeadParser::parse_version() {
  const uint16_t one = 1;
  uint8_t low = 0;
  std::memcpy(&low, &one, 1);
  if (low != 1)
    return file_error(Code::kUnsupported, out_->path_, ".trit files need a little-endian machine");
  const size_t present = std::min<size_t>(file_.bytes, sizeof kMagic);
  if (present > 0 && std::memcmp(file_.data, kMagic, present) != 0)
    return file_.bad(header::kMagic,
                     "a .trit file (tritstack quantize makes one of a Hugging Face folder, and "
                     "goes on with a .partial file; GGUF is not read)",
                     quoted({reinterpret_cast<const char*>(file_.data), present}),
                     Code::kUnsupported);
  if (file_.bytes < header::kBytes) return too_short(header::kBytes, "the header");
  out_->version_major_ = file_.get<uint16_t>(header::kMajor);
  out_->version_minor_ = file_.get<uint16_t>(header::kMinor);
  if (out_->version_major_ == kVersionMajor) return Status();
  return file_.bad(
      header::kMajor, "format version " + std::to_string(kVersionMajor) + ".x",
      std::to_string(out_->version_major_) + "." + std::to_string(out_->version_minor_),
      Code::kUnsupported);
}

Status HeadParser::parse_header() {
  const uint32_t count = file_.get<uint32_t>(header::kSections);
  TRIT_RETURN_IF_ERROR(file_.in_range(header::kSections, count, kSectionKinds, kMaxSections));
  const uint32_t header_bytes = header::kBytes + section_entry::kBytes * count;
  TRIT_RETURN_IF_ERROR(
      file_.equal(header::kHeaderBytes, file_.get<uint32_t>(header::kHeaderBytes), header_bytes));
  if (file_.bytes < header_bytes) return too_short(header_bytes, "header_bytes");
  const uint64_t hash = file_.get<uint64_t>(header::kHash);
  const uint64_t expected = header_hash(file_.data, count);
  TRIT_RETURN_IF_ERROR(
      file_.require(header::kHash, hash == expected, hex_text(expected), hex_text(hash)));
  TRIT_RETURN_IF_ERROR(file_.equal(header::kReserved, file_.get<uint32_t>(header::kReserved), 0));
  out_->file_bytes_ = file_.get<uint64_t>(header::kFileBytes);
  out_->head_bytes_ = file_.get<uint64_t>(header::kHeadBytes);
  out_->base_end_ = file_.get<uint64_t>(header::kBaseEnd);
  out_->file_id_ = file_.get<uint64_t>(header::kFileId);
  if (file_.bytes < out_->head_bytes_)
    return too_short(out_->head_bytes_, "head_bytes; of a download, wait for more");
  if (file_.bytes > out_->file_bytes_)
    return bad_field(Code::kMalformed, file_.file, "size", "end of file",
                     "at most " + std::to_string(out_->file_bytes_) + " bytes (file_bytes)",
                     std::to_string(file_.bytes - out_->file_bytes_) + " more after the model");
  TRIT_RETURN_IF_ERROR(file_.require(header::kFileBytes, out_->file_bytes_ <= kMaxFileBytes,
                                     "at most 2^62", std::to_string(out_->file_bytes_)));
  TRIT_RETURN_IF_ERROR(file_.require(
      header::kHeadBytes, out_->head_bytes_ >= header_bytes && out_->head_bytes_ <= kMaxHeadBytes,
      "at least header_bytes, " + std::to_string(header_bytes) + ", and at most 2^30",
      std::to_string(out_->head_bytes_)));
  return file_.require(header::kBaseEnd, out_->base_end_ >= out_->head_bytes_,
                       "at least head_bytes, " + std::to_string(out_->head_bytes_),
                       std::to_string(out_->base_end_));
}

Status HeadParser::parse_sections() {
  const uint32_t count = file_.get<uint32_t>(header::kSections);
  uint64_t end = header::kBytes + uint64_t{section_entry::kBytes} * count;
  uint32_t last_kind = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const Region entry = file_.part(header::kBytes + uint64_t{section_entry::kBytes} * i,
                                    section_entry::kBytes, "sections[" + std::to_string(i) + "]");
    const uint32_t kind = entry.get<uint32_t>(section_entry::kKind);
    // Kinds ascend, and the ones that version 1 has are all there: the first nine.
    if (i < kSectionKinds) {
      TRIT_RETURN_IF_ERROR(entry.equal(section_entry::kKind, kind, i + 1));
    } else {
      TRIT_RETURN_IF_ERROR(
          entry.in_range(section_entry::kKind, kind, int64_t{last_kind} + 1, UINT32_MAX));
    }
    last_kind = kind;
    const uint32_t flags = entry.get<uint32_t>(section_entry::kFlags);
    if (i < kSectionKinds) {
      TRIT_RETURN_IF_ERROR(entry.equal(section_entry::kFlags, flags, section_entry::kRequired));
    } else if (flags != 0) {
      return entry.bad(section_entry::kFlags, "no required section of unknown kind",
                       "flags " + std::to_string(flags) + " of kind " + std::to_string(kind),
                       Code::kUnsupported);
    }
    const uint64_t offset = align_up(end, kAlign);
    TRIT_RETURN_IF_ERROR(
        entry.equal(section_entry::kOffset, entry.get<uint64_t>(section_entry::kOffset), offset));
    const uint64_t size = entry.get<uint64_t>(section_entry::kSize);
    TRIT_RETURN_IF_ERROR(entry.require(
        section_entry::kSize, offset <= out_->head_bytes_ && size <= out_->head_bytes_ - offset,
        "a section that ends inside head_bytes", std::to_string(size)));
    TRIT_RETURN_IF_ERROR(file_.zeros(end, offset));
    const std::string name = i < kSectionKinds ? kSectionNames[kind] : entry.name;
    const Region section = file_.part(offset, size, name);
    const uint64_t hash = entry.get<uint64_t>(section_entry::kHash);
    const uint64_t expected = hash64(section.data, size, section_seed(out_->file_id_, kind));
    if (hash != expected)
      return bad_field(Code::kMalformed, file_.file, name + " section hash",
                       "offset " + std::to_string(offset), hex_text(hash), hex_text(expected));
    if (i < kSectionKinds) sections_[kind] = section;
    end = offset + size;
  }
  TRIT_RETURN_IF_ERROR(file_.equal(header::kHeadBytes, out_->head_bytes_, align_up(end, kAlign)));
  return file_.zeros(end, out_->head_bytes_);
}

Status HeadParser::parse_contents() {
  std::vector<Span<const uint8_t>> by_kind;
  for (const Region& r : sections_) by_kind.emplace_back(r.data, static_cast<size_t>(r.bytes));
  const uint64_t identity = identity_hash(by_kind);
  TRIT_RETURN_IF_ERROR(file_.require(header::kFileId, out_->file_id_ == identity,
                                     hex_text(identity), hex_text(out_->file_id_)));
  TRIT_RETURN_IF_ERROR(decode_config(region(SectionKind::kConfig), &out_->config_));
  TRIT_RETURN_IF_ERROR(decode_generation(region(SectionKind::kGeneration), &out_->generation_));
  TRIT_RETURN_IF_ERROR(
      decode_matrices(region(SectionKind::kMatrices), out_->config_, &out_->matrices_));
  TRIT_RETURN_IF_ERROR(decode_errors(region(SectionKind::kErrors), &out_->matrices_));
  TRIT_RETURN_IF_ERROR(
      decode_vectors(region(SectionKind::kVectors), out_->config_, &out_->vectors_));
  out_->tokenizer_ = bytes(SectionKind::kTokenizer);
  const auto text = [&](SectionKind kind) {
    return std::string_view(reinterpret_cast<const char*>(region(kind).data),
                            static_cast<size_t>(region(kind).bytes));
  };
  out_->chat_template_ = text(SectionKind::kChatTemplate);
  out_->quantizer_options_ = text(SectionKind::kOptions);
  return Status();
}

Status HeadParser::parse_blocks() {
  const Region& s = region(SectionKind::kBlocks);
  uint64_t count = 0;
  for (const MatrixInfo& m : out_->matrices_) {
    count += m.planes;
    out_->base_blocks_ += m.base_planes;
    next_plane_.push_back(m.base_planes);
  }
  TRIT_RETURN_IF_ERROR(s.has_bytes(count * block_record::kBytes));
  blocks_end_ = out_->head_bytes_;
  BlockInfo expected;  // base blocks: matrix by matrix, plane by plane
  for (uint64_t i = 0; i < count; ++i) {
    const Region record =
        s.part(i * block_record::kBytes, block_record::kBytes, "blocks[" + std::to_string(i) + "]");
    const bool base = i < out_->base_blocks_;
    BlockInfo block = expected;
    TRIT_RETURN_IF_ERROR(parse_block(record, base, &block));
    out_->blocks_.push_back(block);
    if (base && ++expected.plane == out_->matrices_[expected.matrix].base_planes) {
      ++expected.matrix;
      expected.plane = 0;
    }
  }
  out_->whole_blocks_ = out_->whole_blocks_in(file_.bytes);
  return file_.equal(header::kFileBytes, out_->file_bytes_, blocks_end_);
}

// A base block comes with the matrix and plane that its place asks for.
Status HeadParser::parse_block(const Region& r, bool base, BlockInfo* b) {
  using namespace block_record;
  const uint32_t matrix = r.get<uint32_t>(kMatrix), plane = r.get<uint32_t>(kPlane);
  if (base) {
    TRIT_RETURN_IF_ERROR(r.equal(kMatrix, matrix, b->matrix));
    TRIT_RETURN_IF_ERROR(r.equal(kPlane, plane, b->plane));
  } else {
    b->matrix = matrix;
    TRIT_RETURN_IF_ERROR(
        r.in_range(kMatrix, matrix, 0, static_cast<int64_t>(out_->matrices_.size()) - 1));
    b->plane = next_plane_[matrix]++;
    TRIT_RETURN_IF_ERROR(r.equal(kPlane, plane, b->plane));
    TRIT_RETURN_IF_ERROR(r.in_range(kPlane, plane, 0, int64_t{out_->matrices_[matrix].planes} - 1));
  }
  b->bytes = r.get<uint64_t>(kSize);
  TRIT_RETURN_IF_ERROR(r.equal(kSize, b->bytes, block_bytes(out_->matrices_[b->matrix], b->plane)));
  b->offset = r.get<uint64_t>(kOffset);
  const bool first_residual = !base && out_->blocks_.size() == out_->base_blocks_;
  const uint64_t lowest = align_up(blocks_end_, first_residual ? kResidualAlign : kAlign);
  TRIT_RETURN_IF_ERROR(r.require(
      kOffset,
      b->offset >= lowest && b->offset % kAlign == 0 && b->offset <= out_->file_bytes_ &&
          b->bytes <= out_->file_bytes_ - b->offset,
      "a multiple of 64 from " + std::to_string(lowest) + " that keeps the block inside file_bytes",
      std::to_string(b->offset)));
  blocks_end_ = b->offset + b->bytes;
  b->hash = r.get<uint64_t>(block_record::kHash);
  b->gain = r.get<float>(kGain);
  TRIT_RETURN_IF_ERROR(r.require(kGain, base ? r.get<uint32_t>(kGain) == 0 : std::isfinite(b->gain),
                                 base ? "0" : "a finite number", number_text(b->gain)));
  b->quality = r.get<float>(kQuality);
  TRIT_RETURN_IF_ERROR(r.require(
      kQuality,
      r.get<uint32_t>(kQuality) == kNotMeasured || (std::isfinite(b->quality) && b->quality >= 0),
      "at least 0 and finite, or the NaN 0x7fc00000", number_text(b->quality)));
  if (base && out_->blocks_.size() + 1 == out_->base_blocks_)
    return file_.equal(header::kBaseEnd, out_->base_end_, blocks_end_);
  return Status();
}

Result<ModelReader> ModelReader::open(const std::string& path, IoMode io) {
  Result<std::shared_ptr<const InputFile>> file = InputFile::open(path, io);
  if (!file.ok()) return file.status();
  ModelReader reader;
  reader.path_ = path;
  reader.file_ = std::move(file.value());
  reader.size_ = reader.file_->size();
  // The header first: only what its hash vouches for says how much there is to read.
  constexpr uint64_t kMaxHeader = header::kBytes + uint64_t{section_entry::kBytes} * kMaxSections;
  TRIT_RETURN_IF_ERROR(reader.read_head(kMaxHeader));
  TRIT_RETURN_IF_ERROR(HeadParser(&reader).parse_start());
  TRIT_RETURN_IF_ERROR(reader.read_head(std::max(reader.head_bytes_, kMaxHeader)));
  TRIT_RETURN_IF_ERROR(HeadParser(&reader).parse());
  return reader;
}

Status ModelReader::read_head(uint64_t bytes) {
  // Read, not mapped: a file that is cut or changed while it is in use may turn weights into other
  // numbers, but never an index that was checked.
  Result<MappedFile> head = MappedFile::open(file_, 0, std::min(size_, bytes), IoMode::kRead);
  if (!head.ok()) return head.status();
  head_ = std::move(head.value());
  return Status();
}

size_t ModelReader::whole_blocks_in(uint64_t size) const {
  const auto ends_later = [](uint64_t end, const BlockInfo& b) { return end < b.offset + b.bytes; };
  const auto cut = std::upper_bound(blocks_.begin(), blocks_.end(), size, ends_later);
  return static_cast<size_t>(cut - blocks_.begin());
}

size_t ModelReader::whole_blocks_now() const {
  return whole_blocks_in(file_->size());
}

Status ModelReader::check_base() const {
  if (size_ >= base_end_) return Status();
  return bad_field(Code::kMalformed, path_, "size", "end of file",
                   "at least " + std::to_string(base_end_) + " bytes (base_end)",
                   std::to_string(size_) + " bytes");
}

size_t ModelReader::matrix_index(MatrixRole role, uint32_t layer) const {
  assert(role != MatrixRole::kHead || !config_.tied_head);
  return matrix_position(config_, role, layer);
}

Span<const float> ModelReader::vector(VectorRole role, uint32_t layer) const {
  return vectors_[static_cast<size_t>(role) * config_.n_layers + layer];
}

}  // namespace trit
