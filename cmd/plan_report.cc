// See plan_report.h.
#include "cmd/plan_report.h"

#include <unistd.h>

#include <algorithm>

#include "cmd/common/error.h"
#include "cmd/common/output.h"
#include "cmd/common/size_text.h"
#include "cmd/common/terminal.h"

namespace trit {

namespace {

constexpr size_t kRowsBetween = 10;  // of the table, beside base, whole plane counts and all
constexpr uint32_t kWidestPlot = 120;

const char* cache_name(CacheType type) {
  return type == CacheType::kF32 ? "f32" : type == CacheType::kQ8 ? "q8_0" : "f16";
}

std::string shape_text(const SessionShape& shape) {
  return format("context %u, cache %s/%s, threads %u", shape.context, cache_name(shape.cache_k),
                cache_name(shape.cache_v), shape.threads);
}

std::string planes_text(const PlaneRange& range) {
  return range.most == 0 ? "dense" : range_text(range.least, range.most);
}

std::string count_text(uint64_t weights) {
  const double count = static_cast<double>(weights);
  return count < 1e9 ? format("%.3g million", count / 1e6) : format("%.3g billion", count / 1e9);
}

std::string quality_text(const Plan& plan, double quality) {
  return plan.measured ? format("%.2f", quality) : format("%.1f %%", quality);
}

double bits_per_weight(const Plan& plan, const Prefix& prefix) {
  return 8.0 * static_cast<double>(prefix.block_bytes) / static_cast<double>(plan.weights);
}

struct Use {
  const char* name;
  const char* json_name;
  uint64_t bytes;
};

std::vector<Use> uses(const MemoryUse& use) {
  return {{"weights", "weights", use.weights},
          {"KV cache", "kv_cache", use.cache},
          {"activations", "activations", use.activations},
          {"tokenizer and tables", "tokenizer_and_tables", use.tokenizer + use.head},
          {"process", "process", use.process + use.threads}};
}

// The prefixes with names of their own: the base, each whole number of planes, all; and the choice.
std::vector<CurveMark> named_prefixes(const Plan& plan) {
  const std::vector<Prefix>& all = plan.prefixes;
  std::vector<CurveMark> marks;
  for (size_t i = 0; i < all.size(); ++i) {
    const uint32_t planes = all[i].layers.least;
    const bool first = i == 0, last = i + 1 == all.size(), chosen = i == plan.chosen;
    const bool whole = first || planes != all[i - 1].layers.least;
    if (!whole && !last && !chosen) continue;
    std::string label = planes == 0   ? "dense"
                        : planes == 1 ? "1 plane"
                                      : std::to_string(planes) + " planes";
    if (first && !last) label += " (base)";
    if (!whole) label = last ? "all planes" : format("base + %zu block%s", i, i == 1 ? "" : "s");
    marks.push_back({i, label, chosen});
  }
  return marks;
}

// Those and some between them, evenly spread over the memory.
std::vector<size_t> table_rows(const Plan& plan) {
  std::vector<size_t> rows;
  for (const CurveMark& mark : named_prefixes(plan)) rows.push_back(mark.point);
  const uint64_t first = plan.prefixes.front().memory, last = plan.prefixes.back().memory;
  for (size_t k = 1; k <= kRowsBetween; ++k) {
    const uint64_t wanted = first + (last - first) * k / (kRowsBetween + 1);
    const auto after =
        std::upper_bound(plan.prefixes.begin(), plan.prefixes.end(), wanted,
                         [](uint64_t bytes, const Prefix& p) { return bytes < p.memory; });
    rows.push_back(static_cast<size_t>(after - plan.prefixes.begin()) - 1);
  }
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

void print_rows(const Plan& plan) {
  const SizeUnit unit(plan.prefixes.back().memory);
  const bool color = use_color(STDOUT_FILENO);
  print(format("  %-7s %-6s %12s %12s %12s %12s\n", "planes", "head",
               format("memory, %s", unit.name).c_str(), "weights", "bits/weight",
               plan.measured ? "perplexity" : "rel. loss"));
  for (const size_t i : table_rows(plan)) {
    const Prefix& p = plan.prefixes[i];
    const bool chosen = i == plan.chosen;
    std::string line = format("%c %-7s %-6s %12s %12s %12.2f %12s", chosen ? '>' : ' ',
                              planes_text(p.layers).c_str(), planes_text(p.head).c_str(),
                              unit.number(p.memory).c_str(),
                              unit.number(plan.memory.use(p.blocks).weights).c_str(),
                              bits_per_weight(plan, p), quality_text(plan, p.quality).c_str());
    if (chosen) line += "  <- budget";
    if (!p.here) line += "  not here yet";
    print(color && chosen ? "\x1b[1m" + line + "\x1b[0m\n" : line + "\n");
  }
  print("\nplanes and head: what --planes and --head-planes pin, where both are whole numbers\n");
  if (!plan.measured)
    print("rel. loss: what fewer planes add to the loss, by estimate; base planes = 100 %\n");
}

// What the budget is, what it buys, and how to get the same again.
void print_budget(const Plan& plan) {
  std::string text = "budget " + size_text(plan.budget);
  if (plan.automatic)
    text += format(", seven eighths of what is free (--memory %llu repeats it):\n  %s",
                   static_cast<unsigned long long>(plan.budget),
                   explain(plan.available.binding()).c_str());
  if (!plan.chosen) {
    const uint64_t least = plan.memory.smallest();
    text += format("\n  too small: the base planes take %s; --memory %llu is the least that works",
                   size_text(least).c_str(), static_cast<unsigned long long>(least));
  }
  print("\n" + text + "\n");
}

void print_uses(const Plan& plan) {
  const Prefix& shown = plan.prefixes[plan.chosen.value_or(0)];
  const MemoryUse use = plan.memory.use(shown.blocks);
  const SizeUnit unit(use.total());
  print(format("\n%s of memory, %s:\n", unit.text(use.total()).c_str(),
               plan.chosen ? "what the budget buys" : "the base planes alone"));
  for (const Use& u : uses(use)) {
    print(format("  %-20s %12s %6.1f %%\n", u.name, unit.number(u.bytes).c_str(),
                 100.0 * static_cast<double>(u.bytes) / static_cast<double>(use.total())));
  }
  const uint64_t file = use.weights + use.head + use.tokenizer;
  print(format("  file pages, which the system can take back: %s; private: %s\n",
               unit.text(file).c_str(), unit.text(use.total() - file).c_str()));
}

// Of a download that is not complete.
void print_missing(const Plan& plan) {
  const ModelReader& reader = plan.reader;
  if (reader.size() == reader.file_bytes()) return;
  const SizeUnit unit(reader.file_bytes());
  print(format("\nof the file %s of %s are here, %s are missing:\n  ",
               unit.number(reader.size()).c_str(), unit.text(reader.file_bytes()).c_str(),
               unit.text(reader.file_bytes() - reader.size()).c_str()));
  if (reader.whole_blocks() < reader.base_blocks()) {
    print(format("nothing can run before the base is whole, which takes %s more\n",
                 unit.text(reader.base_end() - reader.size()).c_str()));
  } else {
    const size_t all = reader.blocks().size();
    print(format("of %zu blocks %zu are whole", all, reader.whole_blocks()));
    if (const auto later = plan.memory.longest_prefix(plan.budget, all))
      print(format("; with the rest the budget buys %zu, %s", *later,
                   unit.text(plan.memory.bytes(*later)).c_str()));
    print("\n");
  }
}

void print_ends(const Plan& plan) {
  print_budget(plan);
  print_uses(plan);
  print_missing(plan);
}

}  // namespace

Curve plan_curve(const Plan& plan) {
  Curve curve;
  curve.title = plan.reader.config().name + ": quality against memory";
  curve.subtitle = shape_text(plan.shape);
  curve.value_name = plan.measured
                         ? "perplexity, lower is better"
                         : "relative loss, lower is better (an estimate; base planes = 100 %)";
  curve.value_unit = plan.measured ? "" : " %";
  curve.decimals = plan.measured ? 2 : 1;
  for (const Prefix& p : plan.prefixes) curve.points.push_back({p.memory, p.quality});
  curve.marks = named_prefixes(plan);
  const auto missing = std::find_if(plan.prefixes.begin(), plan.prefixes.end(),
                                    [](const Prefix& p) { return !p.here; });
  curve.present = static_cast<size_t>(missing - plan.prefixes.begin());
  if (missing != plan.prefixes.end()) curve.subtitle += "; dotted: not here yet";
  curve.budget = plan.budget;
  return curve;
}

void print_table(const Plan& plan) {
  print(format("%s: %s, %s weights\n%s\n\n", plan.reader.path().c_str(),
               plan.reader.config().name.c_str(), count_text(plan.weights).c_str(),
               shape_text(plan.shape).c_str()));
  print_rows(plan);
  print_ends(plan);
}

void print_plot(const Plan& plan) {
  PlotStyle style;
  if (is_terminal(STDOUT_FILENO))
    style.columns = std::min(terminal_columns(STDOUT_FILENO), kWidestPlot);
  style.unicode = shows_unicode();
  style.color = use_color(STDOUT_FILENO);
  print(plot_curve(plan_curve(plan), style));
  print_ends(plan);
}

void print_json(const Plan& plan) {
  const auto range = [](JsonWriter* out, const char* name, const PlaneRange& r) {
    out->key(name).begin_array().value(r.least).value(r.most).end_array();
  };
  JsonWriter out;
  out.begin_object().member("file", plan.reader.path());
  out.member("name", plan.reader.config().name).member("weights", plan.weights);
  out.member("file_bytes", plan.reader.file_bytes()).member("present_bytes", plan.reader.size());
  out.member("base_bytes", plan.reader.base_end()).member("context", plan.shape.context);
  out.member("cache_k", cache_name(plan.shape.cache_k));
  out.member("cache_v", cache_name(plan.shape.cache_v)).member("threads", plan.shape.threads);
  out.member("available_bytes", plan.available.bytes());
  out.member("available", explain(plan.available.binding())).member("automatic", plan.automatic);
  out.member("budget_bytes", plan.budget).member("smallest_bytes", plan.memory.smallest());
  out.member("quality", plan.measured ? "perplexity" : "relative loss in percent of the base's");
  if (plan.chosen) {
    const Prefix& chosen = plan.prefixes[*plan.chosen];
    out.key("chosen").begin_object().member("blocks", uint64_t{chosen.blocks});
    out.member("memory_bytes", chosen.memory);
    for (const Use& u : uses(plan.memory.use(chosen.blocks))) out.member(u.json_name, u.bytes);
    out.end_object();
  }
  out.key("prefixes").begin_array();
  for (const Prefix& p : plan.prefixes) {
    out.begin_object().member("blocks", uint64_t{p.blocks}).member("memory_bytes", p.memory);
    out.member("weight_bytes", p.block_bytes).member("bits_per_weight", bits_per_weight(plan, p));
    range(&out, "planes", p.layers);
    range(&out, "head_planes", p.head);
    out.member("quality", p.quality).member("present", p.here).end_object();
  }
  print(out.end_array().end_object().text() + "\n");
}

}  // namespace trit
