#pragma once

#include <string>
#include <utility>
#include <vector>

// Charts as SVG elements that stand alone inside a page: no script, no font or style from elsewhere; colours follow the page's (currentColor for lines of the
// frame). Every text is escaped.
namespace tunesmith::client {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>>
      points;  // in the order in which they are joined; those that are not finite are left out
  bool joined = true;  // by a line; else marks, each with its label where there is one
  std::vector<std::string> labels = {};  // of marks: shown when pointed at
};

struct XyChart {
  std::string title;
  std::string x_title;
  std::string y_title;
  std::vector<Series> series;
  bool y_from_zero = false;
};

// Empty where no series has a finite point.
std::string ToSvg(const XyChart& chart);

struct BarPart {
  std::string name;  // the same name has the same colour in every bar
  double value = 0;
  std::string text;  // shown when pointed at: "15.04 GiB"
};

struct Bar {
  std::string label;
  std::vector<BarPart> parts;
  std::string text;  // beside the bar
};

struct BarChart {
  std::string title;
  std::vector<Bar> bars;
  double limit = 0;  // a line across all bars; 0: none
  std::string limit_text = {};
};

// Horizontal bars of stacked parts, with a legend. Empty where there are no bars.
std::string ToSvg(const BarChart& chart);

// Text for HTML and for attributes in double quotes.
std::string EscapeHtml(std::string_view text);

}  // namespace tunesmith::client
