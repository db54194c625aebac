#include "tests/server/runner_socket.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "server/process.h"

namespace tunesmith::server {
namespace {

constexpr char kListener[] = "/usr/bin/systemd-socket-activate";

}  // namespace

std::string RunnerSocket::WhyAbsent() {
  return access(kListener, X_OK) == 0 ? "" : "no systemd-socket-activate (Debian: systemd)";
}

RunnerSocket::RunnerSocket() : path_(scratch_.path() + "/runner") { Open(); }

void RunnerSocket::Set(const std::string& name, const std::string& value) {
  environment_[name] = value;
  if (value.empty()) environment_.erase(name);
  Close();
  Open();
}

void RunnerSocket::Open() {
  std::vector<std::string> words = {kListener, "--accept", "--inetd", "-l", path_};
  for (const auto& [name, value] : environment_) {
    words.push_back("-E");
    words.push_back(name + "=" + value);
  }
  for (const std::string& word :
       {std::filesystem::absolute(BinaryPath("tunesmith-shim")).string(), std::string("runner"),
        std::string("--trainer"), FakeTrainerPath()})
    words.push_back(word);
  const auto pid = Spawn({.arguments = words,
                          .environment = {},
                          .output_path = scratch_.path() + "/listener.log",
                          .new_session = true});
  ASSERT_TRUE(pid.ok()) << pid.status();
  pid_ = *pid;
  // A file is there before anybody listens; a connection would start a runner.
  const auto listens = [&] { return Slurp("/proc/net/unix").find(path_) != std::string::npos; };
  for (int tries = 0; tries < 500 && !listens(); ++tries) absl::SleepFor(absl::Milliseconds(10));
  ASSERT_TRUE(listens()) << Slurp(scratch_.path() + "/listener.log");
}

void RunnerSocket::Close() {
  if (pid_ == 0) return;
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
  std::filesystem::remove(path_);
}

}  // namespace tunesmith::server
