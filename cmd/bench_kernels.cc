// See bench_kernels.h. A kernel is given as one item of work, a piece that takes well under a
// millisecond on a fast level; all threads take items for a twentieth of a second.
#include "cmd/bench_kernels.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <functional>
#include <string>

#include "cmd/bench_roofline.h"
#include "cmd/common/error.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/progress.h"
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "model_format/model_config.h"

namespace trit {

namespace {

constexpr double kSeconds = 0.05;
constexpr uint32_t kCols = 2560, kTokens = 128, kGemmTiles = 2, kGemvTiles = 4;
constexpr uint32_t kQueries = 4, kHeadDim = 128, kPositions = 2048;  // 4 heads share their keys
constexpr uint64_t kSkew = 1024;  // between planes, as in files: streams at equal offsets alias
constexpr uint64_t kTileBytes = kCols / kDefaultGroup * 8 * kVectorBytes;

// Int8 inputs: the same token kTokens times.
struct Tokens {
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  QuantizedActivations view;

  Tokens(const float* x, uint32_t group) {
    view.group_stride = group_stride_of(kTokens);
    view.code_stride = (row_vectors(kCols, group) * kVectorCols + 63) / 64 * 64;
    codes.resize(view.code_stride * kTokens);
    scales.resize(view.group_stride * group_count(kCols, group));
    sums.resize(scales.size());
    view.codes = codes.data();
    view.scales = scales.data();
    view.sums = sums.data();
    for (uint32_t t = 0; t < kTokens; ++t)
      default_kernels()->quantize_activations(x, kCols, group, 0, &view, t);
  }
};

std::vector<float> make_noise() {
  std::vector<float> noise(1 << 16);
  for (uint32_t i = 0; i < noise.size(); ++i)
    noise[i] = static_cast<float>(static_cast<int32_t>(i * 0x9e3779b1u)) * 0x1p-31f;
  return noise;
}

// Everything that kernels read.
struct Inputs {
  std::vector<float> noise = make_noise();  // in [-1, 1)
  BigBuffer planes{beyond_cache_bytes()}, cache{beyond_cache_bytes() / 4};
  uint32_t tiles = static_cast<uint32_t>((planes.size() / kMaxPlanes - kSkew) / kTileBytes);
  std::vector<uint16_t> group_scales =
      std::vector<uint16_t>(size_t{tiles} * kTileRows * kCols / kDefaultGroup, f32_to_f16(0.01f));
  std::vector<float> row_scales = std::vector<float>(size_t{tiles} * kTileRows, 0.01f);
  Tokens grouped{noise.data(), kDefaultGroup}, whole{noise.data(), kCols};

  Inputs() {
    for (uint64_t i = 0; i < planes.size(); ++i)
      planes.data()[i] = static_cast<uint8_t>((i * 0x9e3779b1u >> 16 & 0xff) * kByteCodes >> 8);
    uint16_t* halves = reinterpret_cast<uint16_t*>(cache.data());
    for (uint64_t i = 0; i < cache.size() / 2; i += noise.size())
      default_kernels()->f32_to_f16(noise.data(), static_cast<uint32_t>(noise.size()), halves + i);
  }

  // `count` tiles of a matrix as one of their own.
  TritView view(Encoding encoding, uint32_t n_planes, uint64_t tile, uint32_t count) const {
    TritView v = {};
    v.rows = count * kTileRows;
    v.cols = kCols;
    v.group = encoding == Encoding::kNative ? kCols : kDefaultGroup;
    v.planes = n_planes;
    v.prefix_factor = 1;
    v.encoding = encoding;
    v.row_scales = row_scales.data() + tile * kTileRows;
    for (uint32_t p = 0; p < n_planes; ++p) {
      v.digits[p] = planes.data() + p * (tiles * kTileBytes + kSkew) + tile * kTileBytes;
      v.scales[p] = group_scales.data() + tile * kTileRows * (kCols / kDefaultGroup);
    }
    return v;
  }
  const QuantizedActivations& tokens(Encoding encoding) const {
    return encoding == Encoding::kNative ? whole.view : grouped.view;
  }
};

// Where one thread writes.
struct Output {
  std::vector<float> floats = std::vector<float>(1 << 16), scores = floats;
  std::vector<int8_t> codes = std::vector<int8_t>(2 * kCols);
  std::vector<int32_t> sums = std::vector<int32_t>(kCols);
  BigBuffer scratch{1 << 20};  // for trit_gemm
};

struct Kernel {
  std::string name;
  const char* unit;     // what is counted
  double units, bytes;  // of an item; bytes of weights, cache or values that it reads
  std::function<void(const KernelTable& k, uint64_t item, Output* out)> run;
};

Kernel product(const Inputs& in, Encoding encoding, uint32_t planes, uint32_t tokens) {
  const uint32_t tiles = tokens == 1 ? kGemvTiles : kGemmTiles;
  const uint32_t blocks = in.tiles / tiles;
  MatrixInfo m;
  m.encoding = encoding;
  m.rows = tiles * kTileRows;
  m.cols = kCols;
  m.group = encoding == Encoding::kNative ? kCols : kDefaultGroup;
  m.planes = planes;
  double bytes = 0;
  for (uint32_t p = 0; p < planes; ++p) bytes += static_cast<double>(block_bytes(m, p));
  const std::string of = std::string(encoding_name(encoding)) + " K=" + std::to_string(planes);
  return {tokens == 1 ? "gemv " + of : format("gemm %u ", tokens) + of,
          tokens == 1 ? "weights" : "multiply-adds", double{kCols} * m.rows * tokens, bytes,
          [=, &in](const KernelTable& k, uint64_t item, Output* out) {
            const TritView w = in.view(encoding, planes, item % blocks * tiles, tiles);
            if (tokens == 1)
              return k.trit_gemv(&w, &in.tokens(encoding), 0, tiles, out->floats.data());
            assert(gemm_scratch_bytes(&w) <= out->scratch.size());
            k.trit_gemm(&w, &in.tokens(encoding), tokens, 0, tiles, out->floats.data(), w.rows,
                        out->scratch.data());
          }};
}

Kernel attention(const Inputs& in) {
  constexpr uint64_t kHeadBytes = uint64_t{kPositions} * kHeadDim * 2;
  static_assert(kPositions % kKeyRun == 0, "as many as keys have room for");
  const uint64_t heads = in.cache.size() / (2 * kHeadBytes);
  return {"attention f16, 4 queries", "keys and values", 2.0 * kPositions * kHeadDim,
          2.0 * kHeadBytes, [=, &in](const KernelTable& k, uint64_t item, Output* out) {
            const uint8_t* keys = in.cache.data() + item % heads * 2 * kHeadBytes;
            const HeadCache head = {keys, keys + kHeadBytes, CacheType::kF16, CacheType::kF16};
            k.attention(in.noise.data(), kQueries, &head, kHeadDim, kPositions, 0.1f,
                        out->scores.data(), out->floats.data());
          }};
}

Kernel dense(const Inputs& in) {
  constexpr uint32_t kRows = 64;
  constexpr uint64_t kBytes = uint64_t{kRows} * kCols * 2;
  const uint64_t blocks = in.cache.size() / kBytes;
  return {"gemv bf16", "weights", double{kRows} * kCols, double{kBytes},
          [=, &in](const KernelTable& k, uint64_t item, Output* out) {
            k.dense_gemm(in.cache.data() + item % blocks * kBytes, Encoding::kDenseBf16, kCols,
                         in.noise.data(), kCols, 1, 0, kRows, out->floats.data(), kRows);
          }};
}

// A kernel over `n` floats that stay in the cache.
Kernel small(const char* name, uint32_t n, uint32_t arrays,
             std::function<void(const KernelTable& k, uint64_t item, Output* out)> run) {
  return {name, "values", static_cast<double>(n), 4.0 * n * arrays, std::move(run)};
}

std::vector<Kernel> list_kernels(const Inputs& in) {
  std::vector<Kernel> list;
  for (const uint32_t tokens : {1u, kTokens}) {
    for (uint32_t planes = 1; planes <= kMaxPlanes; ++planes)
      list.push_back(product(in, Encoding::kTied, planes, tokens));
    list.push_back(product(in, Encoding::kNative, 1, tokens));
    list.push_back(product(in, Encoding::kFree, 2, tokens));
  }
  list.push_back(dense(in));
  list.push_back(attention(in));
  const float* x = in.noise.data();
  list.push_back(small("quantize", kCols, 1, [=](const KernelTable& k, uint64_t, Output* out) {
    const QuantizedActivations to = {out->codes.data(), out->floats.data(), out->sums.data(), 0, 1};
    k.quantize_activations(x, kCols, kDefaultGroup, 0, &to, 0);
  }));
  list.push_back(small("rmsnorm", kCols, 2, [=](const KernelTable& k, uint64_t, Output* out) {
    k.rmsnorm(x, x + kCols, kCols, 1e-5f, out->floats.data());
  }));
  // In place: from fresh values each time, or they would drift to where floats are slow.
  list.push_back(small("softmax", kCols, 1, [=](const KernelTable& k, uint64_t, Output* out) {
    std::memcpy(out->floats.data(), x, kCols * sizeof *x);
    k.softmax(out->floats.data(), kCols);
  }));
  list.push_back(small("silu_mul", kCols, 2, [=](const KernelTable& k, uint64_t, Output* out) {
    std::memcpy(out->floats.data(), x, kCols * sizeof *x);
    k.silu_mul(out->floats.data(), x, kCols);
  }));
  return list;
}

BenchRow make_row(const Kernel& kernel, const char* isa, uint32_t threads,
                  const std::vector<double>& samples) {
  const double rate = median(samples), bytes = rate / kernel.units * kernel.bytes;
  BenchRow row;
  row.fields = {{"kernel", kernel.name},
                {"isa", std::string(isa)},
                {"n_threads", uint64_t{threads}},
                {"unit", std::string(kernel.unit)},
                {"per_second", rate},
                {"stddev_per_second", standard_deviation(samples)},
                {"gbps", bytes / 1e9}};
  row.columns = {{"kernel", kernel.name},
                 {"isa", isa},
                 {"threads", std::to_string(threads)},
                 {"G/s", format("%.2f", rate / 1e9)},
                 {"of", kernel.unit},
                 {"GB/s", format("%.2f", bytes / 1e9)}};
  return row;
}

struct Case {
  const Kernel* kernel;
  const char* isa;
  uint32_t threads;
  std::vector<double> samples;
};

double measure(const Case& c, ThreadPool* pool, std::vector<Output>* outputs) {
  const KernelTable& table = *kernels_for(c.isa);
  return measure_rate(pool, kSeconds, [&](uint64_t item, uint32_t thread) {
    c.kernel->run(table, item, &(*outputs)[thread]);
    return c.kernel->units;
  });
}

}  // namespace

int run_kernels(const std::vector<uint32_t>& threads, uint32_t repetitions,
                std::vector<BenchRow>* rows) {
  const Inputs inputs;
  if (inputs.planes.size() == 0 || inputs.cache.size() == 0)
    return fail(TRIT_MEMORY, "bench: no memory for the inputs of kernels");
  const std::vector<Kernel> kernels = list_kernels(inputs);
  uint32_t levels = 0;
  const char* const* isas = available_isas(&levels);
  std::vector<Case> cases;
  for (const Kernel& kernel : kernels)
    for (uint32_t level = 0; level < levels; ++level)
      for (const uint32_t n : threads) cases.push_back({&kernel, isas[level], n, {}});
  Progress progress;
  for (uint32_t round = 0; round < repetitions; ++round) {
    const std::string stage = format("round %u of %u", round + 1, repetitions);
    for (const uint32_t n : threads) {
      ThreadPool pool(n);
      std::vector<Output> outputs(pool.size());
      for (Case& c : cases) {
        if (c.threads != n) continue;
        if (interrupted()) return fail(TRIT_CANCELLED, "interrupted");
        progress.update(stage, stage + ", " + c.kernel->name, round, repetitions);
        c.samples.push_back(measure(c, &pool, &outputs));
      }
    }
  }
  for (const Case& c : cases) rows->push_back(make_row(*c.kernel, c.isa, c.threads, c.samples));
  return TRIT_OK;
}

}  // namespace trit
