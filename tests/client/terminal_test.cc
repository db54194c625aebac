#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "tests/client/command.h"

// Watching and waiting for jobs, as on a terminal and as in scripts.
namespace tunesmith::client {
namespace {

using server::BinaryPath;
using server::ProcessResult;
using server::ScratchDirectory;
using server::ServerProcess;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The command on a terminal of its own.
class OnTerminal {
 public:
  explicit OnTerminal(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), BinaryPath("tunesmith"));
    pid_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (pid_ != 0) return;
    setenv("TERM", "xterm", 1);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  ~OnTerminal() { close(terminal_); }

  // What it has shown when `text` appears; all there is when it ends or ten seconds pass first.
  const std::string& ReadUntil(const std::string& text) {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (shown_.find(text) == std::string::npos && absl::Now() < deadline) {
      pollfd ready = {.fd = terminal_, .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, 200) <= 0) continue;
      char buffer[4096];
      const ssize_t count = read(terminal_, buffer, sizeof buffer);
      if (count <= 0) break;
      shown_.append(buffer, static_cast<size_t>(count));
    }
    return shown_;
  }

  void Press(char key) { EXPECT_EQ(write(terminal_, &key, 1), 1); }

  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  int terminal_ = -1;
  pid_t pid_ = 0;
  std::string shown_;
};

class TerminalTest : public ::testing::Test {
 protected:
  std::string CreateJob(int64_t step_count) {
    grpc::ClientContext context;
    v1::CreateJobResponse made;
    const auto request = server::TestJob(scratch_, step_count);
    EXPECT_TRUE(server_.jobs().CreateJob(&context, request, &made).ok());
    return made.job().name();
  }

  ProcessResult Ask(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--server", server_.address()});
    return Tunesmith(std::move(arguments));
  }

  ScratchDirectory scratch_;
  ServerProcess server_{scratch_.path() + "/data", {{"FAKE_STEP_MILLISECONDS", "20"}}};
};

constexpr char kControlC = 3;

TEST_F(TerminalTest, ControlCDetachesAndSaysHowToComeBack) {
  const std::string job = CreateJob(100000);
  OnTerminal watch({"jobs", "watch", job, "--server", server_.address()});
  // A bar that is drawn over, with a line of the losses behind it.
  EXPECT_THAT(watch.ReadUntil("▁"), AllOf(HasSubstr("\r["), HasSubstr("tokens/s"), HasSubstr("▁")));
  watch.Press(kControlC);
  EXPECT_THAT(watch.ReadUntil("Come back"),
              HasSubstr(job + " goes on. Come back with: tunesmith jobs watch " + job));
  EXPECT_EQ(watch.Wait(), 130);
  EXPECT_THAT(Ask({"jobs", "list", "--filter", "state = RUNNING", "-o", "name"}).output,
              HasSubstr(job));
  EXPECT_EQ(Ask({"jobs", "cancel", job}).status, 0);
  server_.WaitFor(job);
}

TEST_F(TerminalTest, WaitIsSilentAndItsStatusIsTheJobs) {
  const std::string good = CreateJob(3);
  const ProcessResult waited = Ask({"jobs", "wait", good, "-o", "name"});
  EXPECT_EQ(waited.status, 0);
  EXPECT_EQ(waited.output, good + "\n");
  EXPECT_THAT(waited.errors, IsEmpty());
  const std::string stopped = CreateJob(100000);
  EXPECT_EQ(Ask({"jobs", "cancel", stopped}).status, 0);
  EXPECT_EQ(Ask({"jobs", "wait", stopped}).status, 5);
}

TEST_F(TerminalTest, WaitGivesUpAfterAsLongAsItIsTold) {
  const std::string job = CreateJob(100000);
  const ProcessResult result = Ask({"jobs", "wait", job, "--at-most", "1s"});
  EXPECT_EQ(result.status, 6);
  EXPECT_THAT(result.errors, AllOf(HasSubstr(job), HasSubstr("it goes on")));
  EXPECT_EQ(Ask({"jobs", "wait", job, "--at-most", "soon"}).status, 2);
  EXPECT_EQ(Ask({"jobs", "cancel", job}).status, 0);
  server_.WaitFor(job);
}

}  // namespace
}  // namespace tunesmith::client
