#pragma once

#include <string>
#include <vector>

#include "tests/benchmarks/published/judged.h"

// The table that people read and the JSON line.
namespace tunesmith::published {

// Figures over sources that count alike: every row weighs 1 / (rows of its source).
struct Figures {
  int64_t row_count = 0;
  int64_t source_count = 0;
  double mean = 0;  // of absolute errors
  double median = 0;
  double worst = 0;
  double within_10_percent = 0;
  double inside_interval = 0;
};
Figures FiguresOf(const std::vector<Judged>& judged, double (*error)(const Judged&));
double Error(const Judged& judged);

std::string ReportText(const Judgement& judgement);
std::string ReportJson(const Judgement& judgement, int64_t bad_row_count);
// One line per measurement, as CSV.
std::string RowsText(const Judgement& judgement);

}  // namespace tunesmith::published
