// See bench_table.h.
#include "cmd/bench_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cmd/common/output.h"

namespace trit {

namespace {

void write_value(const BenchValue& value, JsonWriter* out) {
  std::visit(
      [&](const auto& v) {
        using Type = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<Type, std::vector<double>> ||
                      std::is_same_v<Type, std::vector<uint64_t>>) {
          out->begin_array();
          for (const auto element : v) out->value(element);
          out->end_array();
        } else {
          out->value(v);
        }
      },
      value);
}

std::string object_text(const BenchRow& row) {
  JsonWriter out;
  out.begin_object();
  for (const auto& [name, value] : row.fields) write_value(value, &out.key(name));
  return out.end_object().text();
}

// A text in quotes, a list as one text, numbers as in JSON.
std::string csv_text(const BenchValue& value) {
  std::string text;
  if (const auto* plain = std::get_if<std::string>(&value)) {
    text = *plain;
  } else {
    JsonWriter out;
    write_value(value, &out);
    text = out.text();
    if (text[0] != '[') return text;
  }
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void print_csv(const std::vector<BenchRow>& rows) {
  const auto& names = rows.front().fields;
  for (size_t i = 0; i < names.size(); ++i) print((i ? "," : "") + std::string(names[i].first));
  print("\n");
  for (const BenchRow& row : rows) {
    for (size_t i = 0; i < row.fields.size(); ++i)
      print((i ? "," : "") + csv_text(row.fields[i].second));
    print("\n");
  }
}

// Columns on a terminal: UTF-8 characters.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

bool is_number(const std::string& text) {
  return !text.empty() && text[0] >= '0' && text[0] <= '9';
}

void print_markdown(const std::vector<BenchRow>& rows) {
  const auto& headings = rows.front().columns;
  std::vector<size_t> widths;
  for (size_t i = 0; i < headings.size(); ++i) {
    size_t width = width_of(headings[i].first);
    for (const BenchRow& row : rows) width = std::max(width, width_of(row.columns[i].second));
    widths.push_back(width);
  }
  const auto cell = [&](size_t i, const std::string& text) {
    const std::string space(widths[i] - width_of(text), ' ');
    const bool right = is_number(rows.front().columns[i].second);
    print("| " + (right ? space + text : text + space) + " ");
  };
  for (size_t i = 0; i < headings.size(); ++i) cell(i, headings[i].first);
  print("|\n");
  for (size_t i = 0; i < headings.size(); ++i) {
    const bool right = is_number(rows.front().columns[i].second);
    print("| " + std::string(widths[i] - 1, '-') + (right ? ": " : "- "));
  }
  print("|\n");
  for (const BenchRow& row : rows) {
    for (size_t i = 0; i < row.columns.size(); ++i) cell(i, row.columns[i].second);
    print("|\n");
  }
}

}  // namespace

void print_rows(const std::string& form, const std::vector<BenchRow>& rows) {
  if (form == "md") return print_markdown(rows);
  if (form == "csv") return print_csv(rows);
  const bool lines = form == "jsonl";
  if (!lines) print("[\n");
  for (size_t i = 0; i < rows.size(); ++i)
    print(object_text(rows[i]) + (lines || i + 1 == rows.size() ? "\n" : ",\n"));
  if (!lines) print("]\n");
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double middle = mean(values);
  double squares = 0;
  for (const double v : values) squares += (v - middle) * (v - middle);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

}  // namespace trit
