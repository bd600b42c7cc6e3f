// tritstack plan: what each prefix of the planes takes in memory and is worth, which of them a
// budget buys, and what fills that budget; from the head of the file alone, so the first part of a
// download tells it all. The arithmetic is runtime/memory_plan.h, the same that decides when a
// model runs. Not here: how a plan is shown (plan_report.h).
#include <algorithm>
#include <cmath>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/model_flags.h"
#include "cmd/plan_report.h"
#include "model_format/expected_loss.h"
#include "model_format/output_file.h"

namespace trit {

namespace {

struct PlanFlags {
  ModelFlags model;
  std::optional<std::string> svg;
  bool json = false, plot = false;
};

CommandLine command_line(PlanFlags* f) {
  return {
      "plan", "show what fits into how much memory, and how good it is",
      "  tritstack plan -m qwen.trit\n"
      "  tritstack plan -m qwen.trit --memory 700M -c 2048 --plot\n"
      "  tritstack plan -m begun-download.trit --svg plan.svg\n",
      join_flags(
          file_flags(&f->model), shape_flags(&f->model),
          {{"--plot", "", "draw quality against memory instead of the table",
            SwitchTarget{&f->plot}},
           {"--svg", "FILE", "write that curve as a picture too", TextTarget{&f->svg, {}}},
           {"--json", "", "print one JSON object, every prefix in it", SwitchTarget{&f->json}}})};
}

// The qualities of all prefixes: perplexities where the file has them, else an estimate.
std::vector<double> qualities(const ModelReader& reader, bool* measured) {
  std::vector<double> values;
  for (size_t i = reader.base_blocks() - 1; i < reader.blocks().size(); ++i)
    values.push_back(static_cast<double>(reader.blocks()[i].quality));
  *measured =
      std::none_of(values.begin(), values.end(), [](double value) { return std::isnan(value); });
  if (*measured) return values;
  values = expected_losses(reader);
  const double base = values.front();
  for (double& value : values) value = base > 0 ? 100 * value / base : 0;
  return values;
}

// How many matrices have how many planes, while blocks join.
class PlaneCounts {
 public:
  explicit PlaneCounts(const ModelReader& reader) : matrices_(reader.matrices()) {
    for (const MatrixInfo& m : matrices_) add(m, m.base_planes, 1);
  }
  void join(const BlockInfo& block) {
    const MatrixInfo& m = matrices_[block.matrix];
    add(m, block.plane, -1);
    add(m, block.plane + 1, 1);
  }
  PlaneRange layers() const { return range(layers_); }
  PlaneRange head() const { return range(head_); }

 private:
  using Counts = int64_t[kMaxPlanes + 1];
  void add(const MatrixInfo& m, uint32_t planes, int64_t count) {
    if (!is_dense(m.encoding)) (is_layer_role(m.role) ? layers_ : head_)[planes] += count;
  }
  static PlaneRange range(const Counts& counts) {
    PlaneRange r;
    for (uint32_t planes = kMaxPlanes; planes > 0; --planes) {
      if (counts[planes] == 0) continue;
      r.least = planes;
      r.most = std::max(r.most, planes);
    }
    return r;
  }

  const Span<const MatrixInfo> matrices_;
  Counts layers_ = {}, head_ = {};
};

void fill_prefixes(const std::vector<double>& quality, Plan* plan) {
  const ModelReader& reader = plan->reader;
  PlaneCounts planes(reader);
  uint64_t bytes = 0;
  for (size_t blocks = 1; blocks <= reader.blocks().size(); ++blocks) {
    const BlockInfo& block = reader.blocks()[blocks - 1];
    bytes += block.bytes;
    if (blocks > reader.base_blocks()) planes.join(block);
    if (blocks < reader.base_blocks()) continue;
    plan->prefixes.push_back({blocks, plan->memory.bytes(blocks), bytes, planes.layers(),
                              planes.head(), quality[blocks - reader.base_blocks()],
                              blocks <= reader.whole_blocks()});
  }
}

std::optional<CacheType> cache_type(const std::optional<std::string>& name) {
  if (!name) return std::nullopt;
  return *name == "f32" ? CacheType::kF32 : *name == "q8_0" ? CacheType::kQ8 : CacheType::kF16;
}

Result<Plan> make_plan(const ModelFlags& flags, const ModelReader& reader) {
  const Result<SessionShape> shape =
      session_shape(reader, {static_cast<uint32_t>(flags.context.value_or(0)),
                             static_cast<uint32_t>(flags.threads.value_or(0)),
                             static_cast<uint32_t>(flags.chunk.value_or(0)),
                             cache_type(flags.cache_k), cache_type(flags.cache_v)});
  if (!shape.ok()) return shape.status();
  Plan plan = {reader, shape.value(),      MemoryPlan(reader, {}), false, {},
               0,      available_memory(), !flags.memory,          0,     {}};
  plan.memory.add(session_use(reader, plan.shape));
  fill_prefixes(qualities(reader, &plan.measured), &plan);
  for (const MatrixInfo& m : reader.matrices()) plan.weights += uint64_t{m.rows} * m.cols;
  plan.budget = flags.memory.value_or(automatic_budget(plan.available.bytes()));
  // Before anything can run, the plan is for the whole file.
  const bool runs = reader.whole_blocks() >= reader.base_blocks();
  const size_t most = runs ? reader.whole_blocks() : reader.blocks().size();
  if (const auto blocks = plan.memory.longest_prefix(plan.budget, most))
    plan.chosen = *blocks - reader.base_blocks();
  return plan;
}

int write_svg(const std::string& path, const Plan& plan) {
  const std::string picture = svg_curve(plan_curve(plan));
  if (const int code = refuse_input(path, plan.reader.path(), "the model")) return code;
  Result<OutputFile> output = OutputFile::create(path, true);
  if (!output.ok()) return fail(output.status());
  const Status written = output->file().write(0, picture.data(), picture.size());
  if (!written.ok()) return fail(written);
  const Status published = output->publish();
  return published.ok() ? TRIT_OK : fail(published);
}

}  // namespace

int plan_command(int argc, char** argv) {
  PlanFlags flags;
  if (const auto end = parse_args(command_line(&flags), argc, argv)) return *end;
  if (flags.json && flags.plot)
    return fail(TRIT_USAGE, "plan: --json and --plot both write to standard output");
  announce_file(flags.model);
  const Result<ModelReader> reader = ModelReader::open(*flags.model.model);
  if (!reader.ok()) return fail(reader.status());
  const Result<Plan> plan = make_plan(flags.model, reader.value());
  if (!plan.ok()) return fail(plan.status());
  if (flags.svg) {
    if (const int code = write_svg(*flags.svg, plan.value())) return code;
  }
  if (flags.json)
    print_json(plan.value());
  else if (flags.plot)
    print_plot(plan.value());
  else
    print_table(plan.value());
  return TRIT_OK;
}

}  // namespace trit
