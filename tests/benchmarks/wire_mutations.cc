#include "tests/benchmarks/wire_mutations.h"

#include <cmath>
#include <limits>

#include "tunesmith/v1/clusters.pb.h"
#include "tunesmith/v1/measurements.pb.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

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

}  // namespace

std::vector<WireSeed> WireSeeds(const v1::CreateJobRequest& job) {
  std::vector<WireSeed> seeds;
  const auto add = [&](const std::string& method, const Message& request) {
    std::shared_ptr<Message> copy(request.New());
    copy->CopyFrom(request);
    seeds.push_back({"/tunesmith.v1." + method, std::move(copy)});
  };
  v1::CreateJobRequest create = job;
  create.set_validate_only(true);
  add("JobService/CreateJob", create);
  v1::GetJobRequest get;
  get.set_name("jobs/job-1");
  add("JobService/GetJob", get);
  v1::ListJobsRequest list;
  list.set_filter("state = FAILED AND create_time > \"2020-01-01T00:00:00Z\"");
  list.set_page_size(3);
  add("JobService/ListJobs", list);
  v1::CancelJobRequest cancel;
  cancel.set_name("jobs/job-77");
  add("JobService/CancelJob", cancel);
  v1::ResumeJobRequest resume;
  resume.set_name("jobs/job-77");
  add("JobService/ResumeJob", resume);
  v1::RecommendRequest recommend;
  *recommend.mutable_question()->mutable_model_spec() = job.plan().inputs().model();
  recommend.mutable_question()->set_device_name("A100-80GB");
  recommend.mutable_question()->mutable_workload()->set_context(512);
  recommend.mutable_question()->mutable_workload()->set_rows_per_step(8);
  add("RecommenderService/Recommend", recommend);
  v1::BatchRecommendRequest batch;
  *batch.add_requests() = recommend;
  add("RecommenderService/BatchRecommend", batch);
  v1::EstimateRequest estimate;
  *estimate.mutable_question() = recommend.question();
  *estimate.mutable_mix() = job.plan().mix();
  add("RecommenderService/Estimate", estimate);
  v1::CreateModelRequest model;
  *model.mutable_model() = job.plan().inputs().model();
  add("RecommenderService/CreateModel", model);
  v1::CreateGpuRequest gpu;
  *gpu.mutable_gpu() = job.plan().inputs().devices().hardware();
  add("RecommenderService/CreateGpu", gpu);
  v1::GetModelRequest get_model;
  get_model.set_name("7B");
  add("RecommenderService/GetModel", get_model);
  v1::ReportMeasurementRequest report;
  *report.mutable_plan() = job.plan();
  report.mutable_measured()->set_step_seconds(1);
  add("MeasurementService/ReportMeasurement", report);
  v1::ListMeasurementsRequest measurements;
  measurements.set_page_size(2);
  add("MeasurementService/ListMeasurements", measurements);
  v1::GetClusterRequest cluster;
  cluster.set_name("clusters/host");
  add("ClusterService/GetCluster", cluster);
  return seeds;
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

}  // namespace tunesmith::server
