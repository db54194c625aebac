#include "server/security/roles.h"

#include <algorithm>
#include <iterator>

namespace tunesmith::server {
namespace {

struct MethodRole {
  std::string_view method;
  Role role;
};

// Every method of every service that we answer. Services of gRPC itself stand here whole.
constexpr MethodRole kRoles[] = {
    {"/grpc.health.v1.Health/", Role::kOpen},
    {"/grpc.reflection.v1alpha.ServerReflection/", Role::kReader},
    {"/tunesmith.v1.RecommenderService/Recommend", Role::kReader},
    {"/tunesmith.v1.RecommenderService/BatchRecommend", Role::kReader},
    {"/tunesmith.v1.RecommenderService/Estimate", Role::kReader},
    {"/tunesmith.v1.RecommenderService/Size", Role::kReader},
    {"/tunesmith.v1.RecommenderService/ListModels", Role::kReader},
    {"/tunesmith.v1.RecommenderService/GetModel", Role::kReader},
    {"/tunesmith.v1.RecommenderService/CreateModel", Role::kAdmin},
    {"/tunesmith.v1.RecommenderService/ListGpus", Role::kReader},
    {"/tunesmith.v1.RecommenderService/GetGpu", Role::kReader},
    {"/tunesmith.v1.RecommenderService/CreateGpu", Role::kAdmin},
    {"/tunesmith.v1.JobService/CreateJob", Role::kSubmitter},
    {"/tunesmith.v1.JobService/GetJob", Role::kReader},
    {"/tunesmith.v1.JobService/ListJobs", Role::kReader},
    {"/tunesmith.v1.JobService/WatchJob", Role::kReader},
    {"/tunesmith.v1.JobService/StreamLogs", Role::kReader},
    {"/tunesmith.v1.JobService/CancelJob", Role::kSubmitter},
    {"/tunesmith.v1.JobService/ResumeJob", Role::kSubmitter},
    {"/tunesmith.v1.ClusterService/ListClusters", Role::kReader},
    {"/tunesmith.v1.ClusterService/GetCluster", Role::kReader},
    {"/tunesmith.v1.ClusterService/GetCapabilities", Role::kReader},
    {"/tunesmith.v1.MeasurementService/ReportMeasurement", Role::kSubmitter},
    {"/tunesmith.v1.MeasurementService/ListMeasurements", Role::kReader},
    {"/tunesmith.v1.CalibrationService/StartCalibration", Role::kAdmin},
    {"/tunesmith.v1.CalibrationService/GetCalibrationRun", Role::kReader},
    {"/tunesmith.v1.CalibrationService/ListCalibrationRuns", Role::kReader},
    {"/tunesmith.v1.CalibrationService/CancelCalibrationRun", Role::kAdmin},
    {"/tunesmith.v1.CalibrationService/ListCalibrations", Role::kReader},
    {"/tunesmith.v1.CalibrationService/GetCalibration", Role::kReader},
    {"/tunesmith.v1.CalibrationService/ImportCalibration", Role::kAdmin},
    {"/tunesmith.v1.CalibrationService/DeleteCalibration", Role::kAdmin},
};

struct RoleWord {
  std::string_view name;
  Role role;
};

constexpr RoleWord kWords[] = {
    {"reader", Role::kReader}, {"submitter", Role::kSubmitter}, {"admin", Role::kAdmin}};

const MethodRole* Find(std::string_view method) {
  const auto* row =
      std::find_if(std::begin(kRoles), std::end(kRoles), [&](const MethodRole& known) {
        return known.method.ends_with('/') ? method.starts_with(known.method)
                                           : method == known.method;
      });
  return row == std::end(kRoles) ? nullptr : row;
}

}  // namespace

std::string_view RoleName(Role role) {
  for (const RoleWord& word : kWords) {
    if (word.role == role) return word.name;
  }
  return "open";
}

std::optional<Role> ParseRole(std::string_view name) {
  for (const RoleWord& word : kWords) {
    if (word.name == name) return word.role;
  }
  return std::nullopt;
}

Role RoleFor(std::string_view method) {
  const MethodRole* row = Find(method);
  return row == nullptr ? Role::kAdmin : row->role;
}

bool HasRole(std::string_view method) { return Find(method) != nullptr; }

}  // namespace tunesmith::server
