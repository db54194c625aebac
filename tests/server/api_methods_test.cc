#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/time/clock.h"
#include "server/sqlite.h"
#include "tests/benchmarks/wire_mutations.h"
#include "tests/server/api_fixture.h"

// What holds of every method, and what a server tells of itself.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;

grpc::Status CallRaw(const std::string& address, const std::string& method,
                     const std::string& bytes, std::string* answer = nullptr) {
  grpc::GenericStub stub(Connect(address));
  return CallBytes(stub, method, bytes, absl::Seconds(20), answer);
}

TEST_F(ApiTest, WhatDoesNotParseIsInvalidAndWhatIsNotThereUnimplemented) {
  ServerProcess server(DataDirectory());
  for (const char* method :
       {"/tunesmith.v1.JobService/GetJob", "/tunesmith.v1.RecommenderService/Recommend",
        "/tunesmith.v1.RecommenderService/Estimate", "/tunesmith.v1.ClusterService/GetCluster"}) {
    const grpc::Status status = CallRaw(server.address(), method, "\xff\xff");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method;
    EXPECT_EQ(ReasonOf(status), "MALFORMED_REQUEST");
  }
  for (const char* method : {"/tunesmith.v1.JobService/Nonsense",
                             "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"}) {
    EXPECT_EQ(CallRaw(server.address(), method, "").error_code(), grpc::StatusCode::UNIMPLEMENTED)
        << method;
  }
}

std::vector<std::string> ServiceNames() {
  std::vector<std::string> names;
  for (const auto* service : AllServices()) names.push_back(service->full_name());
  return names;
}

// What a tool that knows no protos is told. (grpc.reflection.v1alpha.ServerReflectionRequest: list_services is field 7, file_containing_symbol field 4.)
TEST_F(ApiTest, ReflectionTellsOfEveryServiceAndItsFile) {
  ServerProcess server(DataDirectory());
  grpc::GenericStub stub(Connect(server.address()));
  const auto ask = [&](char field, const std::string& text) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    const auto next = [&] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    const auto call = stub.PrepareCall(
        &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
    call->StartCall(nullptr);
    EXPECT_TRUE(next());
    const std::string request = {static_cast<char>(field << 3 | 2), static_cast<char>(text.size())};
    const grpc::Slice slice(request + text);
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    EXPECT_TRUE(next());
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    EXPECT_TRUE(next());
    context.TryCancel();
    grpc::Status status;
    call->Finish(&status, nullptr);
    next();
    grpc::Slice all;
    EXPECT_TRUE(answer.DumpToSingleSlice(&all).ok());
    return std::string(reinterpret_cast<const char*>(all.begin()), all.size());
  };
  const std::string services = ask(7, "*");
  EXPECT_THAT(services, HasSubstr("grpc.health.v1.Health"));
  for (const std::string& name : ServiceNames()) {
    EXPECT_THAT(services, HasSubstr(name));
    EXPECT_THAT(ask(4, name), HasSubstr("tunesmith/v1/")) << "the file that describes " << name;
  }
  EXPECT_THAT(ask(4, "grpc.health.v1.Health"), HasSubstr("health"));
}

TEST_F(ApiTest, CapabilitiesNameServicesAndFamilies) {
  ServerProcess server(DataDirectory());
  v1::GetCapabilitiesResponse response;
  ASSERT_TRUE(Call(server.clusters(), &v1::ClusterService::Stub::GetCapabilities,
                   v1::GetCapabilitiesRequest(), &response)
                  .ok());
  EXPECT_THAT(response.services(), ::testing::UnorderedElementsAreArray(ServiceNames()));
  EXPECT_THAT(response.trained_families(), ::testing::Contains("llama"));
  EXPECT_THAT(response.planned_families(), ::testing::Contains("mixtral"));
  EXPECT_EQ(response.database_problem(), "");
}

// A page of an index that nothing reads is damaged while the server is gone.
TEST_F(ApiTest, DamageIsToldOfAfterAStopThatWasNotOrderly) {
  const std::string path = DataDirectory() + "/tunesmith.db";
  const auto problem = [&](ServerProcess& server) {
    v1::GetCapabilitiesResponse response;
    for (int tries = 0; tries < 50 && response.database_problem().empty(); ++tries) {
      absl::SleepFor(absl::Milliseconds(20));
      EXPECT_TRUE(Call(server.clusters(), &v1::ClusterService::Stub::GetCapabilities,
                       v1::GetCapabilitiesRequest(), &response)
                      .ok());
    }
    return response.database_problem();
  };
  { ServerProcess server(DataDirectory()); }
  int64_t page = 0, page_bytes = 0;
  {
    auto database = Database::Open(path, OpenMode::kReadOnly);
    page = *database->QueryInteger(
        "SELECT rootpage FROM sqlite_schema WHERE name = 'measurements_by_job'");
    page_bytes = *database->QueryInteger("PRAGMA page_size");
  }
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp((page - 1) * page_bytes);
    file << std::string(64, 'x');
  }
  {
    ServerProcess server(DataDirectory());
    EXPECT_EQ(problem(server), "") << "after an orderly stop nothing is looked through";
    server.Kill();
  }
  ServerProcess server(DataDirectory());
  EXPECT_NE(problem(server), "");
  EXPECT_THAT(server.Log(), HasSubstr("the database was checked: DATA_LOSS"));
  EXPECT_EQ(Create(server, JobRequest(2)).name(), "jobs/job-1") << "what is whole is served";
}

// A field of a number that no request has.
constexpr char kAnotherField[] = "\xfa\x3f\x01x";

int64_t MethodsWithRequestId() {
  int64_t count = 0;
  for (const auto* method : AllMethods())
    if (method->input_type()->FindFieldByName("request_id") != nullptr) ++count;
  return count;
}

// Requests that are good, of every method that takes a request_id; whose answers are kept.
TEST_F(ApiTest, EveryMethodThatTakesARequestIdKeepsItsAnswer) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "200"}},
                       {"--profiler", FakeProfilerPath()});
  const v1::CreateJobRequest job = JobRequest(20);
  std::map<std::string, std::shared_ptr<google::protobuf::Message>> requests;
  for (const WireSeed& seed : WireSeeds(job)) requests[seed.method] = seed.request;
  const auto change = [&](const std::string& method, auto request, auto set) {
    set(request);
    requests["/tunesmith.v1." + method] =
        std::make_shared<std::decay_t<decltype(request)>>(request);
  };
  change("JobService/CreateJob", job, [](auto&) {});
  const std::string cancelled = Create(server, job).name();
  v1::CancelJobRequest cancel;
  cancel.set_name(cancelled);
  v1::CancelJobResponse response;
  ASSERT_TRUE(Call(server.jobs(), &v1::JobService::Stub::CancelJob, cancel, &response).ok());
  ASSERT_EQ(server.WaitFor(cancelled).state(), v1::JOB_STATE_CANCELLED);
  change("JobService/ResumeJob", v1::ResumeJobRequest(),
         [&](v1::ResumeJobRequest& resume) { resume.set_name(cancelled); });
  v1::CreateModelRequest model;
  *model.mutable_model() = job.plan().inputs().model();
  change("RecommenderService/CreateModel", model,
         [](v1::CreateModelRequest& create) { create.mutable_model()->set_name("a-model"); });
  v1::CreateGpuRequest gpu;
  *gpu.mutable_gpu() = job.plan().inputs().devices().hardware();
  change("RecommenderService/CreateGpu", gpu,
         [](v1::CreateGpuRequest& create) { create.mutable_gpu()->set_name("a-gpu"); });
  change("CalibrationService/StartCalibration", v1::StartCalibrationRequest(), [](auto&) {});

  int64_t count = 0;
  for (const auto& [method, request] : requests) {
    const auto* field = request->GetDescriptor()->FindFieldByName("request_id");
    if (field == nullptr) continue;
    ++count;
    request->GetReflection()->SetString(request.get(), field, "an-id");
    const std::string bytes = request->SerializeAsString();
    std::string first, again;
    const grpc::Status status = CallRaw(server.address(), method, bytes, &first);
    ASSERT_TRUE(status.ok()) << method << " " << status.error_message();
    EXPECT_TRUE(CallRaw(server.address(), method, bytes, &again).ok()) << method;
    EXPECT_EQ(first, again) << method;
    const grpc::Status other = CallRaw(server.address(), method, bytes + kAnotherField, &again);
    EXPECT_EQ(other.error_code(), grpc::StatusCode::ALREADY_EXISTS) << method;
    EXPECT_EQ(ReasonOf(other), "REQUEST_ID_REUSED") << method;
  }
  EXPECT_EQ(count, MethodsWithRequestId()) << "a method is not among them";
}

}  // namespace
}  // namespace tunesmith::server
