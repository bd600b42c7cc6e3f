// tritstack bench: how fast a model runs here, as llama-bench tells it, with the machine's own
// limits beside it. A model is a file, or random planes of the shape of a config.json.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "cmd/bench_kernels.h"
#include "cmd/bench_run.h"
#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/output.h"
#include "cmd/common/progress.h"
#include "model_format/convert/hf_config.h"
#include "model_format/convert/random_model.h"
#include "runtime/default_threads.h"
#include "runtime/thread_pool.h"

namespace trit {

namespace {

constexpr uint32_t kDefaultPlanes = 3, kDefaultHeadPlanes = 4;

struct BenchFlags {
  ModelFlags model;
  std::optional<std::string> config, save, encoding, output = "md";
  std::vector<std::string> planes, prompts, generations, depths, threads;
  std::optional<int64_t> head_planes, repetitions = 5, seed = 1;
  bool kernels = false, force = false, json = false;
};

// The row of a shared table whose names begin with `name`.
Flag shared_flag(const std::vector<Flag>& table, std::string_view name) {
  return *std::find_if(table.begin(), table.end(), [&](const Flag& flag) {
    return std::string_view(flag.names).substr(0, name.size()) == name;
  });
}

CommandLine command_line(BenchFlags* f) {
  const std::vector<Flag> models = model_flags(&f->model), sessions = session_flags(&f->model);
  Flag model = shared_flag(models, "-m,");
  model.required = false;
  return {
      "bench",
      "measure how fast a model runs here, and what the machine could do",
      "  tritstack bench -m qwen.trit -t 1,2\n"
      "  tritstack bench --config config.json --planes 1,2,3 -o json\n"
      "  tritstack bench --kernels\n",
      {model,
       {"--config", "FILE", "random planes of the shape of this config.json (or its folder)",
        TextTarget{&f->config, {}}},
       {"--kernels", "", "the main kernels, each alone, on every level of this CPU",
        SwitchTarget{&f->kernels}},
       {"-p, --n-prompt", "N,..", "tokens of a prompt; 0: none (default 512)",
        ListTarget{&f->prompts}},
       {"-n, --n-gen", "N,..", "tokens decoded one by one; 0: none (default 128)",
        ListTarget{&f->generations}},
       {"-d, --n-depth", "N,..", "tokens in the cache before (default 0)", ListTarget{&f->depths}},
       {"-t, --threads", "N,..", "threads (default: the fast cores this process may use)",
        ListTarget{&f->threads}},
       {"-r, --repetitions", "N", "of each test, all tests in turns",
        IntegerTarget{&f->repetitions, 1, 100000}},
       {"--planes", "K,..", "planes of the layer matrices (default: all; --config: 3, ternary 1)",
        ListTarget{&f->planes}},
       {"--head-planes", "N", "planes of embedding and head (default: all; --config: 4)",
        IntegerTarget{&f->head_planes, 1, kMaxPlanes}},
       {"--memory", "SIZE", "most memory of the whole process (default: no limit)",
        SizeTarget{&f->model.memory}},
       {"--encoding", "tied|free|native",
        "of --config (default: native for 1 plane of a ternary model, else tied)",
        TextTarget{&f->encoding, {"tied", "free", "native"}}},
       {"--save", "FILE.trit", "keep the model of --config", TextTarget{&f->save, {}}},
       {"--force", "", "let --save replace a file", SwitchTarget{&f->force}},
       {"-s, --seed", "N", "of --config", IntegerTarget{&f->seed, 0, INT64_MAX}},
       shared_flag(sessions, "-ub"),
       shared_flag(sessions, "-ctk"),
       shared_flag(sessions, "-ctv"),
       shared_flag(models, "--io"),
       shared_flag(models, "--verbose"),
       {"-o, --output", "md|csv|json|jsonl", "form of the results",
        TextTarget{&f->output, {"md", "csv", "json", "jsonl"}}},
       {"--json", "", "the same as -o json", SwitchTarget{&f->json}}}};
}

// "1,2" and repeated flags; `otherwise` where there are none. Returns an exit code (printed).
int read_counts(const char* flag, const std::vector<std::string>& texts, int64_t min, int64_t max,
                std::vector<uint32_t> otherwise, std::vector<uint32_t>* counts) {
  for (const std::string& text : texts) {
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(',', begin), text.size());
      const std::string_view word = std::string_view(text).substr(begin, end - begin);
      int64_t value = 0;
      if (!parse_integer(word, &value) || value < min || value > max) {
        return fail(TRIT_USAGE,
                    format("bench: %s: expected integers from %lld to %lld, found ", flag,
                           static_cast<long long>(min), static_cast<long long>(max)) +
                        trit::quoted(text));
      }
      counts->push_back(static_cast<uint32_t>(value));
      begin = end + 1;
    }
  }
  if (counts->empty()) *counts = std::move(otherwise);
  return TRIT_OK;
}

int read_plan(const BenchFlags& f, BenchPlan* plan) {
  plan->flags = f.model;
  plan->flags.head_planes = f.head_planes;
  plan->flags.smaller = "fewer tokens (-p, -n, -d) or -ctk q8_0 -ctv q8_0 make the cache smaller";
  plan->repetitions = static_cast<uint32_t>(*f.repetitions);
  constexpr int64_t kMost = 1 << 22;
  if (const int code = read_counts("-p", f.prompts, 0, kMost, {512}, &plan->prompts)) return code;
  if (const int code = read_counts("-n", f.generations, 0, kMost, {128}, &plan->generations))
    return code;
  if (const int code = read_counts("-d", f.depths, 0, kMost, {0}, &plan->depths)) return code;
  return read_counts("-t", f.threads, 1, kMaxThreads, {default_thread_count()}, &plan->threads);
}

// The folder of models that are not kept; gone with its owner.
class TemporaryFolder {
 public:
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  int create() {
    const char* base = getenv("TMPDIR");
    std::string path = (base && *base ? base : "/tmp") + std::string("/tritstack-bench-XXXXXX");
    if (!mkdtemp(path.data())) return fail_io(path, "create", errno);
    path_ = path;
    return TRIT_OK;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A file that was just written lies in the page cache in small pages; what is read from the disk
// lies there in pages of 2 MiB (Linux 6.18, ext4), and decodes a tenth faster.
void leave_page_cache([[maybe_unused]] const std::string& path) {
#ifdef POSIX_FADV_DONTNEED
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
#endif
}

Result<HfConfig> read_config(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return read_hf_config(path);
  const fs::path file(path), folder = file.parent_path();
  if (file.filename() == "config.json") return read_hf_config(folder.empty() ? "." : folder);
  return read_hf_config_file(path, file.stem());
}

// Which files hold the plane counts: a prefix of a tied stack is the smaller model, so one file
// serves all; native has one plane, and free planes belong together.
std::vector<std::pair<Encoding, std::vector<uint32_t>>> split_by_file(
    const BenchFlags& f, bool ternary, const std::vector<uint32_t>& planes) {
  std::vector<std::pair<Encoding, std::vector<uint32_t>>> files;
  for (const uint32_t p : planes) {
    Encoding encoding = ternary && p == 1 ? Encoding::kNative : Encoding::kTied;
    if (f.encoding)
      encoding = *f.encoding == "native" ? Encoding::kNative
                 : *f.encoding == "free" ? Encoding::kFree
                                         : Encoding::kTied;
    const auto same = std::find_if(files.begin(), files.end(),
                                   [&](const auto& file) { return file.first == encoding; });
    if (same != files.end() && encoding != Encoding::kFree) {
      same->second.push_back(p);
    } else {
      files.push_back({encoding, {p}});
    }
  }
  return files;
}

// Writes the random models of --config, as many files as their encodings need.
int make_models(const BenchFlags& f, const TemporaryFolder& folder, BenchPlan* plan) {
  auto config = read_config(*f.config);
  if (!config.ok()) return fail(config.status());
  const bool ternary = config.value().ternary != TernaryForm::kNone;
  const bool native = f.encoding ? *f.encoding == "native" : ternary;
  std::vector<uint32_t> planes;
  const int64_t most = f.encoding && native ? 1 : kMaxPlanes;
  if (const int code =
          read_counts("--planes", f.planes, 1, most, {native ? 1 : kDefaultPlanes}, &planes))
    return code;
  const auto files = split_by_file(f, ternary, planes);
  if (f.save && files.size() > 1) {
    return fail(TRIT_USAGE, "bench: --save keeps one file, these planes need " +
                                std::to_string(files.size()) + "; --encoding tied needs one");
  }
  for (const auto& [encoding, counts] : files) {
    RandomModel model;
    model.config = config.value().model;
    model.encoding = encoding;
    model.planes = *std::max_element(counts.begin(), counts.end());
    model.head_planes = static_cast<uint32_t>(f.head_planes.value_or(kDefaultHeadPlanes));
    model.seed = static_cast<uint64_t>(*f.seed);
    model.threads = default_thread_count();
    model.force = f.force;
    const std::string path =
        f.save ? *f.save : folder.path() + "/" + std::to_string(plan->models.size()) + ".trit";
    Progress progress;
    const auto show = [&](uint64_t done, uint64_t total) {
      progress.update("writing a random model", "", done, total);
    };
    const Status written = write_random_model(path, model, show, interrupted());
    if (!written.ok()) return fail(written);
    leave_page_cache(path);
    plan->models.push_back({path, counts});
  }
  return TRIT_OK;
}

int run_models(const BenchFlags& f, BenchPlan* plan, std::vector<BenchRow>* rows) {
  if (!f.save && !plan->has_sizes())
    return fail(TRIT_USAGE, "bench: -p 0 -n 0: nothing to measure");
  TemporaryFolder folder;
  if (f.model.model) {
    std::vector<uint32_t> planes;
    if (const int code = read_counts("--planes", f.planes, 1, kMaxPlanes, {0}, &planes))
      return code;
    plan->models.push_back({*f.model.model, planes});
  } else {
    if (!f.save)
      if (const int code = folder.create()) return code;
    if (const int code = make_models(f, folder, plan)) return code;
  }
  return run_tests(*plan, rows);
}

}  // namespace

int bench_command(int argc, char** argv) {
  BenchFlags flags;
  if (const auto end = parse_args(command_line(&flags), argc, argv)) return *end;
  if (flags.model.model.has_value() + flags.config.has_value() + flags.kernels != 1)
    return fail(TRIT_USAGE, "bench: expected one of -m FILE, --config FILE and --kernels");
  if (!flags.config && (flags.save || flags.encoding))
    return fail(TRIT_USAGE, "bench: --save and --encoding need --config FILE");
  if (flags.save)
    if (const int code = refuse_input(*flags.save, *flags.config, "the --config")) return code;
  catch_interrupts();
  BenchPlan plan;
  if (const int code = read_plan(flags, &plan)) return code;
  std::vector<BenchRow> rows;
  if (const int code = flags.kernels ? run_kernels(plan.threads, plan.repetitions, &rows)
                                     : run_models(flags, &plan, &rows))
    return code;
  if (!rows.empty()) print_rows(flags.json ? "json" : *flags.output, rows);
  return TRIT_OK;
}

}  // namespace trit
