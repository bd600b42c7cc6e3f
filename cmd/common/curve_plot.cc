// The curve as text. The plot is a grid of character cells: a cell is a 2 x 4 grid of braille dots
// (or one ASCII character), and marks, labels and the budget's line are written over empty cells.
#include <algorithm>
#include <cmath>
#include <string_view>

#include "cmd/common/curve.h"
#include "cmd/common/terminal.h"

namespace trit {

namespace {

constexpr int kLabelRows = 2;  // above the curve: the budget's, then those of points at the top
constexpr int kRows = kLabelRows + 16;  // a tick every third row, for five of them

enum class Ink { kPlain, kFaint, kCurve, kMark };

const char* escape(Ink ink) {
  switch (ink) {
    case Ink::kFaint:
      return "\x1b[2m";
    case Ink::kCurve:
      return "\x1b[36m";
    case Ink::kMark:
      return "\x1b[1m";
    case Ink::kPlain:
      break;
  }
  return "";
}

struct Glyphs {
  int dots_x, dots_y;  // of a cell
  const char *mark, *chosen, *budget, *side, *tick_side, *floor, *tick_floor, *corner;
};
constexpr Glyphs kUnicode = {2, 4, "○", "●", "┊", "│", "┤", "─", "┴", "└"};
constexpr Glyphs kAscii = {1, 1, "o", "@", ":", "|", "+", "-", "+", "+"};

struct Cell {
  std::string glyph;
  Ink ink = Ink::kPlain;
  uint8_t dots = 0;
};

// Columns that a text takes; ours holds no wide characters.
int text_columns(std::string_view text) {
  return static_cast<int>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

class Plot {
 public:
  Plot(const Curve& curve, const PlotStyle& style)
      : curve_(curve),
        style_(style),
        glyphs_(style.unicode ? kUnicode : kAscii),
        frame_(curve, std::max(2u, style.columns / 16), 5) {
    for (int tick = 0; tick <= frame_.values.steps(); ++tick)
      gutter_ = std::max(gutter_, text_columns(value_tick(tick)));
    // One column for the axis, three on the right for the half of a number that stands below it.
    columns_ = std::max(16, static_cast<int>(style.columns) - gutter_ - 5);
    cells_.assign(kRows, std::vector<Cell>(static_cast<size_t>(columns_)));
  }

  std::string draw();

 private:
  Cell& cell(int column, int row) {
    return cells_[static_cast<size_t>(row)][static_cast<size_t>(column)];
  }
  int dot_x(uint64_t bytes) const {
    return static_cast<int>(std::lround(frame_.x(bytes) * (columns_ * glyphs_.dots_x - 1)));
  }
  int dot_y(double value) const {
    const int dots = (kRows - kLabelRows) * glyphs_.dots_y;
    return kLabelRows * glyphs_.dots_y +
           static_cast<int>(std::lround((1 - frame_.y(value)) * (dots - 1)));
  }
  std::string value_tick(int tick) const { return frame_.values.text(tick) + curve_.value_unit; }

  void set_dot(int x, int y, bool here);
  void draw_stair();
  void draw_marks();
  void draw_budget();
  bool write_if_free(int column, int row, std::string_view text, Ink ink);
  void write_label(int column, int row, const std::string& label, Ink ink);
  std::string row_text(int row) const;
  std::string axis_text() const;
  std::string legend() const;
  std::string inked(Ink ink, const std::string& text) const {
    return style_.color && ink != Ink::kPlain ? escape(ink) + text + "\x1b[0m" : text;
  }

  const Curve& curve_;
  const PlotStyle& style_;
  const Glyphs& glyphs_;
  const CurveFrame frame_;
  int gutter_ = 0, columns_ = 0;
  std::vector<std::vector<Cell>> cells_;
};

// Of what is yet to be downloaded every other dot is left out.
void Plot::set_dot(int x, int y, bool here) {
  if (!here && (x + y) % 2 != 0) return;
  Cell& at = cell(x / glyphs_.dots_x, y / glyphs_.dots_y);
  constexpr uint8_t kBits[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
  at.dots |= kBits[y % glyphs_.dots_y][x % glyphs_.dots_x];
  at.ink = Ink::kCurve;
}

void Plot::draw_stair() {
  for (size_t i = 0; i < curve_.points.size(); ++i) {
    const CurvePoint& from = curve_.points[i];
    const bool last = i + 1 == curve_.points.size();
    const int y = dot_y(from.value), begin = dot_x(from.bytes);
    const int end = last ? columns_ * glyphs_.dots_x - 1 : dot_x(curve_.points[i + 1].bytes);
    for (int x = begin; x <= end; ++x) set_dot(x, y, i < curve_.present);
    if (last) break;
    const int next = dot_y(curve_.points[i + 1].value);
    for (int j = std::min(y, next); j <= std::max(y, next); ++j)
      set_dot(end, j, i + 1 < curve_.present);
  }
}

bool Plot::write_if_free(int column, int row, std::string_view text, Ink ink) {
  const int columns = text_columns(text);
  if (row < 0 || row >= kRows || column < 0 || column + columns > columns_) return false;
  for (int i = std::max(0, column - 1); i < std::min(columns_, column + columns + 1); ++i) {
    const Cell& at = cell(i, row);
    if (at.dots != 0 || (!at.glyph.empty() && i >= column)) return false;
  }
  for (size_t i = 0; i < text.size(); i += character_bytes(text, i), ++column) {
    cell(column, row).glyph = text.substr(i, character_bytes(text, i));
    cell(column, row).ink = ink;
  }
  return true;
}

// The curve falls, so there is room above and to the right of it.
void Plot::write_label(int column, int row, const std::string& label, Ink ink) {
  const int left = std::min(column + 2, columns_ - text_columns(label));
  for (const int up : {0, 1, 2, 3}) {
    if (write_if_free(left, row - up, label, ink)) return;
  }
  for (const int down : {1, 2}) {
    if (write_if_free(column - 1 - text_columns(label), row + down, label, ink)) return;
  }
}

void Plot::draw_marks() {
  const auto each = [&](auto act) {
    // The choice lies on top and has its label nearest; the others have theirs from right to left.
    for (const bool chosen : {true, false}) {
      for (auto m = curve_.marks.rbegin(); m != curve_.marks.rend(); ++m) {
        const CurvePoint& point = curve_.points[m->point];
        if (m->chosen == chosen)
          act(*m, dot_x(point.bytes) / glyphs_.dots_x, dot_y(point.value) / glyphs_.dots_y);
      }
    }
  };
  each([&](const CurveMark& m, int column, int row) {
    Cell& at = cell(column, row);
    if (at.glyph.empty()) at = {m.chosen ? glyphs_.chosen : glyphs_.mark, Ink::kMark, 0};
  });
  each([&](const CurveMark& m, int column, int row) {
    write_label(column, row, m.label, m.chosen ? Ink::kMark : Ink::kPlain);
  });
}

void Plot::draw_budget() {
  if (!curve_.budget) return;
  const std::string label = "budget " + SizeUnit(*curve_.budget).text(*curve_.budget);
  const double place = frame_.x(*curve_.budget);
  if (place < 0 || place > 1) {
    const std::string far = place < 0 ? "< " + label : label + " >";
    write_if_free(place < 0 ? 0 : columns_ - text_columns(far), 0, far, Ink::kFaint);
    return;
  }
  const int column = dot_x(*curve_.budget) / glyphs_.dots_x;
  if (!write_if_free(column + 2, 0, label, Ink::kFaint))
    write_if_free(column - 1 - text_columns(label), 0, label, Ink::kFaint);
  for (int row = 0; row < kRows; ++row) {
    Cell& at = cell(column, row);
    if (at.dots == 0 && at.glyph.empty()) at = {glyphs_.budget, Ink::kFaint, 0};
  }
}

std::string Plot::row_text(int row) const {
  std::string label;
  for (int tick = 0; tick <= frame_.values.steps(); ++tick) {
    const double value = frame_.values.low + tick * frame_.values.step;
    if (dot_y(value) / glyphs_.dots_y == row) label = value_tick(tick);
  }
  std::string text(static_cast<size_t>(gutter_ - text_columns(label)), ' ');
  text = inked(Ink::kFaint,
               " " + text + label + " " + (label.empty() ? glyphs_.side : glyphs_.tick_side));
  std::string run;
  Ink ink = Ink::kPlain;
  for (const Cell& at : cells_[static_cast<size_t>(row)]) {
    std::string glyph = at.glyph;
    if (glyph.empty() && at.dots && style_.unicode)
      glyph = {'\xe2', static_cast<char>(0xa0 | at.dots >> 6),
               static_cast<char>(0x80 | (at.dots & 0x3f))};
    else if (glyph.empty())
      glyph = at.dots ? "*" : " ";
    if (at.ink != ink) {
      text += inked(ink, run);
      run.clear();
      ink = at.ink;
    }
    run += glyph;
  }
  text += inked(ink, run);
  return text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
}

// The line below the plot and its numbers.
std::string Plot::axis_text() const {
  std::string line = std::string(static_cast<size_t>(gutter_) + 2, ' ') + glyphs_.corner;
  std::string numbers(static_cast<size_t>(gutter_) + 3 + static_cast<size_t>(columns_) + 8, ' ');
  std::vector<bool> ticks(static_cast<size_t>(columns_));
  const int steps = frame_.memory.steps();
  for (int tick = 0; tick <= steps; ++tick) {
    const int column = static_cast<int>(std::lround(double(tick) / steps * (columns_ - 1)));
    ticks[static_cast<size_t>(column)] = tick > 0;
    const std::string text = frame_.memory.text(tick);
    const size_t middle = static_cast<size_t>(gutter_ + 3 + column);
    numbers.replace(middle - text.size() / 2, text.size(), text);
  }
  for (const bool tick : ticks) line += tick ? glyphs_.tick_floor : glyphs_.floor;
  numbers.resize(numbers.find_last_not_of(' ') + 1);
  const std::string name = std::string(frame_.unit.name) + " resident";
  return inked(Ink::kFaint, line + "\n" + numbers) + "\n" +
         std::string(
             static_cast<size_t>(std::max(0, gutter_ + 3 + (columns_ - text_columns(name)) / 2)),
             ' ') +
         name + "\n";
}

std::string Plot::legend() const {
  size_t label_columns = 0;
  for (const CurveMark& mark : curve_.marks)
    label_columns = std::max(label_columns, mark.label.size());
  std::string text;
  for (const CurveMark& mark : curve_.marks) {
    std::string line = std::string("  ") + (mark.chosen ? glyphs_.chosen : glyphs_.mark) + " " +
                       mark.label + std::string(label_columns - mark.label.size() + 2, ' ') +
                       frame_.point_text(mark.point);
    if (mark.point >= curve_.present) line += ", not here yet";
    if (mark.chosen) line += ", what the budget buys";
    text += inked(mark.chosen ? Ink::kMark : Ink::kPlain, line) + "\n";
  }
  return text;
}

std::string Plot::draw() {
  draw_stair();
  draw_marks();
  draw_budget();
  std::string text = curve_.title + "\n" + inked(Ink::kFaint, curve_.subtitle) + "\n\n  " +
                     curve_.value_name + "\n";
  for (int row = 0; row < kRows; ++row) text += row_text(row);
  return text + axis_text() + "\n" + legend();
}

}  // namespace

std::string plot_curve(const Curve& curve, const PlotStyle& style) {
  return Plot(curve, style).draw();
}

}  // namespace trit
