// The curve as a standalone SVG file: no fonts, scripts or links; colours for light and for dark
// surroundings. Labels stand above the falling curve, higher where one would cover another.
#include <algorithm>

#include "cmd/common/curve.h"
#include "cmd/common/error.h"

namespace trit {

namespace {

constexpr double kWidth = 760, kHeight = 496;
constexpr double kLeft = 64, kRight = 728, kTop = 148, kBottom = 428;  // the plot
constexpr double kRoom =
    kTop - 60;  // above it for labels: the budget's, then the points' at the top
constexpr double kLineHeight = 16, kCharacterWidth = 7;

// Plain rules, no variables: simple renderers know no others.
constexpr const char* kStyle =
    "<style>\n"
    "text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#52514e}\n"
    ".title{font-size:16px;font-weight:600}\n"
    ".name{font-weight:600}\n"
    ".title,.name{fill:#0b0b0b}\n"
    ".tick{fill:#767570}\n"
    ".end{text-anchor:end}\n"
    ".middle{text-anchor:middle}\n"
    ".paper{fill:#fcfcfb}\n"
    ".grid{stroke:#e4e3dd}\n"
    ".axis{stroke:#b5b4ac}\n"
    ".budget{stroke:#767570;stroke-dasharray:4 4}\n"
    ".curve{fill:none;stroke:#2a78d6;stroke-width:2px;stroke-linejoin:round}\n"
    ".missing{stroke-dasharray:2 4}\n"
    ".mark{stroke:#2a78d6;stroke-width:2px;fill:#fcfcfb}\n"
    ".chosen{stroke:#fcfcfb;fill:#2a78d6}\n"
    "@media (prefers-color-scheme:dark){\n"
    "text{fill:#c3c2b7}.title,.name{fill:#fff}.tick{fill:#98978f}\n"
    ".paper{fill:#1a1a19}.grid{stroke:#2e2e2b}.axis{stroke:#55544f}.budget{stroke:#98978f}\n"
    ".curve{stroke:#4b93ea}.mark{stroke:#4b93ea;fill:#1a1a19}\n"
    ".chosen{stroke:#1a1a19;fill:#4b93ea}\n"
    "}\n"
    "</style>\n";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string text_at(double x, double y, const char* kind, std::string_view text) {
  return format("<text x=\"%.1f\" y=\"%.1f\"", x, y) +
         (*kind ? format(" class=\"%s\">", kind) : ">") + escaped(text) + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, const char* kind) {
  return format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1,
                x2, y2, kind);
}

struct Box {
  double left, top, right, bottom;
  std::string cover() const {  // what lies behind
    return format("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"paper\"/>\n",
                  left, top, right - left, bottom - top);
  }
  bool meets(const Box& b) const {
    return left < b.right && b.left < right && top < b.bottom && b.top < bottom;
  }
};

class Picture {
 public:
  explicit Picture(const Curve& curve) : curve_(curve), frame_(curve, 8, 5) {}

  std::string draw();

 private:
  double x(size_t point) const { return x_of(curve_.points[point].bytes); }
  double x_of(uint64_t bytes) const { return kLeft + frame_.x(bytes) * (kRight - kLeft); }
  double y(size_t point) const {
    return kBottom - frame_.y(curve_.points[point].value) * (kBottom - kTop);
  }
  std::string axes() const;
  std::string stair(size_t begin, size_t end, const char* kind) const;
  std::string budget();
  std::string mark(const CurveMark& mark) const;
  void label(const CurveMark& mark);
  bool meets_label(const Box& box) const {
    return std::any_of(taken_.begin(), taken_.end(), [&](const Box& b) { return box.meets(b); });
  }
  bool is_free(const Box& box) const;

  const Curve& curve_;
  const CurveFrame frame_;
  std::string ties_, labels_;
  std::vector<Box> taken_;  // by labels
};

std::string Picture::axes() const {
  std::string out;
  for (int tick = 0; tick <= frame_.values.steps(); ++tick) {
    const double at = kBottom - (kBottom - kTop) * tick / frame_.values.steps();
    if (tick > 0) out += line(kLeft, at, kRight, at, "grid");
    out += text_at(kLeft - 8, at + 4, "tick end", frame_.values.text(tick) + curve_.value_unit);
  }
  for (int tick = 0; tick <= frame_.memory.steps(); ++tick) {
    const double at = kLeft + (kRight - kLeft) * tick / frame_.memory.steps();
    out += line(at, kBottom, at, kBottom + 4, "axis");
    out += text_at(at, kBottom + 19, "tick middle", frame_.memory.text(tick));
  }
  out += line(kLeft, kBottom, kRight, kBottom, "axis");
  return out + text_at(16, kRoom - 8, "", curve_.value_name) +
         text_at((kLeft + kRight) / 2, kBottom + 44, "middle",
                 std::string("peak memory of the whole process, ") + frame_.unit.name);
}

// The stair over points [begin, end), on to the next point or the edge.
std::string Picture::stair(size_t begin, size_t end, const char* kind) const {
  if (begin >= end) return "";
  std::string path = format("M%.1f %.1f", x(begin), y(begin));
  for (size_t i = begin + 1; i < end; ++i) path += format("H%.1fV%.1f", x(i), y(i));
  path += format("H%.1f", end == curve_.points.size() ? kRight : x(end));
  if (end < curve_.points.size()) path += format("V%.1f", y(end));
  return std::string("<path class=\"") + kind + "\" d=\"" + path + "\"/>\n";
}

// A line where the budget is, or an arrow towards it.
std::string Picture::budget() {
  if (!curve_.budget) return "";
  std::string label = "budget " + SizeUnit(*curve_.budget).text(*curve_.budget);
  const double place = frame_.x(*curve_.budget);
  const bool left = place<0, right = place> 1;
  if (left) label = "\u2190 " + label;
  if (right) label += " \u2192";
  const double at = left ? kLeft : right ? kRight : x_of(*curve_.budget);
  const double width = kCharacterWidth * static_cast<double>(label.size()) + 6;
  const bool to_left = at + width > kRight;
  taken_.push_back({at - (to_left ? width : 4), kRoom, at + (to_left ? 4 : width), kRoom + 16});
  const std::string text = text_at(at + (left || right ? 0
                                         : to_left     ? -6
                                                       : 6),
                                   kRoom + 12, to_left ? "end" : "", label);
  return left || right ? text : line(at, kRoom, at, kBottom, "budget") + text;
}

std::string Picture::mark(const CurveMark& m) const {
  return format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%g\" class=\"%s\"/>\n", x(m.point), y(m.point),
                m.chosen ? 6.5 : 5, m.chosen ? "mark chosen" : "mark");
}

// Neither a label nor the curve below it: that is highest at the box's left edge.
bool Picture::is_free(const Box& box) const {
  if (box.left < kLeft + 4 || box.right > kRight + 16 || box.top < kRoom) return false;
  if (meets_label(box)) return false;
  for (size_t i = 0; i < curve_.points.size(); ++i) {
    const double end = i + 1 < curve_.points.size() ? x(i + 1) : kRight;
    if (box.meets({x(i) - 4, y(i) - 4, end + 4, y(i) + 4})) return false;
  }
  return true;
}

// As near to its point as there is room, tied to it by a line where that is not next to it.
void Picture::label(const CurveMark& m) {
  const std::string numbers = frame_.point_text(m.point);
  const double width =
      kCharacterWidth * static_cast<double>(std::max(m.label.size(), numbers.size()));
  const double px = x(m.point), py = y(m.point) - 8;
  for (const bool crossing :
       {false, true}) {  // of other labels, by that line: better than no label
    for (double bottom = py; bottom > kRoom; bottom -= 4) {
      for (const double left :
           {std::min(px + 10, kRight + 16 - width), px - width / 2, px - width + 4}) {
        const Box box = {left, bottom - 2 * kLineHeight, left + width, bottom};
        const double end = std::max(left, std::min(px, left + width));
        const bool tied = py - bottom > 4;
        if (!is_free(box) || (tied && !crossing &&
                              meets_label({std::min(px, end), bottom, std::max(px, end) + 1, py})))
          continue;
        taken_.push_back(box);
        if (tied) ties_ += line(px, py, end, bottom + 3, "axis");
        labels_ += box.cover() + text_at(left, box.top + 12, "name", m.label) +
                   text_at(left, box.top + 12 + kLineHeight, "", numbers);
        return;
      }
    }
  }
}

std::string Picture::draw() {
  std::string out =
      format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" role=\"img\">\n",
             kWidth, kHeight);
  out += "<title>" + escaped(curve_.title) + "</title>\n" + kStyle;
  out += format("<rect class=\"paper\" width=\"%g\" height=\"%g\"/>\n", kWidth, kHeight);
  out += text_at(16, 30, "title", curve_.title) + text_at(16, 52, "", curve_.subtitle);
  out += axes() + budget();
  const size_t here = std::min(curve_.present, curve_.points.size());
  out += stair(0, here, "curve");
  out += stair(here, curve_.points.size(), "curve missing");
  // The choice lies on top and has its label nearest; the others have theirs from right to left.
  std::string marks;
  for (const bool chosen : {true, false}) {
    for (auto m = curve_.marks.rbegin(); m != curve_.marks.rend(); ++m) {
      if (m->chosen != chosen) continue;
      label(*m);
      marks = mark(*m) + marks;
    }
  }
  return out + ties_ + labels_ + marks + "</svg>\n";
}

}  // namespace

std::string svg_curve(const Curve& curve) {
  return Picture(curve).draw();
}

}  // namespace trit
