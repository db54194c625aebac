#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"
#include "tests/common/eventually.h"
#include "tests/server/api_calls.h"
#include "tests/server/certificates.h"
#include "tests/server/security_fixture.h"

// Attacks on the server as users have it: who gets through TLS, and servers that would listen without it.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;
using Code = grpc::StatusCode;

TEST_F(SecurityTest, AServerThatNothingGuardsDoesNotStart) {
  const std::string access = AccessFile();
  const auto refused = [&](const std::vector<std::string>& flags, const std::string& words) {
    std::vector<std::string> arguments = {BinaryPath("tunesmithd"), "--data-dir", DataDirectory()};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const ProcessResult result = RunProcess(arguments);
    EXPECT_EQ(result.status, 1) << words;
    EXPECT_THAT(result.errors, HasSubstr(words));
  };
  const auto with = [](std::vector<std::string> flags, const std::vector<std::string>& more) {
    flags.insert(flags.end(), more.begin(), more.end());
    return flags;
  };
  refused({"--listen", "0.0.0.0:0"}, "refusing to listen on 0.0.0.0:0");
  refused(with(Tls(), {"--listen", "0.0.0.0:0"}), "--access-file");
  refused({"--listen", "127.0.0.1:0,0.0.0.0:0", "--access-file", access}, "--tls-cert");
  refused({"--listen", "0.0.0.0:0", "--insecure", "--access-file", access}, "in the clear");
  refused(Tls("server-expired"), "expired at 2020-01-02T00:00:00+00:00");
  refused({"--tls-cert", Certificate("server.crt"), "--tls-key", Certificate("alice.key")},
          "is not the key of the certificate");
  refused({"--tls-cert", Certificate("server.crt")}, "give both");
  refused(with(Tls(), {"--tls-client-ca", Certificate("server.key")}), "holds no certificate");
  refused({"--listen", "127.0.0.1:0", "--model-root", scratch_.path() + "/none"}, "--model-root");
  chmod(access.c_str(), 0644);
  refused({"--listen", "127.0.0.1:0", "--access-file", access}, "run: chmod 600 " + access);
  EXPECT_FALSE(std::filesystem::exists(DataDirectory())) << "what is refused touches nothing";
}

TEST_F(SecurityTest, TlsLetsInWhoHasATokenOrACertificate) {
  std::vector<std::string> flags = Tls();
  flags.insert(flags.end(), {"--access-file", AccessFile(), "--tls-client-ca",
                             Certificate("ca.crt"), "--tls-crl-dir", Certificate("crl")});
  ServerProcess server(DataDirectory(), {}, flags, "127.0.0.1:0", TlsClient());
  const auto code = [&](const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                        const Headers& headers = {}) {
    return FirstCall(server.address(), credentials, headers).error_code();
  };
  EXPECT_EQ(code(TlsClient(), Bearer(tokens_["reader"])), Code::OK);
  EXPECT_EQ(code(TlsClient("alice")), Code::OK);
  EXPECT_EQ(code(TlsClient()), Code::UNAUTHENTICATED);
  EXPECT_EQ(code(TlsClient("server")), Code::UNAUTHENTICATED)
      << "a good certificate of nobody in the access file";
  EXPECT_EQ(code(TlsClient("alice"), Bearer("guess")), Code::UNAUTHENTICATED)
      << "a wrong token beside a good certificate";
  for (const char* bad : {"alice-expired", "alice-other", "bob"})
    EXPECT_EQ(code(TlsClient(bad)), Code::UNAVAILABLE) << bad;
  EXPECT_EQ(code(TlsClient("", "other-ca"), Bearer(tokens_["reader"])), Code::UNAVAILABLE)
      << "a server that the client cannot trust";
  EXPECT_EQ(code(grpc::InsecureChannelCredentials(), Bearer(tokens_["admin"])), Code::UNAVAILABLE)
      << "no TLS, no word";
  EXPECT_EQ(CallAny(NewChannel(server.address(), TlsClient("alice")), kAdminMethod).error_code(),
            Code::PERMISSION_DENIED);
  EXPECT_TRUE(IsHealthy(NewChannel(server.address(), TlsClient())));
}

// Certificates alone, each with its role.
TEST_F(SecurityTest, RolesAreGivenToCertificatesByNameAndBySubject) {
  const std::string access = scratch_.path() + "/access";
  std::ofstream(access) << "subject CN=alice submitter\ncertificate bob.example reader\n";
  chmod(access.c_str(), 0600);
  std::vector<std::string> flags = Tls();
  flags.insert(flags.end(), {"--access-file", access, "--tls-client-ca", Certificate("ca.crt")});
  ServerProcess server(DataDirectory(), {}, flags, "127.0.0.1:0", TlsClient("alice"));
  EXPECT_TRUE(FirstCall(server.address(), TlsClient("alice")).ok());
  EXPECT_TRUE(FirstCall(server.address(), TlsClient("bob")).ok());
  const auto code = [&](const std::string& client, const std::string& method) {
    return CallAny(NewChannel(server.address(), TlsClient(client)), method).error_code();
  };
  constexpr char kCancel[] = "/tunesmith.v1.JobService/CancelJob";
  EXPECT_EQ(code("alice", kCancel), Code::INVALID_ARGUMENT) << "let in: it names no job";
  EXPECT_EQ(code("bob", kCancel), Code::PERMISSION_DENIED);
  EXPECT_EQ(code("alice", kAdminMethod), Code::PERMISSION_DENIED);
  EXPECT_EQ(code("server", kReaderMethod), Code::UNAUTHENTICATED) << "no line has it";
}

TEST_F(SecurityTest, WithoutAnAccessFileAClientNeedsACertificate) {
  std::vector<std::string> flags = Tls();
  flags.insert(flags.end(), {"--tls-client-ca", Certificate("ca.crt")});
  ServerProcess server(DataDirectory(), {}, flags, "127.0.0.1:0", TlsClient("alice"));
  EXPECT_EQ(FirstCall(server.address(), TlsClient("alice")).error_code(), Code::OK);
  EXPECT_EQ(FirstCall(server.address(), TlsClient()).error_code(), Code::UNAVAILABLE);
  EXPECT_THAT(server.Log(), HasSubstr("\"caller\":\"alice.example\""));
  std::istringstream log(server.Log());
  for (std::string line; std::getline(log, line);)
    EXPECT_FALSE(nlohmann::json::parse(line, nullptr, false).is_discarded())
        << line << ": what gRPC says of a failed handshake is JSON too";
}

TEST_F(SecurityTest, AListOfRevocationsThatIsTooOldLetsNobodyIn) {
  std::vector<std::string> flags = Tls();
  flags.insert(flags.end(), {"--tls-client-ca", Certificate("ca.crt"), "--tls-crl-dir",
                             Certificate("crl-stale")});
  ServerProcess server(DataDirectory(), {}, flags, "127.0.0.1:0", nullptr);
  EXPECT_EQ(FirstCall(server.address(), TlsClient("alice")).error_code(), Code::UNAVAILABLE);
}

TEST_F(SecurityTest, CertificatesAndRevocationsAreTakenUpWhileTheServerRuns) {
  const std::string live = scratch_.path() + "/live";
  std::filesystem::create_directories(live + "/crl");
  const auto install = [&](const std::string& from) {
    for (const char* end : {".key", ".crt"}) {
      std::filesystem::copy_file(Certificate(from + end), live + "/new",
                                 std::filesystem::copy_options::overwrite_existing);
      std::filesystem::rename(live + "/new", live + "/server" + end);
    }
  };
  install("server");
  std::string list_name;
  for (const auto& entry : std::filesystem::directory_iterator(Certificate("crl")))
    list_name = entry.path().stem().string();
  std::filesystem::copy_file(Certificate("before.pem"), live + "/crl/" + list_name + ".r0");
  ServerProcess server(DataDirectory(), {},
                       {"--tls-cert", live + "/server.crt", "--tls-key", live + "/server.key",
                        "--tls-client-ca", Certificate("ca.crt"), "--tls-crl-dir", live + "/crl"},
                       "127.0.0.1:0", TlsClient("bob"));
  EXPECT_EQ(FirstCall(server.address(), TlsClient("bob")).error_code(), Code::OK);
  std::filesystem::copy_file(Certificate("revoked.pem"), live + "/crl/" + list_name + ".r1");
  EXPECT_EQ(FirstCall(server.address(), TlsClient("bob")).error_code(), Code::UNAVAILABLE)
      << "revoked by a list that came later";
  EXPECT_EQ(FirstCall(server.address(), TlsClient("alice")).error_code(), Code::OK);
  install("server-other");
  EXPECT_TRUE(Eventually([&] {
    return FirstCall(server.address(), TlsClient("alice", "other-ca")).ok();
  })) << "the new certificate is of the other authority";
  EXPECT_EQ(FirstCall(server.address(), TlsClient("alice", "ca")).error_code(), Code::UNAVAILABLE);
  std::ofstream(live + "/server.crt") << "not a certificate\n";
  absl::SleepFor(absl::Seconds(3));
  EXPECT_EQ(FirstCall(server.address(), TlsClient("alice", "other-ca")).error_code(), Code::OK)
      << "a broken file leaves the one before";
}

}  // namespace
}  // namespace tunesmith::server
