#include "tests/server/kubernetes_cluster.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/child.h"
#include "common/command.h"
#include "common/descriptor.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

// Debian's: another python3 that is first on PATH may be a script that starts the real one, which could then not be paused.
constexpr char kPython[] = "/usr/bin/python3";
constexpr char kFirstToken[] = "first-token";
constexpr absl::Duration kPatience = absl::Seconds(20);

bool IsThere(const std::string& command) {
  const auto result = RunCommand({.arguments = {"sh", "-c", "command -v " + command}});
  return result.ok() && result->status == 0;
}

}  // namespace

std::string KubernetesCluster::WhyAbsent() {
  for (const char* command : {"kubectl", kPython, "openssl"}) {
    if (!IsThere(command))
      return StrCat(command, " is not installed; ./dev setup --kubernetes installs it");
  }
  return "";
}

KubernetesCluster::KubernetesCluster(const std::string& trainer) {
  std::filesystem::create_directories(BinaryDirectory());
  std::filesystem::create_symlink(std::filesystem::absolute(BinaryPath("tunesmith-shim")),
                                  BinaryDirectory() + "/tunesmith-shim");
  std::filesystem::create_symlink(
      trainer.empty() ? FakeTrainerPath() : std::filesystem::absolute(trainer).string(),
      BinaryDirectory() + "/tunesmith-trainer");
  TakeTokens(kFirstToken);
  const std::string log = scratch_.path() + "/log";
  const Descriptor input(open("/dev/null", O_RDONLY | O_CLOEXEC)),
      output(open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  const auto pid = StartChild({.arguments = {kPython, KUBERNETES_DIRECTORY "/api_server.py",
                                             "--directory", scratch_.path(), "--rbac", RBAC_FILE},
                               .environment = EnvironmentFor({}),
                               .input = input.get(),
                               .output = output.get(),
                               .errors = output.get()});
  pid_ = pid.value_or(0);
  const std::string mark = "listens on port ";
  for (const absl::Time end = absl::Now() + kPatience; port_ == 0 && absl::Now() < end;
       absl::SleepFor(absl::Milliseconds(20))) {
    const std::string text = Slurp(log);
    const size_t at = text.find(mark);
    if (at != std::string::npos) port_ = std::atoi(text.c_str() + at + mark.size());
  }
  EXPECT_GT(port_, 0) << Slurp(log);
  ShowToken(kFirstToken);
  setenv("KUBECONFIG", (scratch_.path() + "/kubeconfig").c_str(), 1);
}

KubernetesCluster::~KubernetesCluster() {
  if (pid_ > 0) {
    Resume();
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  unsetenv("KUBECONFIG");
}

std::vector<std::string> KubernetesCluster::Flags(const std::string& shared) const {
  return {"--kubernetes-image", "registry.example/tunesmith:1", "--kubernetes-volume",
          "shared:" + shared,   "--kubernetes-binaries",        BinaryDirectory()};
}

nlohmann::json KubernetesCluster::Do(const std::string& what, nlohmann::json arguments) {
  arguments["do"] = what;
  const auto result =
      RunCommand({.arguments = {"kubectl", "create", "--raw", "/control", "-f", "-"},
                  .input = arguments.dump()});
  EXPECT_TRUE(result.ok() && result->status == 0)
      << what << ": " << (result.ok() ? result->errors : result.status().ToString());
  return result.ok() ? nlohmann::json::parse(result->output, nullptr, false) : nlohmann::json();
}

std::vector<nlohmann::json> KubernetesCluster::Objects(const std::string& kind) {
  std::vector<nlohmann::json> objects;
  for (const nlohmann::json& object : Do("show")) {
    if (object["kind"] == kind) objects.push_back(object);
  }
  return objects;
}

std::vector<std::string> KubernetesCluster::Requests() const {
  return absl::StrSplit(Slurp(scratch_.path() + "/requests"), '\n', absl::SkipEmpty());
}

void KubernetesCluster::TakeTokens(const std::string& tokens) const {
  scratch_.File("tokens", tokens + "\n");
}

void KubernetesCluster::ShowToken(const std::string& token) const {
  const nlohmann::json config = {
      {"apiVersion", "v1"},
      {"kind", "Config"},
      {"current-context", "test"},
      {"clusters",
       nlohmann::json::array({{{"name", "test"},
                               {"cluster",
                                {{"server", StrCat("https://127.0.0.1:", port_)},
                                 {"certificate-authority", scratch_.path() + "/ca.crt"}}}}})},
      {"users", nlohmann::json::array({{{"name", "test"}, {"user", {{"token", token}}}}})},
      {"contexts",
       nlohmann::json::array(
           {{{"name", "test"}, {"context", {{"cluster", "test"}, {"user", "test"}}}}})}};
  scratch_.File("kubeconfig", config.dump());
}

void KubernetesCluster::Pause() const { kill(pid_, SIGSTOP); }
void KubernetesCluster::Resume() const { kill(pid_, SIGCONT); }

}  // namespace tunesmith::server
