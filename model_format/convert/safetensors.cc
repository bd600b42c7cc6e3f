// See safetensors.h. A file is: u64 header length, the header (JSON), the data; each header entry
// {"dtype", "shape", "data_offsets": [begin, end)} counts from the start of the data.
#include "model_format/convert/safetensors.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "kernels/half.h"
#include "model_format/checksum.h"
#include "model_format/convert/json_fields.h"

namespace trit {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxShards = 4096;
constexpr size_t kMaxRank = 8;

struct DtypeRow {
  const char* name;
  uint64_t bytes;
  Dtype dtype;
};
constexpr DtypeRow kDtypes[] = {
    {"F32", 4, Dtype::kF32},    {"F16", 2, Dtype::kF16},       {"BF16", 2, Dtype::kBf16},
    {"U8", 1, Dtype::kU8},      {"F64", 8, Dtype::kOther},     {"I64", 8, Dtype::kOther},
    {"U64", 8, Dtype::kOther},  {"I32", 4, Dtype::kOther},     {"U32", 4, Dtype::kOther},
    {"I16", 2, Dtype::kOther},  {"U16", 2, Dtype::kOther},     {"I8", 1, Dtype::kOther},
    {"BOOL", 1, Dtype::kOther}, {"F8_E4M3", 1, Dtype::kOther}, {"F8_E5M2", 1, Dtype::kOther},
};

const DtypeRow* find_dtype(std::string_view name) {
  for (const DtypeRow& row : kDtypes)
    if (name == row.name) return &row;
  return nullptr;
}

uint64_t element_bytes(Dtype dtype) {
  return dtype == Dtype::kF32 ? 4 : dtype == Dtype::kU8 ? 1 : 2;
}

bool file_exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

uint64_t load_u64(const uint8_t* p) {
  uint64_t x = 0;
  for (int i = 8; i-- > 0;) x = x << 8 | p[i];
  return x;
}

}  // namespace

uint64_t Tensor::elements() const {
  uint64_t n = 1;
  for (const uint64_t dim : shape) n *= dim;
  return n;
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// One header to checked tensors.
class HeaderParser {
 public:
  HeaderParser(const std::string& path, const MappedFile& map, uint32_t file)
      : path_(path), map_(map), file_(file) {}

  Result<std::vector<Tensor>> parse() {
    const uint64_t size = map_.size();
    TRIT_RETURN_IF_ERROR(
        refuse_lfs_pointer({reinterpret_cast<const char*>(map_.data()), size}, path_));
    if (size < 8) return bad("file size", "offset 0", "at least 8 bytes", std::to_string(size));
    const uint64_t header = load_u64(map_.data());
    if (header > kMaxHeaderBytes || header > size - 8)
      return bad("header length", "offset 0",
                 "at most " + std::to_string(std::min(kMaxHeaderBytes, size - 8)),
                 std::to_string(header));
    const std::string_view text(reinterpret_cast<const char*>(map_.data()) + 8, header);
    if (text.empty() || text[0] != '{')
      return bad("header", "offset 8", "'{'", text.empty() ? "nothing" : quoted(text.substr(0, 1)));
    auto document = JsonDocument::parse(text, path_);
    if (!document.ok()) return document.status();
    data_begin_ = 8 + header;
    const JsonValue root = document.value()->root();
    std::vector<Tensor> tensors;
    tensors.reserve(root.size());
    for (size_t i = 0; i < root.size(); ++i) {
      if (root.key(i) == "__metadata__") {
        TRIT_RETURN_IF_ERROR(check_metadata(root[i]));
        continue;
      }
      tensors.emplace_back();
      tensors.back().name = root.key(i);
      TRIT_RETURN_IF_ERROR(parse_entry(root[i], &tensors.back()));
    }
    TRIT_RETURN_IF_ERROR(check_cover(&tensors));
    return tensors;
  }

 private:
  Status bad(std::string_view field, std::string_view where, std::string_view expected,
             std::string_view found) const {
    return bad_field(Code::kMalformed, path_, field, where, expected, found);
  }

  Status check_metadata(JsonValue metadata) const {
    if (!metadata.is_object())
      return bad("__metadata__", "$.__metadata__", "an object", found_text(metadata));
    for (size_t i = 0; i < metadata.size(); ++i)
      if (!metadata[i].is_string())
        return bad(quoted(metadata.key(i)), "$.__metadata__", "a string", found_text(metadata[i]));
    return Status();
  }

  Status parse_entry(JsonValue entry, Tensor* t) const {
    const std::string name = quoted(t->name);
    const std::string where = "offset " + std::to_string(8 + entry.offset());
    const JsonValue dtype = entry["dtype"], shape = entry["shape"], range = entry["data_offsets"];
    if (!entry.is_object()) return bad(name, where, "an object", found_text(entry));
    if (!dtype.is_string()) return bad(name + " dtype", where, "a string", found_text(dtype));
    t->dtype_name = dtype.string();
    if (!shape.is_array() || shape.size() > kMaxRank)
      return bad(name + " shape", where, "an array of at most 8 sizes", found_text(shape));
    for (size_t i = 0; i < shape.size(); ++i) {
      const auto dim = shape[i].unsigned_integer();
      if (!dim) return bad(name + " shape", where, "sizes", found_text(shape[i]));
      t->shape.push_back(*dim);
    }
    if (!range.is_array() || range.size() != 2)
      return bad(name + " data_offsets", where, "two offsets", found_text(range));
    const auto begin = range[0].unsigned_integer(), end = range[1].unsigned_integer();
    const uint64_t available = map_.size() - data_begin_;
    if (!begin || !end || *begin > *end || *end > available)
      return bad(name + " data_offsets", where,
                 "a range within " + std::to_string(available) + " bytes of data",
                 "[" + found_text(range[0]) + ", " + found_text(range[1]) + "]");
    t->file = file_;
    t->offset = data_begin_ + *begin;
    t->bytes = *end - *begin;
    return check_size(name, where, t);
  }

  // The product of the shape, checked at every step, must be the bytes of the range.
  Status check_size(const std::string& name, const std::string& where, Tensor* t) const {
    const DtypeRow* row = find_dtype(t->dtype_name);
    if (!row) return Status();  // refused by name if the model needs it
    t->dtype = row->dtype;
    uint64_t bytes = row->bytes;
    bool zero = false, overflow = false;
    for (const uint64_t dim : t->shape) {
      zero |= dim == 0;
      overflow |= dim != 0 && bytes > UINT64_MAX / dim;
      if (!overflow && dim != 0) bytes *= dim;
    }
    if (zero) bytes = 0;
    if (overflow || bytes != t->bytes)
      return bad(name + " data_offsets", where,
                 overflow ? "a shape below 2^64 bytes"
                          : std::to_string(bytes) + " bytes for " + t->dtype_name + " " +
                                shape_text(t->shape),
                 overflow ? shape_text(t->shape) : std::to_string(t->bytes) + " bytes");
    return Status();
  }

  // Sorted by offset, each tensor begins where the one before ends, and the last ends the file.
  Status check_cover(std::vector<Tensor>* tensors) const {
    std::sort(tensors->begin(), tensors->end(), [](const Tensor& a, const Tensor& b) {
      return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
    });
    uint64_t end = data_begin_;
    for (const Tensor& t : *tensors) {
      if (t.offset != end)
        return bad(quoted(t.name) + " data_offsets", "offset " + std::to_string(t.offset),
                   "to begin where the tensor before it ends, " + std::to_string(end - data_begin_),
                   std::to_string(t.offset - data_begin_));
      end += t.bytes;
    }
    if (end != map_.size())
      return bad("file size", "offset " + std::to_string(end), std::to_string(end) + " bytes",
                 std::to_string(map_.size()));
    return Status();
  }

  const std::string& path_;
  const MappedFile& map_;
  const uint32_t file_;
  uint64_t data_begin_ = 0;
};

Status Safetensors::add_file(const std::string& path) {
  auto map = MappedFile::open(path);
  if (!map.ok()) return map.status();
  auto tensors = HeaderParser(path, map.value(), static_cast<uint32_t>(files_.size())).parse();
  if (!tensors.ok()) return tensors.status();
  map->release(0, map->size());
  files_.push_back({path, std::move(map.value())});
  for (Tensor& t : tensors.value()) tensors_.push_back(std::move(t));
  return Status();
}

Status Safetensors::check_files() const {
  for (const File& file : files_) TRIT_RETURN_IF_ERROR(file.map.check());
  return Status();
}

uint64_t Safetensors::identity() const {
  Hasher hasher(0);
  for (const File& file : files_) {
    struct stat info = {};
    stat(file.path.c_str(), &info);
#ifdef __APPLE__
    const timespec time = info.st_mtimespec;
#else
    const timespec time = info.st_mtim;
#endif
    // Not how the path is written, nor st_dev, which may be another after a restart.
    const int64_t facts[] = {info.st_size, time.tv_sec, time.tv_nsec,
                             static_cast<int64_t>(info.st_ino)};
    hasher.update(facts, sizeof facts);
  }
  return hasher.digest();
}

Status Safetensors::sort_by_name() {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const Tensor& a, const Tensor& b) { return a.name < b.name; });
  for (size_t i = 1; i < tensors_.size(); ++i)
    if (tensors_[i].name == tensors_[i - 1].name)
      return bad_field(Code::kMalformed, path_of(tensors_[i]), quoted(tensors_[i].name), "header",
                       "each tensor once", "it also in " + quoted(path_of(tensors_[i - 1])));
  return Status();
}

namespace {

// The shards that an index names, sorted, and which shard holds which tensor.
struct Index {
  std::vector<std::string> shards;
  std::vector<std::pair<std::string, std::string>> places;  // tensor, shard; sorted
};

Result<Index> read_index(const std::string& path) {
  auto file = JsonFile::open(path);
  if (!file.ok()) return file.status();
  const JsonValue map = file->root()["weight_map"];
  if (!map.is_object() || map.size() == 0)
    return bad_field(Code::kMalformed, path, "weight_map", "$.weight_map",
                     "an object that names shards", found_text(map));
  Index index;
  for (size_t i = 0; i < map.size(); ++i) {
    const std::string_view shard = map[i].is_string() ? map[i].string() : std::string_view();
    // A name and nothing more: no path, so no way out of the folder.
    if (shard.empty() || shard == "." || shard == ".." ||
        shard.find_first_of(std::string_view("/\\\0", 3)) != std::string_view::npos)
      return bad_field(Code::kMalformed, path, quoted(map.key(i)),
                       "offset " + std::to_string(map[i].offset()), "the name of a shard",
                       found_text(map[i]));
    index.places.emplace_back(map.key(i), shard);
    index.shards.emplace_back(shard);
  }
  std::sort(index.places.begin(), index.places.end());
  std::sort(index.shards.begin(), index.shards.end());
  index.shards.erase(std::unique(index.shards.begin(), index.shards.end()), index.shards.end());
  if (index.shards.size() > kMaxShards)
    return bad_field(Code::kMalformed, path, "weight_map", "$.weight_map",
                     "at most " + std::to_string(kMaxShards) + " shards",
                     std::to_string(index.shards.size()));
  return index;
}

// The one file that holds everything: model.safetensors, or one of another name that is alone;
// empty: an index tells.
Result<std::string> single_file(const std::string& folder) {
  const std::string usual = folder + "/model.safetensors";
  if (file_exists(usual)) return usual;
  if (file_exists(usual + ".index.json")) return std::string();
  for (const char* other : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (file_exists(folder + "/" + other))
      return Status(Code::kUnsupported,
                    folder + ": weights in " + other + " are not read; save them as safetensors");
  std::vector<std::string> found;
  constexpr std::string_view kEnd = ".safetensors";
  if (DIR* listing = opendir(folder.c_str())) {
    while (const dirent* entry = readdir(listing)) {
      const std::string_view name = entry->d_name;
      if (name.size() > kEnd.size() && name.substr(name.size() - kEnd.size()) == kEnd)
        found.push_back(folder + "/" + std::string(name));
    }
    closedir(listing);
  }
  // "model-00001-of-00002.safetensors"
  const auto is_shard = [](const std::string& name) {
    const size_t of = name.rfind("-of-");
    return of != std::string::npos && name.compare(of, std::string::npos, "-of-00001.safetensors");
  };
  if (found.size() == 1 && !is_shard(found[0])) return found[0];
  const std::string what = found.size() == 1
                               ? found[0].substr(folder.size() + 1) + ", one of several"
                               : std::to_string(found.size()) + " *.safetensors";
  return Status(Code::kIo, folder +
                               ": expected model.safetensors or model.safetensors.index.json, "
                               "found " +
                               what);
}

}  // namespace

Result<Safetensors> Safetensors::open(const std::string& folder) {
  const std::string index_path = folder + "/model.safetensors.index.json";
  Safetensors all;
  const Result<std::string> single = single_file(folder);
  if (!single.ok()) return single.status();
  if (!single->empty()) {
    TRIT_RETURN_IF_ERROR(all.add_file(single.value()));
    TRIT_RETURN_IF_ERROR(all.sort_by_name());
    return all;
  }
  auto index = read_index(index_path);
  if (!index.ok()) return index.status();
  for (const std::string& shard : index->shards)
    TRIT_RETURN_IF_ERROR(all.add_file(folder + "/" + shard));
  TRIT_RETURN_IF_ERROR(all.sort_by_name());
  for (const auto& [name, shard] : index->places) {
    const Tensor* t = all.find(name);
    if (!t || all.path_of(*t) != folder + "/" + shard)
      return bad_field(Code::kMalformed, index_path, quoted(name), "$.weight_map",
                       "a tensor of " + quoted(shard),
                       t ? "it in " + quoted(all.path_of(*t)) : "no such tensor");
  }
  for (const Tensor& t : all.tensors_) {
    const auto listed = std::lower_bound(index->places.begin(), index->places.end(),
                                         std::make_pair(t.name, std::string()));
    if (listed == index->places.end() || listed->first != t.name)
      return bad_field(Code::kMalformed, index_path, quoted(t.name), "$.weight_map",
                       "every tensor of its shards", "it missing");
  }
  return all;
}

const Tensor* Safetensors::find(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const Tensor& t, std::string_view n) { return t.name < n; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

Status Safetensors::bad_tensor(Code code, const Tensor& tensor, std::string_view where,
                               std::string_view expected, std::string_view found) const {
  return bad_field(code, path_of(tensor), quoted(tensor.name), where, expected, found);
}

Status Safetensors::check_readable(const Tensor& tensor) const {
  if (tensor.dtype != Dtype::kOther && tensor.dtype != Dtype::kU8) return Status();
  return bad_tensor(Code::kUnsupported, tensor, "dtype", "F32, F16 or BF16",
                    quoted(tensor.dtype_name));
}

const uint8_t* Safetensors::data(const Tensor& tensor) const {
  return files_[tensor.file].map.data() + tensor.offset;
}

void Safetensors::release(const Tensor& tensor, uint64_t first, uint64_t count) const {
  const uint64_t size = element_bytes(tensor.dtype);
  const uint64_t begin = tensor.offset + first * size;
  files_[tensor.file].map.release(begin, begin + count * size);
}

Status Safetensors::read(const Tensor& tensor, uint64_t first, uint64_t count, uint64_t cols,
                         float* out) const {
  const uint8_t* from = data(tensor) + first * element_bytes(tensor.dtype);
  if (tensor.dtype == Dtype::kF32) {
    std::memcpy(out, from, count * 4);
  } else {
    const bool brain = tensor.dtype == Dtype::kBf16;
    for (uint64_t i = 0; i < count; ++i) {
      uint16_t bits;
      std::memcpy(&bits, from + 2 * i, 2);
      out[i] = brain ? bf16_to_f32(bits) : f16_to_f32(bits);
    }
  }
  constexpr uint32_t kExponent = 0x7f800000u;
  bool finite = true;
  for (uint64_t i = 0; i < count; ++i) finite &= (f32_to_bits(out[i]) & kExponent) != kExponent;
  if (finite) return Status();
  uint64_t i = 0;
  while ((f32_to_bits(out[i]) & kExponent) != kExponent) ++i;
  const uint64_t at = first + i;
  return bad_tensor(Code::kMalformed, tensor,
                    "[" + std::to_string(at / cols) + ", " + std::to_string(at % cols) + "]",
                    "a finite weight", f32_to_bits(out[i]) & 0x7fffffu ? "NaN" : "infinity");
}

}  // namespace trit
