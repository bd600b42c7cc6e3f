// The pictures of quality against memory: what is in them, that text fits its columns, and that the
// SVG is well-formed and stays inside its frame.
#include "cmd/common/curve.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

namespace trit {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// 100 % at 400 MiB to 10 % at 600 MiB in 41 points.
Curve falling_curve() {
  Curve curve;
  curve.title = "a <model> & more";
  curve.subtitle = "context 4096";
  curve.value_name = "loss";
  curve.value_unit = " %";
  for (uint64_t i = 0; i <= 40; ++i)
    curve.points.push_back({(400 + 5 * i) * kMiB, 100 - 2.25 * static_cast<double>(i)});
  curve.marks = {{0, "the base", false}, {20, "the choice", true}, {40, "all of it", false}};
  curve.budget = 502 * kMiB;
  return curve;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

size_t columns_of(const std::string& line) {
  return static_cast<size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// Every element that opens closes in turn.
bool is_balanced(const std::string& svg) {
  std::vector<std::string> open;
  for (size_t at = svg.find('<'); at != std::string::npos; at = svg.find('<', at + 1)) {
    const size_t end = svg.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = svg.substr(at + 1, end - at - 1);
    const std::string name =
        tag.substr(tag[0] == '/', tag.find_first_of(" /", 1) - (tag[0] == '/'));
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
  }
  return open.empty();
}

TEST_CASE("an axis holds its range between round numbers") {
  const CurveAxis axis(393, 614, 5);
  CHECK(axis.low == 350);
  CHECK(axis.high == 650);
  CHECK(axis.step == 50);
  CHECK(axis.steps() == 6);
  CHECK(axis.text(6) == "650");
  CHECK(CurveAxis(9.81, 10.63, 5).text(1) == "10.0");
  CHECK(CurveAxis(0, 100, 5).step == 20);
  for (const double least : {0.0, 1e-3, 7.0, 3.2e10}) {
    for (const double range : {0.0, 0.02, 3.0, 1e6}) {
      const CurveAxis any(least, least + range, 5);
      CAPTURE(least);
      CAPTURE(range);
      CHECK(any.low <= least);
      CHECK(any.high >= least + range);
      CHECK(any.high > any.low);
      CHECK(any.steps() >= 1);
      CHECK(any.steps() <= 12);
    }
  }
}

TEST_CASE("a plot fits its columns and names its marks, beside them and below with their numbers") {
  const Curve curve = falling_curve();
  for (const uint32_t columns : {72u, 80u, 120u}) {
    for (const bool unicode : {false, true}) {
      PlotStyle style;
      style.columns = columns;
      style.unicode = unicode;
      const std::string plot = plot_curve(curve, style);
      CAPTURE(plot);
      for (const std::string& line : lines_of(plot)) CHECK(columns_of(line) <= columns);
      for (const CurveMark& mark : curve.marks) CHECK(count(plot, mark.label) == 2);
      CHECK(count(plot, unicode ? "●" : "@") == 2);
      CHECK(count(plot, "○") == (unicode ? 4 : 0));
      CHECK(plot.find("budget 502.0 MiB") != std::string::npos);
      CHECK(plot.find("500.0 MiB, 55.0 %, what the budget buys") != std::string::npos);
      CHECK(plot.find('\x1b') == std::string::npos);
      if (!unicode) CHECK(columns_of(plot) == plot.size());
    }
  }
}

TEST_CASE("a plot is drawn at any width, for one point, and for values that are all the same") {
  Curve curve = falling_curve();
  for (const uint32_t columns : {1u, 20u, 40u, 300u}) {
    PlotStyle style;
    style.columns = columns;
    CHECK(count(plot_curve(curve, style), "●") >= 1);
  }
  for (CurvePoint& point : curve.points) point.value = 0;
  CHECK(count(plot_curve(curve, {}), "●") == 2);
  curve.points.resize(1);
  curve.marks = {{0, "dense", true}};
  CHECK(count(plot_curve(curve, {}), "dense") == 2);
  CHECK(is_balanced(svg_curve(curve)));
}

TEST_CASE("the stair falls from the top left to the bottom right") {
  const std::vector<std::string> lines = lines_of(plot_curve(falling_curve(), {}));
  const auto line_with = [&](const std::string& part) {
    return std::find_if(lines.begin(), lines.end(),
                        [&](const std::string& line) { return count(line, part) > 0; });
  };
  const auto top = line_with("100 %"), bottom = line_with("   0 %");
  const auto first = line_with("○"), choice = line_with("●");
  CHECK(first == top);
  CHECK(choice - first > 5);
  CHECK(bottom - choice > 5);
  CHECK(choice->find("●") > first->find("○"));
}

TEST_CASE("colours come and go with the style") {
  PlotStyle style;
  style.color = true;
  std::string plot = plot_curve(falling_curve(), style);
  CHECK(count(plot, "\x1b[36m") > 5);
  for (const char* escape : {"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[36m"}) {
    while (plot.find(escape) != std::string::npos)
      plot.erase(plot.find(escape), std::string(escape).size());
  }
  CHECK(plot == plot_curve(falling_curve(), {}));
}

TEST_CASE("the SVG is well-formed, light and dark, with a circle for each mark") {
  const std::string svg = svg_curve(falling_curve());
  CHECK(is_balanced(svg));
  CHECK(svg.size() < 16000);
  CHECK(svg.find("a &lt;model> &amp; more") != std::string::npos);
  CHECK(svg.find("prefers-color-scheme:dark") != std::string::npos);
  CHECK(count(svg, "<circle") == 3);
  CHECK(count(svg, "class=\"mark chosen\"") == 1);
  CHECK(count(svg, "<path") == 1);
  for (const char* label : {"the base", "the choice", "all of it", "budget 502.0 MiB"})
    CHECK(count(svg, std::string(">") + label + "<") == 1);
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
}

TEST_CASE("labels of points that lie close do not cover each other") {
  Curve curve = falling_curve();
  curve.marks = {{0, "the base", false}, {38, "nearly all", false}, {40, "all of it", true}};
  const std::string svg = svg_curve(curve);
  // The boxes behind labels: x, y, width, height.
  struct Box {
    double x, y, width, height;
  };
  std::vector<Box> boxes;
  for (size_t at = svg.find("<rect x="); at != std::string::npos;
       at = svg.find("<rect x=", at + 1)) {
    Box b = {};
    REQUIRE(std::sscanf(svg.c_str() + at, "<rect x=\"%lf\" y=\"%lf\" width=\"%lf\" height=\"%lf\"",
                        &b.x, &b.y, &b.width, &b.height) == 4);
    CHECK(b.x >= 0);
    CHECK(b.x + b.width <= 760);
    for (const Box& other : boxes) {
      const bool apart = b.x + b.width <= other.x || other.x + other.width <= b.x ||
                         b.y + b.height <= other.y || other.y + other.height <= b.y;
      CHECK(apart);
    }
    boxes.push_back(b);
  }
  CHECK(boxes.size() == 3);
}

TEST_CASE("what is not downloaded yet is dotted, and a budget far away is an arrow") {
  Curve curve = falling_curve();
  curve.present = 21;
  curve.budget = 20480 * kMiB;
  const std::string svg = svg_curve(curve);
  CHECK(count(svg, "class=\"curve missing\"") == 1);
  CHECK(count(svg, "class=\"budget\"") == 0);
  CHECK(svg.find("budget 20.00 GiB \u2192") != std::string::npos);
  const std::string plot = plot_curve(curve, {});
  CHECK(plot.find("budget 20.00 GiB >") != std::string::npos);
  CHECK(plot.find("600.0 MiB, 10.0 %, not here yet") != std::string::npos);
  CHECK(plot != plot_curve(falling_curve(), {}));
  curve.budget = 1;
  CHECK(svg_curve(curve).find("\u2190 budget 1 bytes") != std::string::npos);
}

}  // namespace
}  // namespace trit
