// tritstack doctor: what this machine gives a model, whether the kernels compute right on it, and
// how to mend what is wrong.
#include <chrono>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/kernel_check.h"
#include "cmd/common/machine_report.h"
#include "cmd/common/output.h"

namespace trit {

namespace {

constexpr size_t kColumns = 80 - 11;  // beside the labels

// The label once, at the first line of a section.
void print_line(const char* label, const std::string& text) {
  print(format("%-10s ", label) + text + "\n");
}

std::string plural(uint64_t count, const char* thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

// "0-3,8"
std::string cpu_ranges(const std::vector<uint32_t>& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size(); ++i) {
    const size_t first = i;
    while (i + 1 < cpus.size() && cpus[i + 1] == cpus[i] + 1) ++i;
    text += (text.empty() ? "" : ",") + std::to_string(cpus[first]);
    if (i > first) text += "-" + std::to_string(cpus[i]);
  }
  return text;
}

std::string cluster_text(const CoreCluster& cluster) {
  std::string text = (cluster.cpus.size() == 1 ? "CPU " : "CPUs ") + cpu_ranges(cluster.cpus);
  if (cluster.kilohertz)
    text += format(", %llu MHz", static_cast<unsigned long long>(cluster.kilohertz / 1000));
  if (cluster.capacity) text += format(", capacity %u of 1024", cluster.capacity);
  return text + (cluster.fast ? "" : ": too slow to wait for");
}

// "1.5", from tenths: no printf, whose point depends on the locale.
std::string tenths(double number) {
  const uint64_t rounded = static_cast<uint64_t>(number * 10 + 0.5);
  return std::to_string(rounded / 10) + (rounded % 10 ? "." + std::to_string(rounded % 10) : "");
}

std::string thread_reason(const ThreadChoice& choice) {
  std::string text = plural(choice.allowed_cpus, "CPU") + " may run us";
  if (choice.fast_cpus < choice.allowed_cpus) text += format(", %u of them fast", choice.fast_cpus);
  text += ", on " + plural(choice.fast_cores, "core");
  if (choice.quota_cpus > 0) text += ", and the cgroup pays for " + tenths(choice.quota_cpus);
  return text;
}

std::string level_text(const KernelLevel& level) {
  std::string text = format("%-11s ", level.isa.c_str());
  if (level.isa == "scalar") {
    text += "the reference";
  } else if (level.wrong.empty()) {
    text += "same bits as scalar";
  } else {
    text += format("WRONG in %zu of %zu kernels", level.wrong.size(), checked_kernels().size());
  }
  return text + (level.in_use ? ", in use" : "");
}

void print_memory(const MachineReport& report) {
  const AvailableMemory& memory = report.memory;
  print_line("memory", size_text(memory.bytes()) + " for this process; --memory auto takes " +
                           size_text(automatic_budget(memory.bytes())) + ", 7/8 of it");
  bool cgroup = false;
  for (const MemoryBound& bound : memory.bounds) {
    cgroup |= bound.kind == MemoryBound::Kind::kCgroup;
    const bool least = memory.bounds.size() > 1 && &bound == &memory.binding();
    const std::string numbers = formula(bound);
    const bool fits = bound.name.size() + numbers.size() + 2 <= kColumns;
    print_line(least ? "  least" : "", bound.name + ":" + (fits ? " " + numbers : ""));
    if (!fits) print_line("", "  " + numbers);
  }
  if (!cgroup) print_line("", "no limit by a cgroup");
  print_line("", report.reports_stalls ? "when it gets scarce, the kernel reports it (PSI)"
                                       : "when it gets scarce, looking once a second tells");
}

void print_text(const MachineReport& report, const std::vector<Problem>& problems) {
  print_line("tritstack", std::string(trit_version()));
  print_line("cpu", report.cpu.empty() ? "of unknown name" : report.cpu);
  std::string features;
  for (const std::string& feature : report.features) features += " " + feature;
  print_line("", "has" + (features.empty() ? " none of the instructions in use" : features));
  const char* label = "kernels";
  for (const KernelLevel& level : report.levels) {
    print_line(label, level_text(level));
    label = "";
  }
  print_memory(report);
  print_line("pages", size_text(report.page_bytes) + ", huge pages: " +
                          (report.huge_pages.empty() ? "not here" : report.huge_pages));
  label = "cores";
  for (const CoreCluster& cluster : report.threads.clusters) {
    print_line(label, cluster_text(cluster));
    label = "";
  }
  print_line("threads",
             std::to_string(report.threads.threads) + ": " + thread_reason(report.threads));
  print("\n");
  if (problems.empty()) print("Nothing is wrong.\n");
  for (const Problem& problem : problems) {
    print_line("problem", problem.what);
    print_line("  fix", problem.fix);
  }
}

void write_memory(const MachineReport& report, JsonWriter* out) {
  const AvailableMemory& memory = report.memory;
  out->key("memory").begin_object().member("available_bytes", memory.bytes());
  out->member("automatic_budget_bytes", automatic_budget(memory.bytes()));
  out->member("bound", memory.binding().name).key("bounds").begin_array();
  for (const MemoryBound& bound : memory.bounds) {
    out->begin_object().member("name", bound.name).member("limit_bytes", bound.limit_bytes);
    out->member("used_bytes", bound.used_bytes);
    out->member("reclaimable_bytes", bound.reclaimable_bytes);
    out->member("own_bytes", bound.own_bytes).member("bytes", bound.bytes()).end_object();
  }
  out->end_array().member("reports_stalls", report.reports_stalls);
  out->member("page_bytes", report.page_bytes).member("huge_pages", report.huge_pages);
  out->end_object();
}

void write_threads(const ThreadChoice& choice, JsonWriter* out) {
  out->key("clusters").begin_array();
  for (const CoreCluster& cluster : choice.clusters) {
    out->begin_object().member("cpus", cpu_ranges(cluster.cpus));
    out->member("capacity", cluster.capacity).member("kilohertz", cluster.kilohertz);
    out->member("fast", cluster.fast).end_object();
  }
  out->end_array().key("threads").begin_object().member("count", choice.threads);
  out->member("reason", thread_reason(choice)).member("allowed_cpus", choice.allowed_cpus);
  out->member("fast_cpus", choice.fast_cpus).member("fast_cores", choice.fast_cores);
  out->member("quota_cpus", choice.quota_cpus).end_object();
}

void print_json(const MachineReport& report, const std::vector<Problem>& problems, bool ok) {
  JsonWriter out;
  out.begin_object().member("ok", ok).member("version", trit_version());
  out.member("cpu", report.cpu).key("features").begin_array();
  for (const std::string& feature : report.features) out.value(feature);
  out.end_array().key("kernels").begin_array();
  for (const KernelLevel& level : report.levels) {
    out.begin_object().member("isa", level.isa).member("in_use", level.in_use);
    out.key("wrong").begin_array();
    for (const std::string& kernel : level.wrong) out.value(kernel);
    out.end_array().end_object();
  }
  out.end_array();
  write_memory(report, &out);
  write_threads(report.threads, &out);
  out.key("problems").begin_array();
  for (const Problem& problem : problems)
    out.begin_object().member("what", problem.what).member("fix", problem.fix).end_object();
  print(out.end_array().end_object().text() + "\n");
}

}  // namespace

int doctor_command(int argc, char** argv) {
  bool json = false, verbose = false;
  const CommandLine command = {
      "doctor",
      "check this machine, and say what to do about problems",
      "  tritstack doctor\n  tritstack doctor --json\n",
      {{"--json", "", "print one JSON object", SwitchTarget{&json}},
       {"--verbose", "", "show what was checked and how long it took", SwitchTarget{&verbose}}}};
  if (const auto end = parse_args(command, argc, argv)) return *end;
  const auto start = std::chrono::steady_clock::now();
  const MachineReport report = read_machine("", choose_threads());
  const std::vector<Problem> problems = find_problems(report);
  if (verbose) {
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    note(format("%zu kernels of %zu levels checked in %.0f ms", checked_kernels().size(),
                report.levels.size(), time.count()));
  }
  bool ok = true;
  for (const Problem& problem : problems) ok &= !problem.fatal;
  json ? print_json(report, problems, ok) : print_text(report, problems);
  return ok ? TRIT_OK : TRIT_INTERNAL;
}

}  // namespace trit
