// See kernel_check.h. Odd sizes, so that tails and padding are computed too. Every result becomes
// floats, which hold all its bytes and integers exactly.
#include "cmd/common/kernel_check.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "kernels/half.h"

namespace trit {

namespace {

constexpr uint32_t kRows = 37, kCols = 333, kGroup = 160, kTokens = 13;
constexpr uint32_t kQueries = 3, kHeadDim = 44, kPositions = 70, kPassTokens = 5;
using Floats = std::vector<float>;

// The same noise in every run: floats in [-1, 1) and bytes of planes.
float noise(uint32_t i) {
  return static_cast<float>(static_cast<int32_t>(i * 0x9e3779b1u)) * 0x1p-31f;
}
Floats noise(uint32_t begin, size_t count, float scale) {
  Floats values(count);
  for (size_t i = 0; i < count; ++i) values[i] = noise(begin + static_cast<uint32_t>(i)) * scale;
  return values;
}

// Planes of a matrix of kRows x kCols.
struct Weights {
  std::vector<uint8_t> digits[kMaxPlanes];
  std::vector<uint16_t> scales[kMaxPlanes];
  Floats row_scales = noise(7, tile_count(kRows) * kTileRows, 0.1f);
  TritView view = {};

  Weights(Encoding encoding, uint32_t planes) {
    view.rows = kRows, view.cols = kCols, view.planes = planes, view.encoding = encoding;
    view.group = encoding == Encoding::kNative ? kCols : kGroup;
    view.prefix_factor = 1;
    view.row_scales = row_scales.data();
    for (uint32_t p = 0; p < planes; ++p) {
      digits[p].resize(digit_bytes(kRows, kCols, view.group));
      for (size_t i = 0; i < digits[p].size(); ++i)
        digits[p][i] = static_cast<uint8_t>((i * 131 + p * 71) * 0x9e3779b1u % kByteCodes);
      for (uint64_t i = 0; i < group_scale_bytes(kRows, kCols, view.group) / 2; ++i)
        scales[p].push_back(f32_to_f16(noise(static_cast<uint32_t>(i) + p) * 0.1f));
      view.digits[p] = digits[p].data();
      view.scales[p] = scales[p].data();
    }
  }
};

// Int8 inputs for such a matrix.
struct Inputs {
  std::vector<int8_t> codes;
  Floats scales;
  std::vector<int32_t> sums;
  QuantizedActivations view;

  Inputs(const KernelTable& k, uint32_t group) {
    view.group_stride = group_stride_of(kTokens);
    view.code_stride = (row_vectors(kCols, group) * kVectorCols + 63) / 64 * 64;
    codes.resize(view.code_stride * kTokens);
    scales.resize(view.group_stride * group_count(kCols, group));
    sums.resize(scales.size());
    view.codes = codes.data(), view.scales = scales.data(), view.sums = sums.data();
    for (uint32_t t = 0; t < kTokens; ++t)
      k.quantize_activations(noise(t * 1000, kCols, 3).data(), kCols, group, 0, &view, t);
  }
};

template <typename T>
void append(const std::vector<T>& values, Floats* to) {
  for (const T value : values) to->push_back(static_cast<float>(value));
}

Floats quantized(const KernelTable& k) {
  Floats all;
  for (const uint32_t group : {40u, kGroup, kCols}) {
    const Inputs in(k, group);
    append(in.codes, &all);
    append(in.scales, &all);
    append(in.sums, &all);
  }
  return all;
}

// y of `tokens` tokens for every encoding and number of planes.
Floats products(const KernelTable& k, bool gemm, const std::vector<uint32_t>& token_counts) {
  constexpr uint32_t kTiles = (kRows + kTileRows - 1) / kTileRows;
  Floats all;
  for (const Encoding encoding : {Encoding::kTied, Encoding::kFree, Encoding::kNative}) {
    for (uint32_t planes = 1; planes <= kMaxPlanes; ++planes) {
      if (encoding == Encoding::kNative && planes > 1) continue;
      const Weights w(encoding, planes);
      const Inputs in(*kernels_for("scalar"), w.view.group);
      std::vector<uint64_t> scratch(gemm_scratch_bytes(&w.view) / 8 + 16);
      void* aligned = scratch.data();
      size_t space = scratch.size() * 8;
      std::align(64, gemm_scratch_bytes(&w.view), aligned, space);
      for (const uint32_t tokens : token_counts) {
        Floats y(size_t{kRows} * tokens);
        if (gemm)
          k.trit_gemm(&w.view, &in.view, tokens, 0, kTiles, y.data(), kRows, aligned);
        else
          k.trit_gemv(&w.view, &in.view, 0, kTiles, y.data());
        append(y, &all);
      }
    }
  }
  return all;
}

Floats dense(const KernelTable& k) {
  constexpr uint32_t kDenseRows = 7, kDenseTokens = 3;
  const Floats w = noise(3, kDenseRows * kCols, 1), x = noise(5, kDenseTokens * kCols, 2);
  std::vector<uint16_t> halves;  // bf16: the upper half of a float
  for (const float value : w) halves.push_back(static_cast<uint16_t>(f32_to_bits(value) >> 16));
  Floats all;
  for (const Encoding type : {Encoding::kDenseF32, Encoding::kDenseBf16}) {
    Floats y(kDenseRows * kDenseTokens);
    const void* rows =
        type == Encoding::kDenseF32 ? static_cast<const void*>(w.data()) : halves.data();
    k.dense_gemm(rows, type, kCols, x.data(), kCols, kDenseTokens, 0, kDenseRows, y.data(),
                 kDenseRows);
    append(y, &all);
  }
  return all;
}

// Of panel_products or panel_products_f64.
template <typename T, typename Function>
Floats panels(Function products) {
  constexpr uint32_t kSteps = 19, kOutputs = 21, kWidth = kPanelBytes / sizeof(T);
  const Floats a = noise(3, kOutputs * kSteps, 1), b = noise(5, kWidth * kSteps, 2);
  const std::vector<T> left(a.begin(), a.end()), right(b.begin(), b.end());
  std::vector<T> sums(kOutputs * kWidth);
  products(left.data(), kSteps, 1, right.data(), kSteps, kOutputs, kWidth, sums.data(), kWidth);
  Floats all;
  for (const T sum : sums) all.push_back(static_cast<float>(sum));
  return all;
}

// Keys or values of one cache type, by store_key or store_value.
template <typename Store>
std::vector<uint8_t> cached(uint32_t begin, CacheType type, const Store& store) {
  std::vector<uint8_t> bytes(cache_bytes(type, kHeadDim) * padded_positions(kPositions));
  for (uint32_t i = 0; i < kPositions; ++i)
    store(*kernels_for("scalar"), type, kHeadDim, i, noise(begin + i * 50, kHeadDim, 1).data(),
          bytes.data());
  return bytes;
}

// `tokens` 0: by the kernel that takes one.
Floats attended(const KernelTable& k, uint32_t tokens) {
  const uint32_t stride = kQueries * kHeadDim, passed = std::max(tokens, 1u);
  const uint32_t first = kPositions - (passed - 1);  // positions that the first token sees
  Floats all;
  for (const CacheType type : {CacheType::kF16, CacheType::kF32, CacheType::kQ8}) {
    const auto keys = cached(1, type, store_key), values = cached(9, type, store_value);
    const HeadCache cache = {keys.data(), values.data(), type, type};
    const Floats query = noise(11, passed * stride, 4);
    Floats scratch(prefill_attention_floats(passed * kQueries, kPositions, kHeadDim));
    Floats out(passed * stride);
    if (tokens == 0)
      k.attention(query.data(), kQueries, &cache, kHeadDim, first, 0.15f, scratch.data(),
                  out.data());
    else
      k.prefill_attention(query.data(), stride, tokens, kQueries, &cache, kHeadDim, first, 0.15f,
                          scratch.data(), out.data());
    append(out, &all);
  }
  return all;
}

// What a kernel makes of floats in place.
template <typename Change>
Floats changed(const Change& change) {
  Floats x = noise(13, kCols, 20);
  change(x.data(), noise(17, kCols, 3));
  return x;
}

template <typename T, typename Convert>
Floats converted(size_t count, const Convert& convert) {
  std::vector<T> out(count);
  convert(noise(19, kCols, 300).data(), out.data());
  Floats all;
  append(out, &all);
  return all;
}

std::vector<uint16_t> halves() {
  std::vector<uint16_t> all(1 << 15);  // every one that is not negative; infinities, but no NaN
  for (uint32_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i <= 0x7c00 ? i : 0);
  return all;
}

using Kernel = Floats (*)(const KernelTable& k);
struct NamedKernel {
  const char* name;
  Kernel run;
};

const NamedKernel kKernels[] = {
    {"quantize_activations", quantized},
    {"trit_gemv", [](const KernelTable& k) { return products(k, false, {1}); }},
    {"trit_gemm",
     [](const KernelTable& k) {
       return products(k, true, {1, 2, 7, kTokens});
     }},
    {"dense_gemm", dense},
    {"panel_products", [](const KernelTable& k) { return panels<float>(k.panel_products); }},
    {"panel_products_f64",
     [](const KernelTable& k) { return panels<double>(k.panel_products_f64); }},
    {"dot",
     [](const KernelTable& k) {
       return changed([&](float* x, const Floats& y) { x[0] = k.dot(x, y.data(), kCols); });
     }},
    {"rmsnorm",
     [](const KernelTable& k) {
       return changed([&](float* x, const Floats& y) { k.rmsnorm(x, y.data(), kCols, 1e-6f, x); });
     }},
    {"rope",
     [](const KernelTable& k) {
       return changed([&](float* x, const Floats& y) {
         k.rope(x, y.data(), y.data() + kCols / 2, kCols / 2);
       });
     }},
    {"add_multiple",
     [](const KernelTable& k) {
       return changed([&](float* x, const Floats& y) { k.add_multiple(x, 0.7f, y.data(), kCols); });
     }},
    {"multiply",
     [](const KernelTable& k) {
       return changed([&](float* x, const Floats&) { k.multiply(x, 0.3f, kCols); });
     }},
    {"silu_mul",
     [](const KernelTable& k) {
       return changed([&](float* x, const Floats& y) { k.silu_mul(x, y.data(), kCols); });
     }},
    {"relu2_mul",
     [](const KernelTable& k) {
       return changed([&](float* x, const Floats& y) { k.relu2_mul(x, y.data(), kCols); });
     }},
    {"softmax",
     [](const KernelTable& k) {
       return changed([&](float* x, const Floats&) { k.softmax(x, kCols); });
     }},
    {"attention", [](const KernelTable& k) { return attended(k, 0); }},
    {"prefill_attention", [](const KernelTable& k) { return attended(k, kPassTokens); }},
    {"f32_to_q8",
     [](const KernelTable& k) {
       return converted<uint8_t>(cache_bytes(CacheType::kQ8, kCols),
                                 [&](const float* x, uint8_t* out) { k.f32_to_q8(x, kCols, out); });
     }},
    {"f32_to_f16",
     [](const KernelTable& k) {
       return converted<uint16_t>(
           kCols, [&](const float* x, uint16_t* out) { k.f32_to_f16(x, kCols, out); });
     }},
    {"f16_to_f32",
     [](const KernelTable& k) {
       const std::vector<uint16_t> in = halves();
       Floats out(in.size());
       k.f16_to_f32(in.data(), static_cast<uint32_t>(in.size()), out.data());
       return out;
     }},
};

}  // namespace

std::vector<std::string> checked_kernels() {
  std::vector<std::string> names;
  for (const NamedKernel& kernel : kKernels) names.emplace_back(kernel.name);
  return names;
}

std::vector<std::string> wrong_kernels(const KernelTable& table) {
  std::vector<std::string> names;
  for (const NamedKernel& kernel : kKernels) {
    const Floats expected = kernel.run(*kernels_for("scalar")), found = kernel.run(table);
    if (std::memcmp(expected.data(), found.data(), found.size() * sizeof(float)) != 0)
      names.emplace_back(kernel.name);
  }
  return names;
}

}  // namespace trit
