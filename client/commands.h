#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/config.h"
#include "client/output.h"
#include "client/style.h"

namespace CLI {
class App;
}

// The commands of `tunesmith`. Each Add... registers one command's flags with the application and, when the command is given, sets
// `globals.run` to what carries it out. A command writes data to stdout and everything else to stderr, and returns the exit status.
namespace tunesmith::client {

struct Globals {
  ColorMode color = ColorMode::kAuto;
  std::string use_context;
  Configuration configuration;
  ClientOptions client;
  CredentialFiles credential_files;
  double timeout_seconds = 30;
  bool offline = false;
  bool names_server = false;  // by flag, environment or file, and not --offline
  std::function<int()> run;

  // The planner that the flags choose.
  std::unique_ptr<Recommender> MakeRecommender() const;
  ClientOptions Options() const;

  // Reads what the flags name. Before the first call to a server.
  absl::Status ReadCredentials();
};

// People may leave out what is the same for every job: "7", "job-7", "jobs/job-7".
std::string FullJobName(const std::string& name);

// Prints the error on stderr; its exit status.
int Fail(const absl::Status& status);

void AddRecommend(CLI::App& app, Globals& globals);
void AddEstimate(CLI::App& app, Globals& globals);
void AddExplain(CLI::App& app, Globals& globals);
void AddCompare(CLI::App& app, Globals& globals);
void AddReport(CLI::App& app, Globals& globals);
void AddExport(CLI::App& app, Globals& globals);
void AddSize(CLI::App& app, Globals& globals);
void AddSlurmHint(CLI::App& app, Globals& globals);
void AddModels(CLI::App& app, Globals& globals);
void AddGpus(CLI::App& app, Globals& globals);
void AddClusters(CLI::App& app, Globals& globals);
void AddLaunch(CLI::App& app, Globals& globals);
void AddEvaluate(CLI::App& app, Globals& globals);
void AddConvert(CLI::App& app, Globals& globals);
void AddCalibrate(CLI::App& app, Globals& globals);
void AddCalibration(CLI::App& app, Globals& globals);
void AddJobs(CLI::App& app, Globals& globals);
void AddMeasurements(CLI::App& app, Globals& globals);
void AddDoctor(CLI::App& app, Globals& globals);
void AddConfig(CLI::App& app, Globals& globals);
void AddCompletion(CLI::App& app, Globals& globals);
void AddVersion(CLI::App& app, Globals& globals);

// What the scripts of shells and the build ask: `__complete WORDS...`, `__reference`, `__man-pages DIRECTORY`. Nothing where it is none of them.
std::optional<int> RunShellVerb(CLI::App& app, const Globals& globals,
                                const std::vector<std::string>& arguments);

void PrintJob(const Output& output, const v1::Job& job);

struct FollowOptions {
  int64_t after_sequence = 0;
  bool quiet = false;
  absl::Duration patience = absl::InfiniteDuration();
};

// Follows a job to its end, shown or (with `quiet`) not, and prints it; 5 unless it SUCCEEDED, 6 when it has not ended after `patience`.
int FollowAndReport(JobClient& jobs, const std::string& name, const FollowOptions& options,
                    const Output& output);

}  // namespace tunesmith::client
