#include "client/calibration_chart.h"

#include <algorithm>
#include <map>

#include "client/svg_chart.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "proto/convert/measurement.h"

namespace tunesmith::client {
namespace {

std::string LabelOf(const v1::Measurement& m) {
  return StrCat(m.model_name(), " ", m.mix_line(), ": ", FormatSeconds(m.measured().step_seconds()),
                ", predicted ", FormatSeconds(m.predicted().time().step_seconds()),
                convert::IsStepOutside(m) ? ", outside its interval" : "");
}

}  // namespace

std::string CalibrationChart(const std::vector<v1::Measurement>& measurements) {
  std::map<std::string, Series> by_group;
  double most = 0;
  for (const v1::Measurement& m : measurements) {
    if (m.step_seconds_ratio() <= 0) continue;
    const double predicted = m.predicted().time().step_seconds(),
                 measured = m.measured().step_seconds();
    most = std::max({most, predicted, measured});
    const std::string name = StrCat(m.device_name(), ", ", convert::MethodOf(m.mix_line()));
    Series& series = by_group[name];
    series.name = name;
    series.joined = false;
    series.points.emplace_back(predicted, measured);
    series.labels.push_back(LabelOf(m));
  }
  if (by_group.empty()) return "";
  XyChart chart{.title = "Steps as measured against steps as predicted",
                .x_title = "predicted, seconds",
                .y_title = "measured, seconds",
                .series = {},
                .y_from_zero = true};
  for (auto& [name, series] : by_group) chart.series.push_back(std::move(series));
  chart.series.push_back({.name = "as predicted", .points = {{0, 0}, {most, most}}});
  return ToSvg(chart);
}

}  // namespace tunesmith::client
