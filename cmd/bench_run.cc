// See bench_run.h. A repetition opens the model anew, so that its peak memory is its own; one pass
// before the clock starts brings weights and buffers into memory.
#include "cmd/bench_run.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <map>

#include "cmd/bench_roofline.h"
#include "cmd/common/error.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/machine_report.h"
#include "cmd/common/progress.h"
#include "runtime/c_api.h"
#include "runtime/linux_files.h"

namespace trit {

namespace {

struct Test {
  const BenchModel* model;
  uint32_t planes, threads;
  uint32_t prompt, generation, depth;  // prompt or generation is 0

  uint32_t tokens() const { return prompt + generation; }
  std::string name() const {
    std::string text = prompt ? format("pp%u", prompt) : format("tg%u", generation);
    if (depth) text += format(" @ d%u", depth);
    return text;
  }
};

// What a test measured, and what was found out about its model on the way.
struct Measured {
  std::vector<uint64_t> samples_ns;
  uint64_t peak_rss_bytes = 0;
  std::string name, architecture, encoding, default_cache;
  uint64_t kv_position_bytes = 0;
  uint64_t layer_weights = 0, head_weights = 0;  // each multiplies once per token
  ResidentPlanes planes;
  uint32_t chunk = 0;
};

struct Rooflines {
  std::vector<double> dram, int8;
};

std::vector<Test> list_tests(const BenchPlan& plan) {
  std::vector<Test> tests;
  for (const BenchModel& model : plan.models)
    for (const uint32_t planes : model.planes)
      for (const uint32_t depth : plan.depths)
        for (const uint32_t threads : plan.threads) {
          for (const uint32_t n : plan.prompts)
            if (n) tests.push_back({&model, planes, threads, n, 0, depth});
          for (const uint32_t n : plan.generations)
            if (n) tests.push_back({&model, planes, threads, 0, n, depth});
        }
  return tests;
}

// The largest resident size of this process since the last reset; where the system cannot forget
// (not Linux, or no permission), since its start.
void reset_peak_rss() {
  if (FILE* file = std::fopen("/proc/self/clear_refs", "w")) {
    std::fputs("5", file);
    std::fclose(file);
  }
}
uint64_t peak_rss_bytes() {
  if (const auto peak = keyed_number("/proc/self/status", "VmHWM")) return *peak;
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  return static_cast<uint64_t>(usage.ru_maxrss);
#else
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
#endif
}

uint64_t size_of(const Matrix& m) {
  return uint64_t{m.rows} * m.cols;
}

void describe(const Model& model, const Session& session, Measured* m) {
  m->name = model.config().name;
  m->architecture = model.config().architecture;
  const auto set = model.planes().current();
  m->encoding = encoding_name(set->weights.layers[0].q.encoding);
  m->default_cache = model.dense_f32() ? "f32" : "f16";
  m->planes = set->resident;
  m->kv_position_bytes = session.cache_position_bytes();
  m->chunk = session.chunk();
  m->head_weights = size_of(set->weights.head);
  m->layer_weights = 0;
  for (const LayerWeights& l : set->weights.layers)
    for (const Matrix* matrix : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down})
      m->layer_weights += size_of(*matrix);
}

// Any ids will do; no two alike in a row.
TokenIds some_ids(size_t count, uint32_t vocab) {
  TokenIds ids;
  for (uint64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((i + 1) * 2654435761u % vocab));
  return ids;
}

Status append_ids(const Test& test, const TokenIds& ids, Session* session) {
  if (test.prompt) return session->prefill({ids.data(), ids.size()}, nullptr);
  for (const int32_t id : ids) {
    TRIT_RETURN_IF_ERROR(session->prefill({&id, 1}, nullptr));
    if (interrupted()) return Status(Code::kCancelled, "interrupted");
  }
  return Status();
}

Status measure(const Test& test, Session* session, Measured* m) {
  using Clock = std::chrono::steady_clock;
  const TokenIds ids = some_ids(test.tokens(), session->model().config().vocab);
  TRIT_RETURN_IF_ERROR(session->fill_cache(test.depth));
  const size_t warm_up = test.prompt ? std::min(test.prompt, session->chunk()) : 1;
  TRIT_RETURN_IF_ERROR(session->prefill({ids.data(), warm_up}, nullptr));
  TRIT_RETURN_IF_ERROR(session->rewind(test.depth));
  TRIT_RETURN_IF_ERROR(session->model().planes().settle());  // nothing comes in meanwhile
  const Clock::time_point start = Clock::now();
  TRIT_RETURN_IF_ERROR(append_ids(test, ids, session));
  const auto spent = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start);
  m->samples_ns.push_back(std::max<uint64_t>(static_cast<uint64_t>(spent.count()), 1));
  return Status();
}

int run_once(const BenchPlan& plan, const Test& test, trit_model* model, Measured* m) {
  ModelFlags flags = plan.flags;
  flags.threads = test.threads;
  if (test.planes) flags.planes = test.planes;
  flags.context = int64_t{test.depth} + test.tokens();
  reset_peak_rss();
  SessionHandle handle;
  if (const int code = open_session(flags, model, 0, &handle)) return code;
  Session* session = handle->session.get();
  const Status status = measure(test, session, m);
  if (interrupted()) return fail(TRIT_CANCELLED, "interrupted");
  if (!status.ok()) return fail(status);
  m->peak_rss_bytes = std::max(m->peak_rss_bytes, peak_rss_bytes());
  describe(session->model(), *session, m);
  return TRIT_OK;
}

// Bytes that a token of the test needs, on average over its tokens: decoding, all weights and the
// keys and values so far; in a prompt both once per chunk.
double bytes_per_token(const Test& test, const Measured& m) {
  const double kv = static_cast<double>(m.kv_position_bytes);
  const double weights = static_cast<double>(m.planes.weight_bytes);
  const uint32_t chunk = test.prompt ? m.chunk : 1;
  double bytes = 0;
  for (uint32_t done = 0; done < test.tokens();) {
    done += std::min(chunk, test.tokens() - done);
    bytes += weights + kv * (static_cast<double>(test.depth) + done);
  }
  return bytes / test.tokens();
}

// Of the layer and head matrices; of a prompt only the last token needs the head.
double multiply_adds(const Test& test, const Measured& m) {
  return static_cast<double>(m.layer_weights) * test.tokens() +
         static_cast<double>(m.head_weights) * (test.prompt ? 1 : test.tokens());
}

std::string time_text() {
  char text[32] = "";
  const std::time_t now = std::time(nullptr);
  struct tm parts = {};
  gmtime_r(&now, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string parameters_text(double count) {
  return count < 1e9 ? format("%.2f M", count / 1e6) : format("%.2f B", count / 1e9);
}

// "3+4", or "2-3+3" where not all have as many.
std::string planes_text(const ResidentPlanes& r) {
  return range_text(r.fewest_layers, r.layers) + "+" + range_text(r.fewest_head, r.head);
}

BenchRow make_row(const BenchPlan& plan, const Test& test, const Measured& m,
                  const Rooflines& roof) {
  std::vector<double> speeds, times;
  for (const uint64_t ns : m.samples_ns) {
    times.push_back(static_cast<double>(ns));
    speeds.push_back(test.tokens() * 1e9 / static_cast<double>(ns));
  }
  const double average = mean(speeds), middle = median(speeds),
               deviation = standard_deviation(speeds);
  const double bytes = bytes_per_token(test, m), dram = median(roof.dram), int8 = median(roof.int8);
  const double dram_share = dram > 0 ? bytes * middle / dram : 0;
  const double int8_share = multiply_adds(test, m) * middle / test.tokens() / int8;
  const auto cache = [&](const std::optional<std::string>& type) {
    return type.value_or(m.default_cache);
  };
  BenchRow row;
  row.fields = {{"build_version", std::string(trit_version())},
                {"cpu_info", cpu_name()},
                {"model_filename", test.model->path},
                {"model_name", m.name},
                {"model_type", m.architecture},
                {"encoding", m.encoding},
                {"model_size", m.planes.weight_bytes},
                {"model_n_params", m.planes.parameters},
                {"planes", uint64_t{m.planes.layers}},
                {"fewest_planes", uint64_t{m.planes.fewest_layers}},
                {"head_planes", uint64_t{m.planes.head}},
                {"fewest_head_planes", uint64_t{m.planes.fewest_head}},
                {"n_ubatch", uint64_t{m.chunk}},
                {"n_threads", uint64_t{test.threads}},
                {"type_k", cache(plan.flags.cache_k)},
                {"type_v", cache(plan.flags.cache_v)},
                {"use_mmap", *plan.flags.io == "mmap"},
                {"n_prompt", uint64_t{test.prompt}},
                {"n_gen", uint64_t{test.generation}},
                {"n_depth", uint64_t{test.depth}},
                {"test_time", time_text()},
                {"avg_ns", mean(times)},
                {"stddev_ns", standard_deviation(times)},
                {"avg_ts", average},
                {"stddev_ts", deviation},
                {"median_ts", middle},
                {"samples_ns", m.samples_ns},
                {"samples_ts", speeds},
                {"isa", std::string(trit_kernel_level())},
                {"bytes_per_token", bytes},
                {"kv_bytes_per_position", m.kv_position_bytes},
                {"gbps", bytes * average / 1e9},
                {"dram_gbps", dram / 1e9},
                {"dram_share", dram_share},
                {"int8_gmacs", int8 / 1e9},
                {"int8_share", int8_share},
                {"peak_rss_bytes", m.peak_rss_bytes}};
  row.columns = {
      {"model", m.name},
      {"size", format("%.1f MiB", static_cast<double>(m.planes.weight_bytes) / (1 << 20))},
      {"params", parameters_text(static_cast<double>(m.planes.parameters))},
      {"planes", planes_text(m.planes) + " " + m.encoding},
      {"isa", std::string(trit_kernel_level())},
      {"threads", format("%u", test.threads)},
      {"test", test.name()},
      {"t/s", format("%.2f ± %.2f", average, deviation)},
      {"median", format("%.2f", middle)},
      {"MB/token", format("%.1f", bytes / 1e6)},
      {"GB/s", format("%.1f", bytes * average / 1e9)},
      {"of DRAM", format("%.0f %% of %.1f", 100 * dram_share, dram / 1e9)},
      {"of int8", format("%.0f %% of %.0f G", 100 * int8_share, int8 / 1e9)},
      {"peak RSS", format("%.0f MiB", static_cast<double>(m.peak_rss_bytes) / (1 << 20))}};
  return row;
}

int run_round(const BenchPlan& plan, const std::vector<Test>& tests,
              std::map<uint32_t, Rooflines>* roofs, std::vector<Measured>* results,
              const std::function<void(const std::string&, size_t)>& progress) {
  for (const uint32_t threads : plan.threads) {
    ThreadPool pool(threads);
    const Roofline roof = measure_roofline(trit_kernel_level(), &pool);
    (*roofs)[threads].dram.push_back(roof.dram_bytes_per_second);
    (*roofs)[threads].int8.push_back(roof.int8_macs_per_second);
  }
  ModelHandle model;
  for (size_t i = 0; i < tests.size(); ++i) {
    const Test& test = tests[i];
    if (i == 0 || test.model != tests[i - 1].model || test.planes != tests[i - 1].planes) {
      ModelFlags flags = plan.flags;
      flags.model = test.model->path;
      flags.planes = test.planes;
      model.reset();
      if (const int code = open_model(flags, &model)) return code;
    }
    if (interrupted()) return fail(TRIT_CANCELLED, "interrupted");
    progress(test.name(), i);
    if (const int code = run_once(plan, test, model.get(), &(*results)[i])) return code;
  }
  return TRIT_OK;
}

}  // namespace

bool BenchPlan::has_sizes() const {
  const auto is_size = [](uint32_t n) { return n > 0; };
  return std::any_of(prompts.begin(), prompts.end(), is_size) ||
         std::any_of(generations.begin(), generations.end(), is_size);
}

int run_tests(const BenchPlan& plan, std::vector<BenchRow>* rows) {
  const std::vector<Test> tests = list_tests(plan);
  if (tests.empty()) return TRIT_OK;
  std::vector<Measured> results(tests.size());
  std::map<uint32_t, Rooflines> roofs;  // by threads
  Progress progress;
  for (uint32_t round = 0; round < plan.repetitions; ++round) {
    const std::string stage = format("round %u of %u", round + 1, plan.repetitions);
    const auto show = [&](const std::string& name, size_t i) {
      progress.update(stage, stage + ", " + name, round * tests.size() + i,
                      plan.repetitions * tests.size());
    };
    if (const int code = run_round(plan, tests, &roofs, &results, show)) return code;
  }
  for (size_t i = 0; i < tests.size(); ++i)
    rows->push_back(make_row(plan, tests[i], results[i], roofs[tests[i].threads]));
  return TRIT_OK;
}

}  // namespace trit
