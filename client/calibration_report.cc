#include "client/calibration_report.h"

#include <cmath>
#include <map>
#include <tuple>

#include "absl/strings/str_format.h"
#include "common/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/convert/measurement.h"

namespace tunesmith::client {
namespace {

// |measured / predicted - 1|
double Off(int64_t measured, int64_t predicted) {
  return std::abs(static_cast<double>(measured) / static_cast<double>(predicted) - 1);
}

void Count(const v1::Measurement& m, CalibrationGroup& group) {
  if (const double ratio = m.step_seconds_ratio(); ratio > 0) {
    ++group.step_count;
    group.step_mean_error += std::abs(ratio - 1);
    group.step_bias += ratio - 1;
    group.inside_count += !convert::IsStepOutside(m);
  }
  if (const double ratio = m.device_memory_ratio(); ratio > 0) {
    ++group.memory_count;
    group.memory_mean_error += std::abs(ratio - 1);
    group.memory_over_count += ratio > 1;
  }
  const int64_t used = m.measured().used_arena_bytes(),
                outside = m.predicted().memory().outside_arena_bytes();
  if (used > 0 && outside > 0 && m.measured().peak_device_bytes() > used) {
    ++group.split_count;
    group.arena_mean_error += Off(used, m.predicted().memory().arena_bytes());
    group.outside_mean_error += Off(m.measured().peak_device_bytes() - used, outside);
  }
}

void Divide(double& sum, int64_t count) {
  if (count > 0) sum /= static_cast<double>(count);
}

Cell ShareCell(double share, int64_t count) {
  return count > 0 ? Cell(absl::StrFormat("%.1f %%", 100 * share), absl::StrFormat("%.6g", share))
                   : Cell("-", "");
}

}  // namespace

bool CalibrationGroup::HasDrifted() const {
  return convert::HaveDrifted(step_count, step_count - inside_count);
}

std::vector<CalibrationGroup> GroupMeasurements(const std::vector<v1::Measurement>& measurements) {
  std::map<std::tuple<std::string, std::string, std::string>, CalibrationGroup> groups;
  for (const v1::Measurement& m : measurements) {
    const std::string device = m.device_name().empty() ? "-" : m.device_name(),
                      model = m.model_name().empty() ? "-" : m.model_name(),
                      method = convert::MethodOf(m.mix_line());
    CalibrationGroup& group = groups[{device, method, model}];
    std::tie(group.device, group.method, group.model) = std::tie(device, method, model);
    Count(m, group);
  }
  std::vector<CalibrationGroup> sorted;
  for (auto& [key, group] : groups) {
    Divide(group.step_mean_error, group.step_count);
    Divide(group.step_bias, group.step_count);
    Divide(group.memory_mean_error, group.memory_count);
    Divide(group.arena_mean_error, group.split_count);
    Divide(group.outside_mean_error, group.split_count);
    sorted.push_back(group);
  }
  return sorted;
}

Listing CalibrationListing(const std::vector<CalibrationGroup>& groups) {
  Listing listing({{"device", "device"},
                   {"method", "method"},
                   {"model", "model"},
                   {"step_count", "steps", true},
                   {"step_mean_error", "off by", true},
                   {"step_bias", "bias", true},
                   {"inside_interval_count", "in interval", true},
                   {"memory_count", "memories", true},
                   {"memory_mean_error", "off by", true},
                   {"memory_over_count", "above", true},
                   {"arena_mean_error", "arena off by", true},
                   {"outside_mean_error", "rest off by", true}},
                  "model");
  for (const CalibrationGroup& g : groups) {
    listing.AddRow({g.device, g.method, g.model, CountCell(g.step_count),
                    ShareCell(g.step_mean_error, g.step_count),
                    ShareCell(g.step_bias, g.step_count), CountCell(g.inside_count),
                    CountCell(g.memory_count), ShareCell(g.memory_mean_error, g.memory_count),
                    CountCell(g.memory_over_count), ShareCell(g.arena_mean_error, g.split_count),
                    ShareCell(g.outside_mean_error, g.split_count)});
  }
  return listing;
}

std::string ShowCalibrationReport(const std::vector<CalibrationGroup>& groups) {
  if (groups.empty()) return "no measurements yet: jobs that end well report them\n";
  std::string warnings;
  for (const CalibrationGroup& g : groups) {
    if (g.HasDrifted())
      warnings +=
          StrCat("warning: ", g.step_count - g.inside_count, " of ", g.step_count, " steps of ",
                 g.method, " on ", g.device, " (", g.model,
                 ") lie outside their 90 % interval; calibrate again: tunesmith calibrate\n");
  }
  return CalibrationListing(groups).ToTable(/*wide=*/false, /*headers=*/true) + warnings;
}

std::string CalibrationReportJson(const std::vector<CalibrationGroup>& groups) {
  auto rows = nlohmann::ordered_json::array();
  for (const CalibrationGroup& g : groups)
    rows.push_back({{"device", g.device},
                    {"method", g.method},
                    {"model", g.model},
                    {"step_count", g.step_count},
                    {"step_mean_error", g.step_mean_error},
                    {"step_bias", g.step_bias},
                    {"inside_interval_count", g.inside_count},
                    {"memory_count", g.memory_count},
                    {"memory_mean_error", g.memory_mean_error},
                    {"memory_over_count", g.memory_over_count},
                    {"split_memory_count", g.split_count},
                    {"arena_mean_error", g.arena_mean_error},
                    {"outside_mean_error", g.outside_mean_error},
                    {"drifted", g.HasDrifted()}});
  return nlohmann::ordered_json{{"groups", rows}}.dump(2);
}

}  // namespace tunesmith::client
