#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>

#include "tests/client/command.h"
#include "tests/server/certificates.h"

// What people see who are not let in: exit status 4 and words that name the cure.
namespace tunesmith::client {
namespace {

using server::BinaryPath;
using server::Certificate;
using server::ProcessResult;
using server::RunProcess;
using server::ScratchDirectory;
using server::ServerProcess;
using server::Slurp;
using ::testing::HasSubstr;
using ::testing::Not;

class CredentialsTest : public ::testing::Test {
 protected:
  // A file with a new token of that role, as an administrator makes it.
  std::string TokenFile(const std::string& role) {
    const ProcessResult made = RunProcess({BinaryPath("tunesmithd"), "--access-file", Access(),
                                           "--add-token", role + "-person", "--role", role});
    EXPECT_EQ(made.status, 0) << made.errors;
    const std::string path = scratch_.File(role + ".token", made.output);
    chmod(path.c_str(), 0600);
    return path;
  }
  std::string Access() const { return scratch_.path() + "/access"; }

  static ProcessResult Ask(const std::string& server, std::vector<std::string> flags,
                           const std::map<std::string, std::string>& environment = {}) {
    std::vector<std::string> arguments = {"--server", server, "--timeout", "10"};
    if (std::find(flags.begin(), flags.end(), "jobs") == flags.end()) flags.push_back("gpus");
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return Tunesmith(std::move(arguments), environment);
  }
  static void ExpectRefused(const ProcessResult& result, const std::string& words) {
    EXPECT_EQ(result.status, 4) << result.errors;
    EXPECT_THAT(result.errors, HasSubstr(words));
  }

  ScratchDirectory scratch_;
};

std::shared_ptr<grpc::ChannelCredentials> Trusting(const std::string& authority_path) {
  return grpc::SslCredentials(
      {.pem_root_certs = Slurp(authority_path), .pem_private_key = {}, .pem_cert_chain = {}});
}

TEST_F(CredentialsTest, ATokenLetsInAndItsAbsenceOrRoleDoesNot) {
  const std::string reader = TokenFile("reader");
  ServerProcess server(scratch_.path() + "/data", {}, {"--access-file", Access()});
  EXPECT_EQ(Ask(server.address(), {"--token-file", reader}).status, 0);
  EXPECT_EQ(Ask(server.address(), {}, {{"TUNESMITH_TOKEN_FILE", reader}}).status, 0);
  ExpectRefused(Ask(server.address(), {}), "--token-file");
  ExpectRefused(Ask(server.address(), {"--token-file", scratch_.File("wrong", "tunesmith_wrong")}),
                "run: chmod 600");
  const std::string wrong = scratch_.path() + "/wrong";
  chmod(wrong.c_str(), 0600);
  const ProcessResult refused = Ask(server.address(), {"--token-file", wrong});
  ExpectRefused(refused, "not one that this server knows");
  EXPECT_THAT(refused.errors, Not(HasSubstr("tunesmith_wrong")));
  ExpectRefused(Ask(server.address(), {"--token-file", reader, "jobs", "cancel", "job-1"}),
                "needs the role submitter");
  EXPECT_EQ(
      Ask(server.address(), {"--token-file", TokenFile("submitter"), "jobs", "cancel", "job-1"})
          .status,
      7)
      << "a new token is known at once";
}

TEST_F(CredentialsTest, ATokenDoesNotCrossTheNetworkInTheClear) {
  const std::string reader = TokenFile("reader");
  for (const char* server : {"server.example:1", "127.0.0.1.server.example:1"})
    ExpectRefused(Ask(server, {"--token-file", reader}), "in the clear; give --tls-ca");
}

TEST_F(CredentialsTest, WhatIsWrongWithCertificatesIsToldByItsName) {
  const std::string reader = TokenFile("reader");
  ServerProcess server(scratch_.path() + "/data", {},
                       {"--access-file", Access(), "--tls-cert", Certificate("server.crt"),
                        "--tls-key", Certificate("server.key"), "--tls-client-ca",
                        Certificate("ca.crt"), "--tls-crl-dir", Certificate("crl")},
                       "127.0.0.1:0", Trusting(Certificate("ca.crt")));
  const auto ask = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--token-file", reader});
    return Ask(server.address(), flags);
  };
  EXPECT_EQ(ask({"--tls-ca", Certificate("ca.crt")}).status, 0);
  ExpectRefused(ask({"--tls-ca", Certificate("other-ca.crt")}),
                "of another authority than --tls-ca");
  const auto shows = [&](const std::string& name) {
    return ask({"--tls-ca", Certificate("ca.crt"), "--tls-cert", Certificate(name + ".crt"),
                "--tls-key", Certificate(name + ".key")});
  };
  EXPECT_EQ(shows("alice").status, 0);
  ExpectRefused(shows("alice-expired"), "expired at 2020-01-02");
  ExpectRefused(shows("alice-other"), "hangs up when it sees this client's certificate");
  ExpectRefused(shows("bob"), "hangs up when it sees this client's certificate");
  const ProcessResult plain = ask({});
  EXPECT_EQ(plain.status, 1) << plain.errors;
  EXPECT_THAT(plain.errors, HasSubstr("speaks TLS; give --tls-ca"));
}

TEST_F(CredentialsTest, ACertificateThatIsWrongForTheServerIsRefused) {
  const auto with = [](const std::string& name) {
    return std::vector<std::string>{"--tls-cert", Certificate(name + ".crt"), "--tls-key",
                                    Certificate(name + ".key")};
  };
  {
    ServerProcess server(scratch_.path() + "/data", {}, with("server-other"), "127.0.0.1:0",
                         Trusting(Certificate("other-ca.crt")));
    ExpectRefused(Ask(server.address(), {"--tls-ca", Certificate("ca.crt")}),
                  "of another authority");
  }
  ServerProcess plain(scratch_.path() + "/plain");
  const ProcessResult result = Ask(plain.address(), {"--tls-ca", Certificate("ca.crt")});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.errors, HasSubstr("does not speak TLS; leave --tls-ca out"));
}

TEST_F(CredentialsTest, AClientWithoutACertificateIsToldThatTheServerWantsOne) {
  const grpc::SslCredentialsOptions alice = {.pem_root_certs = Slurp(Certificate("ca.crt")),
                                             .pem_private_key = Slurp(Certificate("alice.key")),
                                             .pem_cert_chain = Slurp(Certificate("alice.crt"))};
  ServerProcess server(scratch_.path() + "/data", {},
                       {"--tls-cert", Certificate("server.crt"), "--tls-key",
                        Certificate("server.key"), "--tls-client-ca", Certificate("ca.crt")},
                       "127.0.0.1:0", grpc::SslCredentials(alice));
  ExpectRefused(Ask(server.address(), {"--tls-ca", Certificate("ca.crt")}),
                "hangs up on a client without a certificate");
}

TEST_F(CredentialsTest, TheTraceOfTheCallerIsHandedOn) {
  ServerProcess server(scratch_.path() + "/data");
  const std::string id = "4bf92f3577b34da6a3ce929d0e0e4736";
  EXPECT_EQ(
      Ask(server.address(), {}, {{"TRACEPARENT", "00-" + id + "-00f067aa0ba902b7-01"}}).status, 0);
  EXPECT_EQ(Ask(server.address(), {}, {{"TRACEPARENT", "a\nb"}}).status, 0);
  EXPECT_THAT(server.Log(), HasSubstr("\"trace_id\":\"" + id + "\""));
}

TEST_F(CredentialsTest, ASocketIsAnAddress) {
  const std::string socket = "unix:" + scratch_.path() + "/socket";
  ServerProcess server(scratch_.path() + "/data", {}, {}, "127.0.0.1:0," + socket);
  EXPECT_EQ(Ask(socket, {}).status, 0);
}

}  // namespace
}  // namespace tunesmith::client
