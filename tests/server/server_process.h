#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "tunesmith/v1/calibrations.grpc.pb.h"
#include "tunesmith/v1/clusters.grpc.pb.h"
#include "tunesmith/v1/jobs.grpc.pb.h"
#include "tunesmith/v1/jobs.pb.h"
#include "tunesmith/v1/measurements.grpc.pb.h"
#include "tunesmith/v1/recommender.grpc.pb.h"

// tunesmithd as a process of its own, with the fake trainer, and what tests ask of it.
namespace tunesmith::server {

// A directory that goes away with the object.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ~ScratchDirectory();
  const std::string& path() const { return path_; }
  std::string File(const std::string& name, const std::string& contents) const;  // its path

 private:
  std::string path_;
};

// What a file holds; nothing where it is not there.
std::string Slurp(const std::string& path);

struct ProcessResult {
  int status = -1;  // exit status, or 128 + signal
  std::string output;
  std::string errors;
};

// Runs a binary to its end. `environment` is added to this process's own.
ProcessResult RunProcess(const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment = {});

// Whether a trainer takes a step in this run directory, in good time: it listens to signals from then on. Steps of an earlier attempt count until
// they are forgotten.
bool AwaitStep(const std::string& run_directory);
void ForgetSteps(const std::string& run_directory);

std::string BinaryPath(const std::string& name);  // in build/bin
std::string FakeTrainerPath();
std::string FakeProfilerPath();

// A channel that has connected, or has tried for ten seconds. gRPC 1.51 loses some first connections: it reads errno after calls that may
// change it, and takes a connection under way for a failed one. Channels of other numbers have connections of their own.
std::shared_ptr<grpc::Channel> Connect(const std::string& address, int number = 0,
                                       const std::shared_ptr<grpc::ChannelCredentials>&
                                           credentials = grpc::InsecureChannelCredentials());

class ServerProcess {
 public:
  // Starts a server, on a free loopback port unless told, and waits until it listens. Check port() > 0. The stubs are on a channel with
  // `credentials`; there are none without.
  ServerProcess(const std::string& data_directory,
                const std::map<std::string, std::string>& environment = {},
                const std::vector<std::string>& flags = {},
                const std::string& listen = "127.0.0.1:0",
                const std::shared_ptr<grpc::ChannelCredentials>& credentials =
                    grpc::InsecureChannelCredentials());
  ~ServerProcess();  // SIGTERM

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void Kill();      // SIGKILL, as a crash
  bool HasEnded();  // by itself, or by a signal from elsewhere
  int Terminate();  // SIGTERM; its exit status

  pid_t pid() const { return pid_; }
  std::string Log() const;  // what it has written to stderr
  v1::JobService::Stub& jobs() { return *jobs_; }
  v1::ClusterService::Stub& clusters() { return *clusters_; }
  v1::MeasurementService::Stub& measurements() { return *measurements_; }
  v1::CalibrationService::Stub& calibrations() { return *calibrations_; }
  v1::RecommenderService::Stub& recommender() { return *recommender_; }

  // Waits until the job is in a terminal state, or in `state`; the job as it is then. Fails the test after `seconds`.
  v1::Job WaitFor(const std::string& name, v1::JobState state = v1::JOB_STATE_UNSPECIFIED,
                  int seconds = 20);

  // All events after a sequence, through WatchJob, until the stream ends.
  std::vector<v1::Event> Watch(const std::string& name, int64_t after_sequence = 0);

 private:
  pid_t pid_ = 0;
  int port_ = 0;
  std::string log_path_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::RecommenderService::Stub> recommender_;
  std::unique_ptr<v1::ClusterService::Stub> clusters_;
  std::unique_ptr<v1::MeasurementService::Stub> measurements_;
  std::unique_ptr<v1::CalibrationService::Stub> calibrations_;
};

// A request that CreateJob accepts: a small model on this host, files in `scratch`.
v1::CreateJobRequest TestJob(const ScratchDirectory& scratch, int64_t step_count);

}  // namespace tunesmith::server
