#include "tests/benchmarks/wire_mutations.h"

#include <cmath>
#include <limits>

#include "absl/time/clock.h"
#include "common/host_fingerprint.h"
#include "tunesmith/v1/calibrations.pb.h"
#include "tunesmith/v1/clusters.pb.h"
#include "tunesmith/v1/measurements.pb.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Whose number no run of a benchmark reaches.
constexpr char kAbsentJob[] = "jobs/job-77000000";

template <typename Value>
Value Pick(std::mt19937_64& random, std::initializer_list<Value> values) {
  return values.begin()[random() % values.size()];
}

int64_t ExtremeInteger(std::mt19937_64& random) {
  return Pick<int64_t>(random,
                       {0, -1, 1, 2, 7, 65536, int64_t{1} << 31, int64_t{1} << 40,
                        std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()});
}

double ExtremeDouble(std::mt19937_64& random) {
  return Pick<double>(random, {0, -0.0, -1, 1e-300, 1e300, NAN, INFINITY, -INFINITY, 0.5});
}

std::string ExtremeString(std::mt19937_64& random) {
  switch (random() % 7) {
    case 0:
      return "";
    case 1:
      return std::string(1 + random() % 5000, 'x');
    case 2:
      return "../../../etc/passwd";
    case 3:
      return "'; DROP TABLE jobs; --";
    case 4:
      return std::string("\0\x01\x7f", 3);
    case 5:
      return "jobs/job-99999999999999999999";
    default:
      return "99999999999xA100-80GB";
  }
}

void SetScalar(Message& message, const FieldDescriptor& field, std::mt19937_64& random) {
  const Reflection& access = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64:
      return access.SetInt64(&message, &field, ExtremeInteger(random));
    case FieldDescriptor::CPPTYPE_UINT64:
      return access.SetUInt64(&message, &field, static_cast<uint64_t>(ExtremeInteger(random)));
    case FieldDescriptor::CPPTYPE_INT32:
      return access.SetInt32(&message, &field, static_cast<int32_t>(ExtremeInteger(random)));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return access.SetDouble(&message, &field, ExtremeDouble(random));
    case FieldDescriptor::CPPTYPE_BOOL:
      return access.SetBool(&message, &field, random() % 2);
    case FieldDescriptor::CPPTYPE_ENUM:
      return access.SetEnumValue(&message, &field,
                                 Pick<int>(random, {-1, 0, 1, 2, 3, 99, 1 << 30}));
    case FieldDescriptor::CPPTYPE_STRING:
      return access.SetString(&message, &field, ExtremeString(random));
    default:
      return access.ClearField(&message, &field);
  }
}

// Changes a field somewhere in the message: goes down into a random one until it is a leaf.
void MutateField(Message& message, std::mt19937_64& random) {
  const auto& descriptor = *message.GetDescriptor();
  const Reflection& access = *message.GetReflection();
  if (descriptor.field_count() == 0) return;
  const FieldDescriptor& field = *descriptor.field(
      static_cast<int>(random() % static_cast<uint64_t>(descriptor.field_count())));
  if (random() % 16 == 0) return access.ClearField(&message, &field);
  if (field.is_repeated()) {
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field.is_map())
      return access.ClearField(&message, &field);
    return MutateField(*access.AddMessage(&message, &field), random);
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
    return MutateField(*access.MutableMessage(&message, &field), random);
  SetScalar(message, field, random);
}

void MutateBytes(std::string& bytes, std::mt19937_64& random) {
  const size_t at = bytes.empty() ? 0 : random() % bytes.size();
  switch (random() % 4) {
    case 0:
      bytes.resize(at);
      return;
    case 1:
      bytes.insert(at, 1 + random() % 8, static_cast<char>(random()));
      return;
    case 2:
      bytes += bytes.substr(at);
      return;
    default:
      if (!bytes.empty()) bytes[at] = static_cast<char>(random());
  }
}

class Seeds {
 public:
  template <typename Request>
  void Add(const std::string& method, const Request& request = {}) {
    seeds_.push_back({"/tunesmith.v1." + method, std::make_shared<Request>(request)});
  }
  // A request that names something.
  template <typename Request>
  void AddNamed(const std::string& method, const std::string& name) {
    Request request;
    request.set_name(name);
    Add(method, request);
  }

  std::vector<WireSeed> Take() { return std::move(seeds_); }

 private:
  std::vector<WireSeed> seeds_;
};

void AddJobSeeds(const v1::CreateJobRequest& job, Seeds& seeds) {
  v1::CreateJobRequest create = job;
  create.set_validate_only(true);
  seeds.Add("JobService/CreateJob", create);
  seeds.AddNamed<v1::GetJobRequest>("JobService/GetJob", "jobs/job-1");
  v1::ListJobsRequest list;
  list.set_filter("state = FAILED AND create_time > \"2020-01-01T00:00:00Z\"");
  list.set_page_size(3);
  seeds.Add("JobService/ListJobs", list);
  seeds.AddNamed<v1::CancelJobRequest>("JobService/CancelJob", kAbsentJob);
  seeds.AddNamed<v1::ResumeJobRequest>("JobService/ResumeJob", kAbsentJob);
}

v1::Question QuestionOf(const v1::CreateJobRequest& job) {
  v1::Question question;
  *question.mutable_model_spec() = job.plan().inputs().model();
  question.set_device_name("A100-80GB");
  question.mutable_workload()->set_context(512);
  question.mutable_workload()->set_rows_per_step(8);
  return question;
}

void AddQuestionSeeds(const v1::CreateJobRequest& job, Seeds& seeds) {
  v1::RecommendRequest recommend;
  *recommend.mutable_question() = QuestionOf(job);
  seeds.Add("RecommenderService/Recommend", recommend);
  v1::BatchRecommendRequest batch;
  *batch.add_requests() = recommend;
  seeds.Add("RecommenderService/BatchRecommend", batch);
  v1::EstimateRequest estimate;
  *estimate.mutable_question() = recommend.question();
  *estimate.mutable_mix() = job.plan().mix();
  seeds.Add("RecommenderService/Estimate", estimate);
  v1::SizeRequest size;
  *size.mutable_question() = recommend.question();
  size.mutable_question()->clear_device_name();
  size.mutable_device_counts()->add_kinds()->set_device_name("L4");
  size.mutable_device_counts()->set_most_device_count(2);
  seeds.Add("RecommenderService/Size", size);
}

void AddCatalogSeeds(const v1::CreateJobRequest& job, Seeds& seeds) {
  v1::CreateModelRequest model;
  *model.mutable_model() = job.plan().inputs().model();
  seeds.Add("RecommenderService/CreateModel", model);
  v1::CreateGpuRequest gpu;
  *gpu.mutable_gpu() = job.plan().inputs().devices().hardware();
  seeds.Add("RecommenderService/CreateGpu", gpu);
  seeds.AddNamed<v1::GetModelRequest>("RecommenderService/GetModel", "7B");
  seeds.AddNamed<v1::GetGpuRequest>("RecommenderService/GetGpu", "L4");
  seeds.Add<v1::ListModelsRequest>("RecommenderService/ListModels");
  seeds.Add<v1::ListGpusRequest>("RecommenderService/ListGpus");
}

void AddMeasurementSeeds(const v1::CreateJobRequest& job, Seeds& seeds) {
  v1::ReportMeasurementRequest report;
  *report.mutable_plan() = job.plan();
  report.mutable_measured()->set_step_seconds(1);
  seeds.Add("MeasurementService/ReportMeasurement", report);
  v1::ListMeasurementsRequest measurements;
  measurements.set_page_size(2);
  seeds.Add("MeasurementService/ListMeasurements", measurements);
}

v1::Calibration SomeCalibration() {
  v1::Calibration calibration;
  calibration.set_id("cpu-imported");
  calibration.set_device_name("cpu");
  calibration.set_fingerprint(HostFingerprint());
  calibration.set_measured_at("2026-03-01T10:15:00Z");
  calibration.set_step_factor(1.25);
  calibration.set_relative_error(0.125);
  v1::OpRate& rate = *calibration.add_rates();
  rate.set_op_kind("rms_norm");
  rate.set_bytes(4096);
  rate.set_bytes_per_second(1e9);
  return calibration;
}

void AddCalibrationSeeds(Seeds& seeds) {
  v1::StartCalibrationRequest start;
  start.mutable_spec()->set_device("cpu");
  start.mutable_spec()->set_model_name("1B");
  start.mutable_spec()->set_context(128);
  start.mutable_spec()->mutable_budget()->set_seconds(60);
  start.set_refuse_if_busy(true);
  seeds.Add("CalibrationService/StartCalibration", start);
  const std::string run = "calibrationRuns/77000000";
  seeds.AddNamed<v1::GetCalibrationRunRequest>("CalibrationService/GetCalibrationRun", run);
  seeds.AddNamed<v1::CancelCalibrationRunRequest>("CalibrationService/CancelCalibrationRun", run);
  v1::ListCalibrationRunsRequest runs;
  runs.set_page_size(2);
  seeds.Add("CalibrationService/ListCalibrationRuns", runs);
  v1::ListCalibrationsRequest list;
  list.set_device_name("cpu");
  list.set_page_size(2);
  seeds.Add("CalibrationService/ListCalibrations", list);
  const std::string name = "calibrations/cpu-imported";
  seeds.AddNamed<v1::GetCalibrationRequest>("CalibrationService/GetCalibration", name);
  seeds.AddNamed<v1::DeleteCalibrationRequest>("CalibrationService/DeleteCalibration", name);
  v1::ImportCalibrationRequest import;
  *import.mutable_calibration() = SomeCalibration();
  seeds.Add("CalibrationService/ImportCalibration", import);
}

void AddClusterSeeds(Seeds& seeds) {
  seeds.AddNamed<v1::GetClusterRequest>("ClusterService/GetCluster", "clusters/host");
  seeds.Add<v1::ListClustersRequest>("ClusterService/ListClusters");
  seeds.Add<v1::GetCapabilitiesRequest>("ClusterService/GetCapabilities");
}

}  // namespace

std::vector<WireSeed> WireSeeds(const v1::CreateJobRequest& job) {
  Seeds seeds;
  AddJobSeeds(job, seeds);
  AddQuestionSeeds(job, seeds);
  AddCatalogSeeds(job, seeds);
  AddMeasurementSeeds(job, seeds);
  AddCalibrationSeeds(seeds);
  AddClusterSeeds(seeds);
  return seeds.Take();
}

std::string Mutate(const WireSeed& seed, std::mt19937_64& random) {
  std::unique_ptr<Message> message(seed.request->New());
  message->CopyFrom(*seed.request);
  const bool in_bytes = random() % 3 == 0;
  const uint64_t changes = 1 + random() % 4;
  for (uint64_t i = 0; !in_bytes && i < changes; ++i) MutateField(*message, random);
  std::string bytes = message->SerializeAsString();
  for (uint64_t i = 0; in_bytes && i < changes; ++i) MutateBytes(bytes, random);
  return bytes;
}

bool Parses(const WireSeed& seed, const std::string& bytes) {
  std::unique_ptr<Message> message(seed.request->New());
  return message->ParseFromString(bytes);
}

grpc::Status CallBytes(grpc::GenericStub& stub, const std::string& method, const std::string& bytes,
                       absl::Duration patience, std::string* answer) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + patience));
  context.set_wait_for_ready(true);
  const grpc::Slice slice(bytes);
  grpc::ByteBuffer buffer;
  grpc::Status status;
  grpc::CompletionQueue queue;
  const auto reader = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(&slice, 1), &queue);
  reader->StartCall();
  reader->Finish(&buffer, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  grpc::Slice whole;
  if (answer != nullptr && status.ok() && buffer.DumpToSingleSlice(&whole).ok())
    answer->assign(reinterpret_cast<const char*>(whole.begin()), whole.size());
  return status;
}

bool IsProper(grpc::StatusCode code, bool parses) {
  if (!parses) return code == grpc::StatusCode::INVALID_ARGUMENT;
  switch (code) {
    case grpc::StatusCode::OK:
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::UNIMPLEMENTED:
      return true;
    default:
      return false;
  }
}

}  // namespace tunesmith::server
