#include "server/calibrations.h"

#include <sys/stat.h>

#include <utility>

#include "proto/convert/data_directory.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::server {
namespace {

constexpr char kCpu[] = "cpu";

int64_t ChangedNanos(const std::string& directory) {
  struct stat info = {};
  if (stat(directory.c_str(), &info) != 0) return 0;
  return info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec;
}

}  // namespace

Calibrations::Calibrations(std::string data_directory, std::optional<planner::Calibration> fixed)
    : data_directory_(std::move(data_directory)), fixed_(std::move(fixed)) {}

std::optional<planner::Calibration> Calibrations::Find(std::string_view device_name) {
  if (fixed_ && fixed_->device_name == device_name) return fixed_;
  if (device_name != kCpu) return std::nullopt;
  std::lock_guard lock(mutex_);
  Refresh();
  return of_cpu_;
}

int64_t Calibrations::version() {
  std::lock_guard lock(mutex_);
  Refresh();
  return version_;
}

// The profiler renames finished files into the directory, which changes the directory's time.
void Calibrations::Refresh() {
  const int64_t changed =
      ChangedNanos(convert::InDirectory(data_directory_, convert::kCalibrationsDirectory));
  if (changed == directory_nanos_) return;
  directory_nanos_ = changed;
  of_cpu_ = convert::NewestCalibration(data_directory_, kCpu);
  ++version_;
}

}  // namespace tunesmith::server
