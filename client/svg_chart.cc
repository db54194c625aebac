#include "client/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>

#include "absl/strings/str_format.h"
#include "common/str_cat.h"

namespace tunesmith::client {
namespace {

// Told apart by people who do not see red and green apart: Okabe and Ito, "Color universal design" (2008).
constexpr const char* kColors[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
                                   "#56B4E9", "#8A6FB0", "#999999", "#B8A500"};

constexpr double kWidth = 860, kPlotHeight = 300, kLeft = 80, kRight = 20, kTop = 34, kBottom = 46;
constexpr double kPlotTop = 52;  // below the title of the upward axis

const char* ColorOf(size_t index) { return kColors[index % std::size(kColors)]; }

std::string Number(double value) { return absl::StrFormat("%.6g", value); }

std::string Text(double x, double y, std::string_view anchor, std::string_view text,
                 std::string_view more = "") {
  return StrCat("<text x=\"", Number(x), "\" y=\"", Number(y), "\" text-anchor=\"", anchor, "\"",
                more, ">", EscapeHtml(text), "</text>\n");
}

std::string Open(const std::string& title, double height) {
  return StrCat("<svg role=\"img\" aria-label=\"", EscapeHtml(title), "\" viewBox=\"0 0 ",
                Number(kWidth), " ", Number(height),
                "\" xmlns=\"http://www.w3.org/2000/svg\" font-family=\"sans-serif\" "
                "font-size=\"13\" fill=\"currentColor\">\n",
                Text(0, 16, "start", title, " font-weight=\"bold\""));
}

// Steps of 1, 2 or 5 times a power of ten, about `count` of them.
double NiceStep(double span, int count) {
  const double raw = span / count, power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power) return factor * power;
  }
  return 10 * power;
}

struct Axis {
  double least = 0;
  double most = 1;
  double step = 1;

  double Share(double value) const { return (value - least) / (most - least); }
  std::vector<double> Ticks() const {
    std::vector<double> ticks;
    for (double tick = std::ceil(least / step) * step; tick <= most + step * 1e-9; tick += step)
      ticks.push_back(std::abs(tick) < step * 1e-9 ? 0 : tick);
    return ticks;
  }
};

Axis AxisOf(double least, double most, bool rounded) {
  if (most <= least) {
    const double margin = least == 0 ? 0.5 : std::abs(least) * 0.05;
    least -= margin;
    most += margin;
  }
  Axis axis = {least, most, NiceStep(most - least, 6)};
  if (rounded) axis.least = std::floor(least / axis.step) * axis.step;
  if (rounded) axis.most = std::ceil(most / axis.step) * axis.step;
  return axis;
}

bool IsFinite(const std::pair<double, double>& point) {
  return std::isfinite(point.first) && std::isfinite(point.second);
}

// The plane of a chart, in its own coordinates.
class Plane {
 public:
  Plane(const Axis& x, const Axis& y) : x_(x), y_(y) {}

  double X(double value) const { return kLeft + x_.Share(value) * (kWidth - kLeft - kRight); }
  double Y(double value) const { return kPlotTop + (1 - y_.Share(value)) * kPlotHeight; }

  std::string Frame(const XyChart& chart) const {
    std::string svg;
    for (const double tick : y_.Ticks()) {
      absl::StrAppend(&svg, "<line x1=\"", Number(kLeft), "\" x2=\"", Number(kWidth - kRight),
                      "\" y1=\"", Number(Y(tick)), "\" y2=\"", Number(Y(tick)),
                      "\" stroke=\"currentColor\" stroke-opacity=\"0.15\"/>\n",
                      Text(kLeft - 6, Y(tick) + 4, "end", Number(tick)));
    }
    for (const double tick : x_.Ticks())
      svg += Text(X(tick), kPlotTop + kPlotHeight + 18, "middle", Number(tick));
    return StrCat(
        svg,
        Text((kLeft + kWidth - kRight) / 2, kPlotTop + kPlotHeight + 38, "middle", chart.x_title),
        Text(0, kTop, "start", chart.y_title, " fill-opacity=\"0.7\""));
  }

  std::string Line(const Series& series, const char* color) const {
    std::string path;
    for (const auto& point : series.points) {
      if (IsFinite(point))
        absl::StrAppend(&path, path.empty() ? "M" : "L", Number(X(point.first)), " ",
                        Number(Y(point.second)));
    }
    return StrCat("<path d=\"", path, "\" fill=\"none\" stroke=\"", color,
                  "\" stroke-width=\"1.6\"/>\n");
  }

  std::string Marks(const Series& series, const char* color) const {
    std::string svg;
    for (size_t i = 0; i < series.points.size(); ++i) {
      if (!IsFinite(series.points[i])) continue;
      const auto [x, y] = series.points[i];
      absl::StrAppend(&svg, "<circle cx=\"", Number(X(x)), "\" cy=\"", Number(Y(y)),
                      "\" r=\"5\" fill=\"", color, "\"><title>",
                      EscapeHtml(i < series.labels.size() ? series.labels[i] : series.name),
                      "</title></circle>\n");
    }
    return svg;
  }

 private:
  Axis x_;
  Axis y_;
};

constexpr double kLegendStep = 18;

// Lines of names with their colours below each other, as many as it takes. Of one name nothing is told apart.
struct LegendSvg {
  std::string svg;
  double height = 0;
};

LegendSvg Legend(const std::vector<std::string>& names, double y) {
  if (names.size() < 2) return {};
  LegendSvg legend = {.svg = "", .height = kLegendStep};
  double x = kLeft;
  for (size_t i = 0; i < names.size(); ++i) {
    const double width = 32 + 7.2 * static_cast<double>(names[i].size());
    if (x + width > kWidth && x > kLeft) {
      x = kLeft;
      legend.height += kLegendStep;
    }
    const double line = y + legend.height - kLegendStep;
    absl::StrAppend(&legend.svg, "<rect x=\"", Number(x), "\" y=\"", Number(line - 10),
                    "\" width=\"11\" height=\"11\" fill=\"", ColorOf(i), "\"/>",
                    Text(x + 16, line, "start", names[i]));
    x += width;
  }
  return legend;
}

constexpr double kBarHeight = 22, kBarStep = 32, kBarLeft = 190, kBarRight = 180;

// The parts' names in the order in which they first appear.
std::vector<std::string> PartNames(const BarChart& chart) {
  std::vector<std::string> names;
  for (const Bar& bar : chart.bars) {
    for (const BarPart& part : bar.parts) {
      if (part.value > 0 && std::find(names.begin(), names.end(), part.name) == names.end())
        names.push_back(part.name);
    }
  }
  return names;
}

double LengthOf(const Bar& bar) {
  double length = 0;
  for (const BarPart& part : bar.parts) length += part.value;
  return length;
}

std::string BarSvg(const Bar& bar, const std::vector<std::string>& names, double scale, double y) {
  std::string svg = Text(kBarLeft - 8, y + 15, "end", bar.label);
  double x = kBarLeft;
  for (const BarPart& part : bar.parts) {
    if (part.value <= 0) continue;
    const auto index =
        static_cast<size_t>(std::find(names.begin(), names.end(), part.name) - names.begin());
    absl::StrAppend(&svg, "<rect x=\"", Number(x), "\" y=\"", Number(y), "\" width=\"",
                    Number(part.value * scale), "\" height=\"", Number(kBarHeight), "\" fill=\"",
                    ColorOf(index), "\"><title>", EscapeHtml(StrCat(part.name, " ", part.text)),
                    "</title></rect>\n");
    x += part.value * scale;
  }
  return StrCat(svg, Text(x + 8, y + 15, "start", bar.text));
}

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string ToSvg(const XyChart& chart) {
  double x_least = INFINITY, x_most = -INFINITY, y_least = INFINITY, y_most = -INFINITY;
  for (const Series& series : chart.series) {
    for (const auto& point : series.points) {
      if (!IsFinite(point)) continue;
      x_least = std::min(x_least, point.first), x_most = std::max(x_most, point.first);
      y_least = std::min(y_least, point.second), y_most = std::max(y_most, point.second);
    }
  }
  if (!(x_least <= x_most)) return "";
  if (chart.y_from_zero) y_least = std::min(0.0, y_least);
  const Plane plane(AxisOf(x_least, x_most, /*rounded=*/false),
                    AxisOf(y_least, y_most, /*rounded=*/true));
  std::string svg = plane.Frame(chart);
  std::vector<std::string> names;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    svg += series.joined ? plane.Line(series, ColorOf(i)) : plane.Marks(series, ColorOf(i));
    names.push_back(series.name);
  }
  const double bottom = kPlotTop + kPlotHeight + kBottom;
  const LegendSvg legend = Legend(names, bottom + 12);
  return StrCat(Open(chart.title, bottom + legend.height), svg, legend.svg, "</svg>\n");
}

std::string ToSvg(const BarChart& chart) {
  if (chart.bars.empty()) return "";
  const std::vector<std::string> names = PartNames(chart);
  double longest = chart.limit;
  for (const Bar& bar : chart.bars) longest = std::max(longest, LengthOf(bar));
  const double scale = longest > 0 ? (kWidth - kBarLeft - kBarRight) / longest : 0;
  const double bottom = kTop + kBarStep * static_cast<double>(chart.bars.size());
  std::string svg;
  for (size_t i = 0; i < chart.bars.size(); ++i)
    svg += BarSvg(chart.bars[i], names, scale, kTop + kBarStep * static_cast<double>(i));
  if (chart.limit > 0) {
    const double x = kBarLeft + chart.limit * scale;
    absl::StrAppend(&svg, "<line x1=\"", Number(x), "\" x2=\"", Number(x), "\" y1=\"",
                    Number(kTop - 4), "\" y2=\"", Number(bottom),
                    "\" stroke=\"currentColor\" stroke-dasharray=\"4 3\"/>\n",
                    Text(x, bottom + 14, "middle", chart.limit_text));
  }
  const double end = bottom + (chart.limit > 0 ? 20 : 4);
  const LegendSvg legend = Legend(names, end + 14);
  return StrCat(Open(chart.title, end + legend.height), svg, legend.svg, "</svg>\n");
}

}  // namespace tunesmith::client
