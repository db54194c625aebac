#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "server/security/roles.h"
#include "server/security/token.h"
#include "tests/common/eventually.h"
#include "tests/server/api_calls.h"
#include "tests/server/security_fixture.h"

// Attacks on the server as users have it: calls by those who may not make them, and what is written of it.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Code = grpc::StatusCode;

TEST_F(SecurityTest, EveryMethodAsksForItsRole) {
  ServerProcess server(DataDirectory(), {}, {"--access-file", AccessFile()});
  const auto channel = Connect(server.address());
  const std::map<std::string, Role> roles = {
      {"reader", Role::kReader}, {"submitter", Role::kSubmitter}, {"admin", Role::kAdmin}};
  ASSERT_GE(AllMethods().size(), 21u);
  for (const auto* descriptor : AllMethods()) {
    const std::string method = PathOf(*descriptor);
    EXPECT_EQ(CallAny(channel, method).error_code(), Code::UNAUTHENTICATED) << method;
    for (const auto& [name, role] : roles) {
      const grpc::Status status = CallAny(channel, method, Bearer(tokens_[name]));
      EXPECT_NE(status.error_code(), Code::UNAUTHENTICATED) << name << " " << method;
      EXPECT_EQ(status.error_code() == Code::PERMISSION_DENIED, role < RoleFor(method))
          << name << " " << method << " " << status.error_message();
    }
  }
  EXPECT_TRUE(IsHealthy(channel)) << "probes have no token";
  EXPECT_EQ(CallAny(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
                .error_code(),
            Code::UNAUTHENTICATED);
  EXPECT_EQ(CallAny(channel, "/tunesmith.v1.JobService/NoSuchMethod").error_code(),
            Code::UNAUTHENTICATED);
}

TEST_F(SecurityTest, WhatIsNotOneKnownTokenIsRefused) {
  const std::string access = AccessFile();
  const std::string expired = NewToken().value();
  std::ofstream(access, std::ios::app)
      << "token late admin " << HashText(HashToken(expired)) << " expires=2020-01-01T00:00:00Z\n";
  ServerProcess server(DataDirectory(), {}, {"--access-file", access});
  const auto channel = Connect(server.address());
  const std::string admin = tokens_["admin"];
  EXPECT_NE(CallAny(channel, kAdminMethod, {{"authorization", "bearer  " + admin}}).error_code(),
            Code::UNAUTHENTICATED)
      << "the scheme has no case";
  const std::vector<Headers> bad = {
      Bearer(""),
      Bearer(NewToken().value()),
      Bearer(admin.substr(0, admin.size() - 1)),
      Bearer(admin + "x"),
      Bearer(HashText(HashToken(admin))),
      Bearer(std::string(4000, 'x')),
      {{"authorization", admin}},
      {{"authorization", "Basic " + admin}},
      {{"authorization", "Bearer " + admin}, {"authorization", "Bearer " + admin}}};
  for (const Headers& headers : bad)
    EXPECT_EQ(CallAny(channel, kReaderMethod, headers).error_code(), Code::UNAUTHENTICATED)
        << headers.front().second.substr(0, 60);
  const grpc::Status late = CallAny(channel, kReaderMethod, Bearer(expired));
  EXPECT_EQ(late.error_code(), Code::UNAUTHENTICATED);
  EXPECT_THAT(late.error_message(), HasSubstr("late expired at 2020"));
}

TEST_F(SecurityTest, ATokenThatIsTakenOutIsRefusedWhileTheServerRuns) {
  const std::string access = AccessFile();
  ServerProcess server(DataDirectory(), {}, {"--access-file", access});
  const auto channel = Connect(server.address());
  EXPECT_TRUE(CallAny(channel, kReaderMethod, Bearer(tokens_["reader"])).ok());
  std::ofstream(access) << "# nobody\n";
  absl::SleepFor(absl::Milliseconds(1200));
  EXPECT_EQ(CallAny(channel, kReaderMethod, Bearer(tokens_["reader"])).error_code(),
            Code::UNAUTHENTICATED);
}

TEST_F(SecurityTest, ASocketIsForItsOwnerAndGroup) {
  const std::string socket = scratch_.path() + "/socket";
  const std::string listen = "127.0.0.1:0,unix:" + socket;
  ServerProcess server(DataDirectory(), {}, {"--access-file", AccessFile()}, listen);
  struct stat info = {};
  ASSERT_EQ(stat(socket.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
  const auto channel = Connect("unix:" + socket);
  EXPECT_EQ(CallAny(channel, kAdminMethod).error_code(), Code::INVALID_ARGUMENT)
      << "whom the file lets in is an admin";
  EXPECT_EQ(CallAny(channel, kAdminMethod, Bearer(tokens_["reader"])).error_code(),
            Code::PERMISSION_DENIED)
      << "a token says who it is";
  EXPECT_EQ(CallAny(channel, kAdminMethod, Bearer("guess")).error_code(), Code::UNAUTHENTICATED);
  EXPECT_EQ(CallAny(Connect(server.address()), kReaderMethod).error_code(), Code::UNAUTHENTICATED)
      << "the port asks on";
  const ProcessResult second =
      RunProcess({BinaryPath("tunesmithd"), "--data-dir", scratch_.path() + "/other", "--listen",
                  "unix:" + socket});
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.errors, HasSubstr("another server answers on unix:" + socket));
}

TEST_F(SecurityTest, WhatIsDoneAndWhatIsRefusedIsAuditedWithoutSecrets) {
  const std::string audit = scratch_.path() + "/audit.jsonl";
  ServerProcess server(DataDirectory(), {}, {"--access-file", AccessFile(), "--audit-log", audit});
  const auto channel = Connect(server.address());
  const std::string guess = "tunesmith_guess-of-a-secret";
  CallAny(channel, kReaderMethod, Bearer(tokens_["reader"]));
  CallAny(channel, kAdminMethod, Bearer(tokens_["reader"]));
  for (int i = 0; i < 40; ++i) CallAny(channel, kReaderMethod, Bearer(guess));
  v1::CreateJobRequest request = TestJob(scratch_, 1);
  request.set_request_id("an-id");
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + tokens_["submitter"]);
  context.AddMetadata("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  v1::CreateJobResponse response;
  ASSERT_TRUE(server.jobs().CreateJob(&context, request, &response).ok());
  EXPECT_TRUE(Eventually([&] { return Slurp(audit).find("CreateJob") != std::string::npos; }));
  const std::vector<nlohmann::json> lines = Lines(audit);
  ASSERT_GE(lines.size(), 3u);
  EXPECT_LE(lines.size(), 32u) << "nobody fills the disk by guessing";
  const std::string log = server.Log();
  int64_t logged_count = 0;
  for (size_t at = 0; (at = log.find("UNAUTHENTICATED", at)) != std::string::npos; ++at)
    ++logged_count;
  EXPECT_LE(logged_count, 30) << "nor by the log";
  EXPECT_EQ(lines[0]["caller"], "reader-token");
  EXPECT_EQ(lines[0]["method"], kAdminMethod);
  EXPECT_EQ(lines[0]["code"], "PERMISSION_DENIED");
  EXPECT_EQ(lines[1]["code"], "UNAUTHENTICATED");
  EXPECT_EQ(lines[1]["caller"], "");
  const nlohmann::json& created = lines.back();
  EXPECT_EQ(created["caller"], "submitter-token");
  EXPECT_EQ(created["known_by"], "token");
  EXPECT_EQ(created["resource"], response.job().name());
  EXPECT_EQ(created["request_id"], "an-id");
  EXPECT_EQ(created["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_THAT(created["peer"].get<std::string>(), HasSubstr("127.0.0.1"));
  struct stat info = {};
  ASSERT_EQ(stat(audit.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  std::string written = server.Log() + Slurp(audit);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(DataDirectory()))
    if (entry.is_regular_file()) written += Slurp(entry.path());
  EXPECT_THAT(written, HasSubstr("submitter-token"));
  for (const auto& [role, token] : tokens_) EXPECT_THAT(written, Not(HasSubstr(token))) << role;
  EXPECT_THAT(written, Not(HasSubstr(guess)));
}

}  // namespace
}  // namespace tunesmith::server
