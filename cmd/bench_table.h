// How `tritstack bench` shows its results: the same rows as a Markdown table for people, and as
// csv, json or jsonl with every field for programs. Not here: what the fields mean (bench_run.h,
// bench_kernels.h).
#ifndef TRITSTACK_CMD_BENCH_TABLE_H_
#define TRITSTACK_CMD_BENCH_TABLE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace trit {

using BenchValue =
    std::variant<std::string, double, uint64_t, bool, std::vector<double>, std::vector<uint64_t>>;

struct BenchRow {
  // For programs, by name; the same names in every row.
  std::vector<std::pair<const char*, BenchValue>> fields;
  // For people: heading and text; numbers are set to the right.
  std::vector<std::pair<const char*, std::string>> columns;
};

// `form`: md, csv, json or jsonl.
void print_rows(const std::string& form, const std::vector<BenchRow>& rows);

double median(std::vector<double> values);  // not empty
double mean(const std::vector<double>& values);
double standard_deviation(const std::vector<double>& values);  // of the sample; 0 for one value

}  // namespace trit

#endif  // TRITSTACK_CMD_BENCH_TABLE_H_
