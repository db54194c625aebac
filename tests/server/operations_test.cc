#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "common/descriptor.h"
#include "tests/common/eventually.h"
#include "tests/server/http_reader.h"
#include "tests/server/process_use.h"
#include "tests/server/server_process.h"

// What those who run the server see of it: metrics, health, its log and its settings.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Flags = std::vector<std::string>;

class OperationsTest : public ::testing::Test {
 protected:
  std::string DataDirectory() const { return scratch_.path() + "/data"; }

  static grpc::Status ListModels(ServerProcess& server, const std::string& traceparent = "") {
    grpc::ClientContext context;
    if (!traceparent.empty()) context.AddMetadata("traceparent", traceparent);
    v1::ListModelsResponse response;
    return server.recommender().ListModels(&context, {}, &response);
  }

  static void ExpectLogged(const ServerProcess& server, const std::string& text) {
    EXPECT_TRUE(Eventually([&] { return server.Log().find(text) != std::string::npos; }))
        << text << " is not in\n"
        << server.Log();
  }

  ScratchDirectory scratch_;
};

TEST_F(OperationsTest, MetricsCountWhatHappened) {
  ServerProcess server(DataDirectory(), {}, {"--http-listen", "127.0.0.1:0"});
  const int port = HttpPortOf(server);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(ListModels(server).ok());
  v1::CreateJobResponse created;
  grpc::ClientContext context;
  ASSERT_TRUE(server.jobs().CreateJob(&context, TestJob(scratch_, 3), &created).ok());
  server.WaitFor(created.job().name());
  int status = 0;
  const std::string text = HttpGet(port, "/metrics", &status);
  EXPECT_EQ(status, 200);
  for (const char* line : {"grpc_method=\"ListModels\",grpc_code=\"OK\"} 3\n",
                           "grpc_method=\"CreateJob\",grpc_code=\"OK\"} 1\n",
                           "tunesmith_jobs{launcher=\"host\",state=\"RUNNING\"} 0\n",
                           "tunesmith_job_transitions_total{state=\"QUEUED\"} 1\n",
                           "tunesmith_job_transitions_total{state=\"LAUNCHING\"} 1\n",
                           "tunesmith_job_transitions_total{state=\"SUCCEEDED\"} 1\n",
                           "tunesmith_build_info{version=\""})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_GT(MetricOf(text, "tunesmith_store_write_seconds_count"), 3);
  EXPECT_GT(MetricOf(text, "process_open_fds"), 5);
  const double heap = MetricOf(text, "tunesmith_heap_bytes{state=\"used\"}");
  EXPECT_GT(heap, 1e5);
  EXPECT_LT(heap, MetricOf(text, "process_resident_memory_bytes"));
  HttpGet(port, "/nothing", &status);
  EXPECT_EQ(status, 404);
}

TEST_F(OperationsTest, ConnectionsByHttpAreBounded) {
  ServerProcess server(DataDirectory(), {}, {"--http-listen", "127.0.0.1:0"});
  const int port = HttpPortOf(server);
  const int64_t before = UseOf(server.pid()).open_file_count;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::vector<Descriptor> silent;
  for (int i = 0; i < 200; ++i) {
    silent.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)connect(silent.back().get(), reinterpret_cast<const sockaddr*>(&address),
                  sizeof(address));
  }
  absl::SleepFor(absl::Milliseconds(500));
  EXPECT_LT(UseOf(server.pid()).open_file_count - before, 80);
  silent.clear();
  EXPECT_TRUE(Eventually([&] { return HttpGet(port, "/healthz") == "ok\n"; }));
}

TEST_F(OperationsTest, QuestionsThatAreRepeatedAreHits) {
  ServerProcess server(DataDirectory(), {}, {"--http-listen", "127.0.0.1:0"});
  v1::RecommendRequest request;
  request.mutable_question()->set_model_name("SmolLM2-135M");
  request.mutable_question()->set_device_name("A100-80GB");
  request.mutable_question()->mutable_workload()->set_context(512);
  request.mutable_question()->mutable_workload()->set_rows_per_step(8);
  v1::RecommendResponse response;
  for (int i = 0; i < 5; ++i) {
    grpc::ClientContext context;
    ASSERT_TRUE(server.recommender().Recommend(&context, request, &response).ok());
  }
  const std::string text = HttpGet(HttpPortOf(server), "/metrics");
  EXPECT_THAT(text, HasSubstr("tunesmith_answer_cache_lookups_total{result=\"hit\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("tunesmith_answer_cache_lookups_total{result=\"miss\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tunesmith_search_seconds_count 1\n"));
}

TEST_F(OperationsTest, WhoIsRefusedIsCounted) {
  ServerProcess server(
      DataDirectory(), {},
      {"--http-listen", "127.0.0.1:0", "--access-file", [&] {
         const std::string path = scratch_.path() + "/access";
         RunProcess({BinaryPath("tunesmithd"), "--access-file", path, "--add-token", "a"});
         return path;
       }()});
  EXPECT_EQ(ListModels(server).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(HttpGet(HttpPortOf(server), "/metrics"),
              HasSubstr("grpc_method=\"ListModels\",grpc_code=\"UNAUTHENTICATED\"} 1\n"));
}

TEST_F(OperationsTest, ReadinessEndsBeforeTheServerDoes) {
  ServerProcess server(DataDirectory(), {}, {"--http-listen", "127.0.0.1:0"});
  const int port = HttpPortOf(server);
  int status = 0;
  EXPECT_EQ(HttpGet(port, "/healthz", &status), "ok\n");
  EXPECT_EQ(HttpGet(port, "/readyz", &status), "ok\n");
  EXPECT_EQ(status, 200);
  ASSERT_TRUE(ListModels(server)
                  .ok());  // its connection stays open, so that the server waits a second for it
  kill(server.pid(), SIGTERM);
  bool was_unready = false;
  for (int tries = 0; tries < 100 && !was_unready; ++tries) {
    HttpGet(port, "/readyz", &status);
    was_unready = status == 503;
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_TRUE(was_unready);
}

TEST_F(OperationsTest, APortThatIsTakenIsAnErrorWithItsFlag) {
  ServerProcess server(DataDirectory(), {}, {"--http-listen", "127.0.0.1:0"});
  for (const std::string& address :
       {"127.0.0.1:" + std::to_string(HttpPortOf(server)), std::string("nonsense")}) {
    const ProcessResult second =
        RunProcess({BinaryPath("tunesmithd"), "--listen", "127.0.0.1:0", "--data-dir",
                    scratch_.path() + "/other", "--http-listen", address});
    EXPECT_EQ(second.status, 1);
    EXPECT_THAT(second.errors, HasSubstr("--http-listen"));
  }
}

TEST_F(OperationsTest, ItAnswersOnAnAddressOfIpv6) {
  if (httplib::Server().bind_to_any_port("::1") <= 0) GTEST_SKIP() << "this host has no IPv6";
  ServerProcess server(DataDirectory(), {}, {"--http-listen", "[::1]:0"});
  httplib::Client client("::1", HttpPortOf(server));
  const auto health = client.Get("/healthz");
  ASSERT_TRUE(health) << "no answer";
  EXPECT_EQ(health->status, 200);
}

TEST_F(OperationsTest, TheLogHasTraces) {
  ServerProcess server(DataDirectory());
  ListModels(server, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  ExpectLogged(server, "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"");
}

TEST_F(OperationsTest, TheLogsLevelIsTakenUpAnew) {
  const std::string config = scratch_.File("config.yaml", "log-level: warning\n");
  ServerProcess server(DataDirectory(), {{"TUNESMITHD_CONFIG", config}}, {"--log-level", "info"});
  ListModels(server);
  scratch_.File("config.yaml", "log-level: error\n");
  kill(server.pid(), SIGHUP);
  ExpectLogged(server, "the log's level is info");  // the command line's goes first
}

TEST_F(OperationsTest, TheLogsLevelOfTheFileChangesWhileTheServerRuns) {
  const std::string config = scratch_.File("config.yaml", "log-level: info\n");
  ServerProcess server(DataDirectory(), {}, {"--config", config});
  scratch_.File("config.yaml", "log-level: warning\n");
  kill(server.pid(), SIGHUP);
  ExpectLogged(server, "the log's level is warning");
  ListModels(server);
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_THAT(server.Log(), Not(HasSubstr("ListModels")));
  EXPECT_EQ(server.Terminate(), 0) << "SIGHUP ends nothing";
}

TEST_F(OperationsTest, EverySettingTellsWhereItIsFrom) {
  const std::string config = scratch_.File(
      "config.yaml", "listen: [127.0.0.1:1, 127.0.0.1:2]\nkeep-days: 3\ngrace-seconds: 9\n");
  const auto print = [&](Flags flags, const std::map<std::string, std::string>& environment) {
    flags.insert(flags.begin(), {BinaryPath("tunesmithd"), "--print-config"});
    return RunProcess(flags, environment);
  };
  const ProcessResult result =
      print({"--config", config, "--keep-days", "5"},
            {{"TUNESMITHD_GRACE_SECONDS", "7"}, {"TUNESMITHD_KEEP_DAYS", "6"}});
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.output,
              HasSubstr("listen: \"127.0.0.1:1,127.0.0.1:2\"  # " + config + ":1\n"));
  EXPECT_THAT(result.output, HasSubstr("keep-days: \"5\"  # flag\n"));
  EXPECT_THAT(result.output,
              HasSubstr("grace-seconds: \"7\"  # environment TUNESMITHD_GRACE_SECONDS\n"));
  EXPECT_THAT(result.output, HasSubstr("access-log: \"all\"  # default\n"));
  const std::string again = scratch_.File("again.yaml", result.output);
  EXPECT_THAT(print({"--config", again}, {}).output, HasSubstr("keep-days: \"5\"  # " + again))
      << "what is printed can be a file";
  const ProcessResult unknown = print({"--config", scratch_.File("bad.yaml", "keep-day: 3\n")}, {});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.errors, HasSubstr("did you mean 'keep-days'"));
  EXPECT_EQ(print({"--config", scratch_.File("action.yaml", "backup: /tmp/x\n")}, {}).status, 2);
  EXPECT_EQ(print({"--config", scratch_.path() + "/none.yaml"}, {}).status, 2);
  EXPECT_EQ(print({}, {{"TUNESMITHD_LOG_LEVEL", "loud"}}).status, 2);
}

TEST_F(OperationsTest, SystemdIsTold) {
  const std::string path = scratch_.path() + "/notify";
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const timeval patience = {.tv_sec = 10, .tv_usec = 0};
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  const auto heard = [&] {
    char text[64] = {};
    return std::string(
        text, static_cast<size_t>(std::max<ssize_t>(0, recv(descriptor, text, sizeof(text), 0))));
  };
  {
    ServerProcess server(DataDirectory(), {{"NOTIFY_SOCKET", path}, {"WATCHDOG_USEC", "200000"}});
    EXPECT_EQ(heard(), "READY=1");
    EXPECT_EQ(heard(), "WATCHDOG=1");
  }
  std::string last;
  for (std::string text = heard(); !text.empty() && last != "STOPPING=1";
       text = last == "STOPPING=1" ? "" : heard())
    last = text;
  EXPECT_EQ(last, "STOPPING=1");
  close(descriptor);
}

}  // namespace
}  // namespace tunesmith::server
