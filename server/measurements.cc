#include "server/measurements.h"

#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/measurement.h"
#include "proto/convert/plan.h"
#include "proto/convert/violations.h"
#include "server/job_requests.h"
#include "server/operations/server_metrics.h"
#include "server/requests.h"

namespace tunesmith::server {
namespace {

using convert::Violations;
using google::protobuf::util::TimeUtil;

constexpr size_t kMaxSourceBytes = 64;

void CheckFigures(const v1::MeasuredFigures& figures, Violations& violations) {
  violations.AtLeast("measured.peak_device_bytes", figures.peak_device_bytes(), 0);
  violations.AtLeast("measured.peak_host_bytes", figures.peak_host_bytes(), 0);
  violations.AtLeast("measured.used_arena_bytes", figures.used_arena_bytes(), 0);
  violations.NonNegative("measured.step_seconds", figures.step_seconds());
  violations.NonNegative("measured.total_seconds", figures.total_seconds());
  if (figures.peak_device_bytes() == 0 && figures.peak_host_bytes() == 0 &&
      figures.step_seconds() == 0 && figures.total_seconds() == 0)
    violations.Add("measured", "is empty; give at least one figure");
}

absl::Status Check(const v1::ReportMeasurementRequest& request) {
  Violations violations;
  CheckFigures(request.measured(), violations);
  CheckRequestId("request_id", request.request_id(), violations);
  if (request.source().size() > kMaxSourceBytes)
    violations.Add("source", StrCat("must be at most ", kMaxSourceBytes, " bytes"));
  if (request.subject_case() == v1::ReportMeasurementRequest::SUBJECT_NOT_SET)
    violations.Add("job", "is missing; name a job, or give a plan");
  if (request.has_plan())
    violations.AddStatus("", convert::PlanFromProto(request.plan(), "plan").status());
  return violations.ToStatus();
}

v1::Measurement Measured(const v1::ReportMeasurementRequest& request, const v1::Plan& plan) {
  v1::Measurement measurement = convert::MeasurementOf(plan, request.measured());
  *measurement.mutable_report_time() = TimeUtil::GetCurrentTime();
  measurement.set_job(request.job());
  measurement.set_source(request.source());
  return measurement;
}

void TellRatios(const v1::Measurement& measurement) {
  if (measurement.step_seconds_ratio() > 0)
    TellDrift(ProcessMetrics(), "step_seconds", measurement.step_seconds_ratio());
  if (measurement.device_memory_ratio() > 0)
    TellDrift(ProcessMetrics(), "device_memory", measurement.device_memory_ratio());
}

absl::Status Insert(Database& database, int64_t job_id, v1::Measurement& measurement) {
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement insert,
      database.Prepare("INSERT INTO measurements (job_id, program_digest, measurement) "
                       "VALUES (?, ?, ?)"));
  TUNESMITH_RETURN_IF_ERROR(insert.Bind(job_id)
                                .BindText(measurement.program_digest())
                                .BindBlob(measurement.SerializeAsString())
                                .Run());
  measurement.set_name(StrCat("measurements/", database.LastInsertRowId()));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> JobIdOrZero(const std::string& job) {
  return job.empty() ? absl::StatusOr<int64_t>(0) : JobId(job);
}

}  // namespace

absl::StatusOr<v1::ReportMeasurementResponse> ReportMeasurement(
    Store& store, Drift& drift, const v1::ReportMeasurementRequest& request) {
  TUNESMITH_RETURN_IF_ERROR(Check(request));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t job_id, JobIdOrZero(request.job()));
  v1::Plan plan = request.plan();
  if (job_id != 0) {
    TUNESMITH_ASSIGN_OR_RETURN(v1::Job job, store.GetJob(request.job()));
    plan = std::move(*job.mutable_plan());
  }
  v1::ReportMeasurementResponse response;
  *response.mutable_measurement() = Measured(request, plan);
  const RequestKey key = KeyOf("ReportMeasurement", request.request_id(), request);
  bool added = false;
  auto answer =
      store.pool().Write([&](Database& database) -> absl::StatusOr<v1::ReportMeasurementResponse> {
        TUNESMITH_ASSIGN_OR_RETURN(const auto stored, StoredAnswer(database, key));
        if (stored && response.ParseFromString(*stored)) return response;
        TUNESMITH_RETURN_IF_ERROR(Insert(database, job_id, *response.mutable_measurement()));
        TUNESMITH_RETURN_IF_ERROR(StoreAnswer(database, key, response));
        added = true;
        return response;
      });
  if (answer.ok() && added) {
    TellRatios(answer->measurement());
    drift.Add(answer->measurement());
  }
  return answer;
}

absl::StatusOr<v1::ListMeasurementsResponse> ListMeasurements(
    Store& store, const v1::ListMeasurementsRequest& request) {
  Violations violations;
  const int64_t size = PageSize(request.page_size(), violations);
  const std::string query = StrCat("measurements of ", request.job());
  const int64_t before_id = BeforeId(query, request.page_token(), violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t job_id, JobIdOrZero(request.job()));
  const auto read = [&](Database& database) -> absl::StatusOr<v1::ListMeasurementsResponse> {
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement statement,
        database.Prepare("SELECT measurement, measurement_id FROM measurements WHERE "
                         "(?1 = 0 OR job_id = ?1) AND (?2 = 0 OR measurement_id < ?2) "
                         "ORDER BY measurement_id DESC LIMIT ?3"));
    statement.Bind(job_id).Bind(before_id).Bind(size + 1);
    v1::ListMeasurementsResponse response;
    int64_t last_id = 0;
    while (true) {
      TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) return response;
      if (response.measurements_size() == size) {
        response.set_next_page_token(PageToken(query, last_id));
        return response;
      }
      last_id = statement.Integer(1);
      v1::Measurement& measurement = *response.add_measurements();
      if (!measurement.ParseFromString(statement.Bytes(0)))
        return absl::DataLossError("a stored measurement does not parse; restore a backup");
      measurement.set_name(StrCat("measurements/", last_id));
    }
  };
  return store.pool().Read(read);
}

absl::Status ReportOwnMeasurement(Store& store, Drift& drift, const v1::Job& job) {
  v1::ReportMeasurementRequest request;
  request.set_job(job.name());
  request.set_source("trainer");
  request.set_request_id(job.uid());
  *request.mutable_measured() = convert::FiguresOf(job.summary(), job.claim().gpu_count() == 0);
  if (request.measured().step_seconds() == 0 && request.measured().peak_device_bytes() == 0)
    return absl::OkStatus();
  return ReportMeasurement(store, drift, request).status();
}

std::string StepWarningOf(const v1::Plan& plan, const v1::Finished& summary) {
  const v1::Measurement measurement =
      convert::MeasurementOf(plan, convert::FiguresOf(summary, /*on_cpu=*/true));
  if (!convert::IsStepOutside(measurement)) return "";
  const v1::TimePrediction& time = plan.prediction().time();
  return StrCat("a step took ", FormatSeconds(summary.measured_step_seconds()),
                ", outside the predicted ", FormatSeconds(time.low_seconds()), " to ",
                FormatSeconds(time.high_seconds()), " (",
                plan.calibration_id().empty() ? "by datasheets" : plan.calibration_id(),
                "); tunesmith calibration report tells how other jobs stand");
}

}  // namespace tunesmith::server
