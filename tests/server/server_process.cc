#include "tests/server/server_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "common/child.h"
#include "common/descriptor.h"
#include "common/file.h"
#include "grpcpp/create_channel.h"
#include "planner/model/catalog.h"
#include "planner/model/hardware.h"
#include "proto/convert/plan.h"
#include "proto/convert/run_directory.h"
#include "server/process.h"
#include "server/store.h"
#include "tests/common/eventually.h"

namespace tunesmith::server {
namespace {

pid_t Start(const std::vector<std::string>& arguments,
            const std::map<std::string, std::string>& environment, const std::string& output_path,
            const std::string& errors_path) {
  constexpr int kWrite = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  const Descriptor input(open("/dev/null", O_RDONLY | O_CLOEXEC)),
      output(open(output_path.c_str(), kWrite, 0644)),
      errors(open(errors_path.c_str(), kWrite, 0644));
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  const auto pid = StartChild({.arguments = arguments,
                               .environment = EnvironmentFor(variables),
                               .input = input.get(),
                               .output = output.get(),
                               .errors = errors.get()});
  EXPECT_TRUE(pid.ok()) << pid.status();
  return pid.value_or(0);
}

int Wait(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return ExitStatusOf(status);
}

int PortInLog(const std::string& log) {
  const std::string mark = "listens on port ";
  const size_t at = log.find(mark);
  return at == std::string::npos ? 0 : std::atoi(log.c_str() + at + mark.size());
}

}  // namespace

std::string Slurp(const std::string& path) { return ReadFile(path).value_or(""); }

bool AwaitStep(const std::string& run_directory) {
  const std::string heartbeat = convert::InDirectory(run_directory, convert::kHeartbeatFile);
  return Eventually([&] { return std::filesystem::exists(heartbeat); });
}

void ForgetSteps(const std::string& run_directory) {
  std::filesystem::remove(convert::InDirectory(run_directory, convert::kHeartbeatFile));
}

ScratchDirectory::ScratchDirectory() {
  std::string pattern = ::testing::TempDir() + "tunesmith_XXXXXX";
  path_ = mkdtemp(pattern.data());
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::string ScratchDirectory::File(const std::string& name, const std::string& contents) const {
  const std::string path = path_ + "/" + name;
  std::ofstream(path) << contents;
  return path;
}

std::string BinaryPath(const std::string& name) {
  const char* directory = std::getenv("TUNESMITH_BIN_DIR");
  return std::string(directory ? directory : "build/bin") + "/" + name;
}

std::string FakeTrainerPath() { return FAKE_TRAINER_PATH; }

std::string FakeProfilerPath() { return FAKE_PROFILER_PATH; }

ProcessResult RunProcess(const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment) {
  const ScratchDirectory scratch;
  const std::string output = scratch.path() + "/out";
  const std::string errors = scratch.path() + "/err";
  const pid_t pid = Start(arguments, environment, output, errors);
  const int status = pid > 0 ? Wait(pid) : -1;
  return {.status = status, .output = Slurp(output), .errors = Slurp(errors)};
}

std::shared_ptr<grpc::Channel> Connect(
    const std::string& address, int number,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("channel_number", number);  // channels with equal arguments share a connection
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  const auto channel = grpc::CreateCustomChannel(address, credentials, arguments);
  EXPECT_TRUE(
      channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10)))
      << address;
  return channel;
}

ServerProcess::ServerProcess(const std::string& data_directory,
                             const std::map<std::string, std::string>& environment,
                             const std::vector<std::string>& flags, const std::string& listen,
                             const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  std::vector<std::string> arguments = {BinaryPath("tunesmithd"), "--listen", listen, "--data-dir",
                                        data_directory};
  if (std::find(flags.begin(), flags.end(), "--trainer") == flags.end())
    arguments.insert(arguments.end(), {"--trainer", FakeTrainerPath()});
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  log_path_ = data_directory + ".log";
  pid_ = Start(arguments, environment, "/dev/null", log_path_);
  for (int tries = 0; tries < 500 && port_ == 0 && kill(pid_, 0) == 0; ++tries) {
    absl::SleepFor(absl::Milliseconds(20));
    port_ = PortInLog(Slurp(log_path_));
  }
  EXPECT_GT(port_, 0) << Slurp(log_path_);
  if (credentials == nullptr) return;
  const auto channel = Connect(address(), 0, credentials);
  jobs_ = v1::JobService::NewStub(channel);
  recommender_ = v1::RecommenderService::NewStub(channel);
  clusters_ = v1::ClusterService::NewStub(channel);
  measurements_ = v1::MeasurementService::NewStub(channel);
  calibrations_ = v1::CalibrationService::NewStub(channel);
}

ServerProcess::~ServerProcess() {
  jobs_.reset();  // a connection that is open keeps the server from ending at once
  recommender_.reset();
  clusters_.reset();
  measurements_.reset();
  calibrations_.reset();
  Terminate();
}

std::string ServerProcess::Log() const { return Slurp(log_path_); }

void ServerProcess::Kill() {
  if (pid_ > 0) kill(pid_, SIGKILL);
  if (pid_ > 0) Wait(pid_);
  pid_ = 0;
}

bool ServerProcess::HasEnded() {
  if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = 0;
  return pid_ == 0;
}

int ServerProcess::Terminate() {
  if (pid_ <= 0) return -1;
  kill(pid_, SIGTERM);
  const int status = Wait(pid_);
  pid_ = 0;
  return status;
}

v1::Job ServerProcess::WaitFor(const std::string& name, v1::JobState state, int seconds) {
  const absl::Time deadline = absl::Now() + absl::Seconds(seconds);
  v1::GetJobResponse response;
  while (absl::Now() < deadline) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_name(name);
    const grpc::Status status = jobs_->GetJob(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    if (!status.ok() || IsTerminal(response.job().state()) || response.job().state() == state)
      return response.job();
    absl::SleepFor(absl::Milliseconds(20));
  }
  ADD_FAILURE() << name << " did not get there: " << response.job().DebugString();
  return response.job();
}

std::vector<v1::Event> ServerProcess::Watch(const std::string& name, int64_t after_sequence) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  v1::WatchJobRequest request;
  request.set_name(name);
  request.set_after_sequence(after_sequence);
  const auto reader = jobs_->WatchJob(&context, request);
  std::vector<v1::Event> events;
  v1::WatchJobResponse response;
  while (reader->Read(&response)) {
    if (response.has_event()) events.push_back(response.event());
  }
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return events;
}

v1::CreateJobRequest TestJob(const ScratchDirectory& scratch, int64_t step_count) {
  planner::Question question;
  question.model = planner::FindModel("1B").value();
  question.workload = {.context = 128, .rows_per_step = 4};
  question.devices = planner::ParseDeviceGroup("cpu").value();
  planner::Prediction prediction;
  prediction.fits = true;
  prediction.mix.micro_batch = 2;
  prediction.mix.accumulation_count = 2;
  prediction.mix.recompute[0] = question.model.layer_count;
  prediction.program_digest = "digest-of-a-test";
  v1::CreateJobRequest request;
  *request.mutable_plan() = convert::ToProto(convert::MakePlan(question, prediction));
  request.mutable_spec()->set_model_path(scratch.path());
  request.mutable_spec()->set_dataset_path(scratch.File("train.jsonl", "{\"text\":\"a\"}\n"));
  request.mutable_spec()->mutable_training()->set_step_count(step_count);
  return request;
}

}  // namespace tunesmith::server
