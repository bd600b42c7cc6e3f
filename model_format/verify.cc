// See verify.h. One pass over the file in stored order, read in pieces, so that memory stays
// bounded. A block's hash is judged before its contents: a damaged block is called damaged, and
// only a block that was written wrong is called by what is wrong in it.
#include "model_format/verify.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/half.h"
#include "kernels/trit_plane.h"
#include "model_format/checksum.h"
#include "model_format/file_layout.h"
#include "model_format/head_sections.h"
#include "model_format/reader.h"
#include "model_format/tokenizer_section.h"

namespace trit {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

class Verifier {
 public:
  Verifier(const ModelReader& model, const std::function<void(uint64_t, uint64_t)>& progress)
      : model_(model), progress_(progress) {}

  Result<VerifyReport> run() {
    const Span<const BlockInfo> blocks = model_.blocks();
    at_ = model_.head_bytes();
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (i == model_.whole_blocks()) return missing(blocks[i]);
      TRIT_RETURN_IF_ERROR(check_gap(blocks[i].offset));
      TRIT_RETURN_IF_ERROR(check_block(blocks[i]));
    }
    return VerifyReport{blocks.size(), model_.file_bytes()};
  }

 private:
  const uint8_t* here() const { return piece_.data(); }

  std::string name_of(const BlockInfo& b) const {
    return "block " + matrix_name(model_.matrices()[b.matrix]) + "/" + std::to_string(b.plane + 1);
  }
  Status wrong(const BlockInfo& b, std::string_view what, uint64_t offset,
               std::string_view expected, std::string_view found) const {
    return bad_field(Code::kMalformed, model_.path(), name_of(b) + std::string(what),
                     "offset " + std::to_string(offset), expected, found);
  }
  Status missing(const BlockInfo& b) const {
    return wrong(b, "", b.offset, std::to_string(model_.file_bytes()) + " bytes of file",
                 std::to_string(model_.size()) + " bytes (cut short)");
  }

  // The next bytes.
  Status read_piece(uint64_t bytes) {
    piece_.resize(bytes);
    return model_.file()->read(at_, piece_.data(), bytes);
  }
  // They are done.
  void advance() {
    at_ += piece_.size();
    if (progress_) progress_(at_, model_.file_bytes());
  }

  Status check_gap(uint64_t end) {
    while (at_ < end) {
      TRIT_RETURN_IF_ERROR(read_piece(std::min(end - at_, kPieceBytes)));
      const auto stray =
          std::find_if(piece_.begin(), piece_.end(), [](uint8_t b) { return b != 0; });
      if (stray != piece_.end())
        return bad_field(
            Code::kMalformed, model_.path(), "gap",
            "offset " + std::to_string(at_ + static_cast<uint64_t>(stray - piece_.begin())), "0",
            std::to_string(*stray));
      advance();
    }
    return Status();
  }

  Status check_block(const BlockInfo& b);
  Status check_scales(const BlockInfo& b, uint64_t done) const;
  Status check_digits(const BlockInfo& b, uint64_t first_row) const;
  Status check_vector(const BlockInfo& b, const uint8_t* vector, uint64_t rows,
                      uint64_t cols) const;
  Status check_values(const BlockInfo& b, uint64_t done) const;

  const ModelReader& model_;
  const std::function<void(uint64_t, uint64_t)>& progress_;
  std::vector<uint8_t> piece_;  // of the file, from at_
  uint64_t at_ = 0;
};

Status Verifier::check_block(const BlockInfo& b) {
  const MatrixInfo& m = model_.matrices()[b.matrix];
  const bool dense = is_dense(m.encoding);
  const uint64_t scales = block_scale_bytes(m, b.plane);
  const uint64_t tile = dense ? kAlign : row_vectors(m.cols, m.group) * kVectorBytes;
  const uint64_t most = std::max<uint64_t>(kPieceBytes / tile, 1) * tile;
  Hasher hasher(block_seed(model_.file_id(), b.matrix, b.plane));
  Status contents;
  for (uint64_t done = 0; done < b.bytes;) {
    const bool in_scales = done < scales;
    const uint64_t piece =
        in_scales ? std::min(scales - done, kPieceBytes) : std::min(b.bytes - done, most);
    TRIT_RETURN_IF_ERROR(read_piece(piece));
    hasher.update(here(), piece);
    if (contents.ok()) {
      contents = in_scales ? check_scales(b, done)
                 : dense   ? check_values(b, done)
                           : check_digits(b, (done - scales) / tile * kTileRows);
    }
    advance();
    done += piece;
  }
  const uint64_t hash = hasher.digest();
  if (hash != b.hash) return wrong(b, " hash", b.offset, hex_text(b.hash), hex_text(hash));
  return contents;
}

// Scales of rows are finite, those of padding rows and the bytes up to the digits are 0.
Status Verifier::check_scales(const BlockInfo& b, uint64_t done) const {
  const MatrixInfo& m = model_.matrices()[b.matrix];
  const bool native = m.encoding == Encoding::kNative;
  const uint64_t groups = native ? 1 : group_count(m.cols, m.group);
  const uint64_t width = native ? 4 : 2;
  const uint64_t scales = tile_count(m.rows) * kTileRows * groups;
  for (uint64_t at = 0; at < piece_.size(); at += width) {
    const uint64_t i = (done + at) / width;
    const uint64_t row = i / kTileRows / groups * kTileRows + i % kTileRows;
    const uint8_t* scale = here() + at;
    const uint8_t* stray =
        std::find_if(scale, scale + width, [](uint8_t byte) { return byte != 0; });
    const bool zero = stray == scale + width;
    const float value = native ? load<float>(scale) : f16_to_f32(load<uint16_t>(scale));
    if (i >= scales && !zero)
      return wrong(b, " padding", at_ + static_cast<uint64_t>(stray - here()), "0",
                   std::to_string(*stray));
    if (i < scales && (row < m.rows ? !std::isfinite(value) : !zero))
      return wrong(b, " scale", at_ + at, row < m.rows ? "finite" : "0 (padding)",
                   number_text(value));
  }
  return Status();
}

// Whole tiles, the first of which holds rows from `first_row`.
Status Verifier::check_digits(const BlockInfo& b, uint64_t first_row) const {
  const MatrixInfo& m = model_.matrices()[b.matrix];
  const uint64_t groups = group_count(m.cols, m.group);
  const uint8_t* vector = here();
  const uint8_t* end = vector + piece_.size();
  for (uint64_t row = first_row; vector < end; row += kTileRows) {
    const uint64_t rows = std::min<uint64_t>(kTileRows, m.rows - row);
    for (uint64_t g = 0; g < groups; ++g) {
      uint64_t cols = std::min<uint64_t>(m.group, m.cols - g * m.group);
      for (uint64_t v = group_vectors(m.cols, m.group, g); v > 0; --v, vector += kVectorBytes) {
        TRIT_RETURN_IF_ERROR(check_vector(b, vector, rows, std::min<uint64_t>(cols, kVectorCols)));
        cols -= std::min<uint64_t>(cols, kVectorCols);
      }
    }
  }
  return Status();
}

// One vector of a tile with `rows` rows and `cols` columns; the rest of it is padding.
Status Verifier::check_vector(const BlockInfo& b, const uint8_t* vector, uint64_t rows,
                              uint64_t cols) const {
  const bool padded = rows < kTileRows || cols < kVectorCols;
  if (!padded && *std::max_element(vector, vector + kVectorBytes) < kByteCodes) return Status();
  for (uint64_t i = 0; i < kVectorBytes; ++i) {
    uint32_t code = vector[i];
    const uint64_t at = at_ + static_cast<uint64_t>(vector + i - here());
    if (code >= kByteCodes) return wrong(b, " digits", at, "below 243", std::to_string(code));
    for (uint64_t j = 0; j < kTritsPerByte; ++j, code /= 3) {
      const bool is_padding = i / 4 >= rows || 4 * j + i % 4 >= cols;
      if (is_padding && code % 3 != 1)
        return wrong(b, " digits", at, "digit 0 in padding", std::to_string(vector[i]));
    }
  }
  return Status();
}

// Values of a dense block from its byte `done`: finite, and 0 past the last one.
Status Verifier::check_values(const BlockInfo& b, uint64_t done) const {
  const MatrixInfo& m = model_.matrices()[b.matrix];
  const uint64_t width = m.encoding == Encoding::kDenseF32 ? 4 : 2;
  const uint64_t values = uint64_t{m.rows} * m.cols;
  const uint8_t* data = here();
  for (uint64_t i = 0; i < piece_.size(); i += width) {
    const float value = width == 4 ? load<float>(data + i) : bf16_to_f32(load<uint16_t>(data + i));
    const bool inside = (done + i) / width < values;
    if (inside ? !std::isfinite(value) : f32_to_bits(value) != 0)
      return wrong(b, inside ? " value" : " padding", at_ + i, inside ? "finite" : "0",
                   number_text(value));
  }
  return Status();
}

}  // namespace

Result<VerifyReport> verify_file(const std::string& path,
                                 const std::function<void(uint64_t, uint64_t)>& progress,
                                 IoMode io) {
  Result<ModelReader> model = ModelReader::open(path, io);
  if (!model.ok()) return model.status();
  TRIT_RETURN_IF_ERROR(model->check_base());
  if (const Span<const uint8_t> tokenizer = model->tokenizer(); !tokenizer.empty())
    TRIT_RETURN_IF_ERROR(TokenizerSection::open(tokenizer, model->config().vocab, path).status());
  return Verifier(model.value(), progress).run();
}

}  // namespace trit
