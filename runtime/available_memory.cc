// See available_memory.h.
#include "runtime/available_memory.h"

#include <algorithm>

#ifdef __APPLE__
#include <mach/mach.h>
#endif

#include "model_format/mapped_file.h"
#include "runtime/linux_files.h"

namespace trit {

namespace {

// What this process holds, by whether the system could take it back.
struct Resident {
  uint64_t anonymous = 0, file = 0, addresses = 0;
};

#ifdef __APPLE__

void add_system(std::vector<MemoryBound>* bounds) {
  vm_statistics64_data_t vm;
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  task_vm_info_data_t task;
  mach_msg_type_number_t task_count = TASK_VM_INFO_COUNT;
  if (host_statistics64(mach_host_self(), HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&vm),
                        &count) != KERN_SUCCESS ||
      task_info(mach_task_self(), TASK_VM_INFO, reinterpret_cast<task_info_t>(&task),
                &task_count) != KERN_SUCCESS)
    return;
  bounds->push_back({MemoryBound::Kind::kSystem, "free and file-backed pages",
                     (uint64_t{vm.free_count} + vm.external_page_count) * page_bytes(), 0, 0,
                     task.phys_footprint});
}

#else

Resident resident(const std::string& root) {
  const std::string status = root + "/proc/self/status";
  Resident r;
  r.anonymous = keyed_number(status, "RssAnon").value_or(0);
  r.anonymous += keyed_number(status, "RssShmem").value_or(0);
  r.file = keyed_number(status, "RssFile").value_or(0);
  r.addresses = keyed_number(status, "VmSize").value_or(0);
  return r;
}

// One group's limit, of either version. Its statistics are those of the groups below it too.
void add_cgroup(const std::string& root, const std::string& folder, const char* limit_file,
                const char* usage_file, const char* of_all, const Resident& own,
                std::vector<MemoryBound>* bounds) {
  // Version 1 says "none" with the largest number of whole pages.
  constexpr uint64_t kNone = uint64_t{1} << 62;
  const auto limit = file_number(folder + "/" + limit_file);
  const auto used = file_number(folder + "/" + usage_file);
  if (!limit || !used || *limit >= kNone) return;
  const auto statistic = [&](const char* name) {
    return keyed_number(folder + "/memory.stat", of_all + std::string(name)).value_or(0);
  };
  const uint64_t reclaimable = std::min(statistic("inactive_file"), *used);
  // Our file pages that are inactive have just been counted; which are, nobody tells.
  const uint64_t held = own.anonymous + std::min(own.file, statistic("active_file"));
  bounds->push_back({MemoryBound::Kind::kCgroup, folder.substr(root.size()) + "/" + limit_file,
                     *limit, *used, reclaimable, std::min(held, *used - reclaimable)});
}

void add_system(const std::string& root, std::vector<MemoryBound>* bounds) {
  const Resident own = resident(root);
  // Our file pages are in it: the kernel counts clean page cache, mapped or not.
  if (const auto available = keyed_number(root + "/proc/meminfo", "MemAvailable"))
    bounds->push_back(
        {MemoryBound::Kind::kSystem, "MemAvailable", *available, 0, 0, own.anonymous});
  for (const std::string& folder : cgroup_folders(root, "memory")) {
    add_cgroup(root, folder, "memory.max", "memory.current", "", own, bounds);
    add_cgroup(root, folder, "memory.high", "memory.current", "", own, bounds);
    add_cgroup(root, folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_", own,
               bounds);
  }
  if (const auto limit = keyed_number(root + "/proc/self/limits", "Max address space"))
    bounds->push_back({MemoryBound::Kind::kAddressSpace, "RLIMIT_AS", *limit, own.addresses, 0,
                       own.anonymous + own.file});
}

#endif

bool less(const MemoryBound& a, const MemoryBound& b) {
  return a.bytes() < b.bytes();
}

}  // namespace

uint64_t MemoryBound::bytes() const {
  const uint64_t held = used_bytes - reclaimable_bytes, granted = limit_bytes + own_bytes;
  return granted > held ? granted - held : 0;
}

const MemoryBound& AvailableMemory::binding() const {
  return *std::min_element(bounds.begin(), bounds.end(), less);
}

uint64_t AvailableMemory::shared_bytes() const {
  uint64_t least = UINT64_MAX;
  for (const MemoryBound& bound : bounds)
    if (bound.kind != MemoryBound::Kind::kAddressSpace) least = std::min(least, bound.bytes());
  return least;
}

AvailableMemory available_memory(const std::string& root) {
  AvailableMemory memory;
#ifdef __APPLE__
  add_system(&memory.bounds);
#else
  add_system(root, &memory.bounds);
#endif
  if (memory.shared_bytes() == UINT64_MAX)
    memory.bounds.push_back(
        {MemoryBound::Kind::kSystem, "physical memory", physical_bytes(), 0, 0, 0});
  return memory;
}

std::string size_text(uint64_t bytes) {
  constexpr uint64_t kKibi = 1 << 10, kMebi = 1 << 20, kGibi = 1 << 30;
  const uint64_t unit = bytes < kMebi ? kKibi : bytes < 10 * kGibi ? kMebi : kGibi;
  // Rounded to tenths; no printf, whose point depends on the locale.
  const uint64_t tenths = bytes / unit * 10 + (bytes % unit * 10 + unit / 2) / unit;
  const char* name = unit == kKibi ? " KiB" : unit == kMebi ? " MiB" : " GiB";
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + name;
}

std::string formula(const MemoryBound& bound) {
  std::string text = size_text(bound.limit_bytes);
  if (bound.used_bytes) text += " - " + size_text(bound.used_bytes) + " used";
  if (bound.reclaimable_bytes) text += " + " + size_text(bound.reclaimable_bytes) + " page cache";
  if (bound.own_bytes) text += " + " + size_text(bound.own_bytes) + " of ours";
  return text + " = " + size_text(bound.bytes());
}

std::string explain(const MemoryBound& bound) {
  std::string text = formula(bound);
  return text.insert(size_text(bound.limit_bytes).size(), " in " + bound.name);
}

}  // namespace trit
