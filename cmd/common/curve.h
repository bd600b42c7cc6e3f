// Quality against memory as a picture: the same curve as text for a terminal (curve_plot.cc) and as
// a standalone SVG file (curve_svg.cc), both pure functions. The curve is a stair, because a budget
// between two prefixes gets the smaller one; lower is better. Not here: what a prefix takes and is
// worth (plan.cc).
#ifndef TRITSTACK_CMD_COMMON_CURVE_H_
#define TRITSTACK_CMD_COMMON_CURVE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cmd/common/size_text.h"

namespace trit {

struct CurvePoint {
  uint64_t bytes;
  double value;
};

struct CurveMark {
  size_t point;
  std::string label;    // "3 planes"
  bool chosen = false;  // what the budget buys
};

struct Curve {
  std::string title;               // "qwen.trit: Qwen3-0.6B"
  std::string subtitle;            // "context 4096, cache f16/f16, 8 threads"
  std::string value_name;          // of the y axis: "perplexity"
  std::string value_unit;          // behind each value: " %" or nothing
  int decimals = 1;                // of values
  std::vector<CurvePoint> points;  // by bytes; not empty
  std::vector<CurveMark> marks;    // by point
  size_t present = SIZE_MAX;       // points that are here; the others are yet to be downloaded
  std::optional<uint64_t> budget;
};

// Round numbers, `step` apart, that hold a range between the first and the last of them.
struct CurveAxis {
  CurveAxis(double least, double most, double wanted_steps);
  // Where a value lies: 0 at low, 1 at high.
  double place(double value) const { return (value - low) / (high - low); }
  int steps() const;
  std::string text(int tick) const;  // of low + tick * step

  double low, high, step;
};

// What both pictures of a curve have in common: their axes, and numbers as text.
struct CurveFrame {
  CurveFrame(const Curve& curve, double memory_steps, double value_steps);
  double x(uint64_t bytes) const;  // 0..1 from left to right for the points
  double y(double value) const { return values.place(value); }  // from bottom to top
  std::string point_text(size_t point) const;                   // "598.1 MiB, 41.3 %"

  const Curve& curve;
  SizeUnit unit;  // of the memory axis
  CurveAxis memory, values;
};

struct PlotStyle {
  uint32_t columns = 80;
  bool unicode = true;  // braille dots and lines, or plain ASCII
  bool color = false;
};
std::string plot_curve(const Curve& curve, const PlotStyle& style);
std::string svg_curve(const Curve& curve);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_CURVE_H_
