#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"
#include "google/protobuf/descriptor.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "nlohmann/json.hpp"
#include "proto/convert/run_directory.h"
#include "server/security/connections.h"
#include "server/security/roles.h"
#include "server/security/token.h"
#include "tests/server/process_use.h"
#include "tests/server/server_process.h"

// Attacks on the server as users have it: what must be refused is tried, over the wire and by its files.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Code = grpc::StatusCode;

// Every method that a server of ours has, "/tunesmith.v1.JobService/GetJob".
std::vector<std::string> AllMethods() {
  std::vector<std::string> methods;
  for (const auto& entry : std::filesystem::directory_iterator(PROTO_DIR)) {
    const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
        "tunesmith/v1/" + entry.path().filename().string());
    for (int s = 0; file != nullptr && s < file->service_count(); ++s)
      for (int m = 0; m < file->service(s)->method_count(); ++m)
        methods.push_back("/" + file->service(s)->full_name() + "/" +
                          file->service(s)->method(m)->name());
  }
  return methods;
}

using Headers = std::vector<std::pair<std::string, std::string>>;

Headers Bearer(const std::string& token) { return {{"authorization", "Bearer " + token}}; }

// A call of any method, with a body of so many bytes that no message has.
grpc::Status CallAny(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                     const Headers& headers = {}, size_t body_bytes = 0) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  for (const auto& [key, value] : headers) context.AddMetadata(key, value);
  const grpc::Slice slice(std::string(body_bytes, '\n'));
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
  call->StartCall();
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return status;
}

bool IsHealthy(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = grpc::health::v1::Health::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  grpc::health::v1::HealthCheckResponse response;
  return stub->Check(&context, {}, &response).ok() &&
         response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

std::vector<nlohmann::json> Lines(const std::string& path) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

constexpr char kReaderMethod[] = "/tunesmith.v1.RecommenderService/ListModels";
constexpr char kAdminMethod[] = "/tunesmith.v1.RecommenderService/CreateModel";

class SecurityTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    certificates_ = new ScratchDirectory;
    const ProcessResult made = RunProcess({CERTIFICATES_SCRIPT, certificates_->path()});
    ASSERT_EQ(made.status, 0) << made.errors;
  }
  static void TearDownTestSuite() {
    delete certificates_;
    certificates_ = nullptr;
  }

  std::string DataDirectory() const { return scratch_.path() + "/data"; }
  static std::string Cert(const std::string& name) { return certificates_->path() + "/" + name; }

  // The access file, with a token of each role and a certificate.
  std::string AccessFile() {
    const std::string path = scratch_.path() + "/access";
    std::string text = "certificate alice submitter\ncertificate bob submitter\n";
    for (const char* role : {"reader", "submitter", "admin"}) {
      tokens_[role] = NewToken().value();
      text += std::string("token ") + role + "-token " + role + " " +
              HashText(HashToken(tokens_[role])) + "\n";
    }
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
    return path;
  }

  static std::vector<std::string> Tls(const std::string& server = "server") {
    return {"--tls-cert", Cert(server + ".crt"), "--tls-key", Cert(server + ".key")};
  }
  static std::shared_ptr<grpc::ChannelCredentials> TlsClient(const std::string& client = "",
                                                             const std::string& authority = "ca") {
    grpc::SslCredentialsOptions options{.pem_root_certs = Slurp(Cert(authority + ".crt")),
                                        .pem_private_key = {},
                                        .pem_cert_chain = {}};
    if (!client.empty()) options.pem_private_key = Slurp(Cert(client + ".key"));
    if (!client.empty()) options.pem_cert_chain = Slurp(Cert(client + ".crt"));
    return grpc::SslCredentials(options);
  }
  static std::shared_ptr<grpc::Channel> NewChannel(
      const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    static int number = 100;  // each has a connection of its own, made anew
    grpc::ChannelArguments arguments;
    arguments.SetInt("channel_number", ++number);
    return grpc::CreateCustomChannel(address, credentials, arguments);
  }
  // The first call of gRPC 1.51 may fail by itself, see Connect: two tries.
  static grpc::Status FirstCall(const std::string& address,
                                const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                                const Headers& headers = {}) {
    grpc::Status status;
    for (int tries = 0; tries < 2; ++tries) {
      status = CallAny(NewChannel(address, credentials), kReaderMethod, headers);
      if (status.error_code() != Code::UNAVAILABLE) return status;
    }
    return status;
  }
  ProcessResult TryStart(std::vector<std::string> flags) const {
    std::vector<std::string> arguments = {BinaryPath("tunesmithd"), "--data-dir", DataDirectory()};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return RunProcess(arguments);
  }

  static ScratchDirectory* certificates_;
  ScratchDirectory scratch_;
  std::map<std::string, std::string> tokens_;  // by role
};

ScratchDirectory* SecurityTest::certificates_ = nullptr;

TEST_F(SecurityTest, EveryMethodAsksForItsRole) {
  ServerProcess server(DataDirectory(), {}, {"--access-file", AccessFile()});
  const auto channel = Connect(server.address());
  const std::map<std::string, Role> roles = {
      {"reader", Role::kReader}, {"submitter", Role::kSubmitter}, {"admin", Role::kAdmin}};
  ASSERT_GE(AllMethods().size(), 21u);
  for (const std::string& method : AllMethods()) {
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

TEST_F(SecurityTest, AServerThatNothingGuardsDoesNotStart) {
  const std::string access = AccessFile();
  const auto refused = [&](const std::vector<std::string>& flags, const std::string& words) {
    const ProcessResult result = TryStart(flags);
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
  refused({"--tls-cert", Cert("server.crt"), "--tls-key", Cert("alice.key")},
          "is not the key of the certificate");
  refused({"--tls-cert", Cert("server.crt")}, "give both");
  refused(with(Tls(), {"--tls-client-ca", Cert("server.key")}), "holds no certificate");
  refused({"--listen", "127.0.0.1:0", "--model-root", scratch_.path() + "/none"}, "--model-root");
  chmod(access.c_str(), 0644);
  refused({"--listen", "127.0.0.1:0", "--access-file", access}, "run: chmod 600 " + access);
  EXPECT_FALSE(std::filesystem::exists(DataDirectory())) << "what is refused touches nothing";
}

TEST_F(SecurityTest, TlsLetsInWhoHasATokenOrACertificate) {
  std::vector<std::string> flags = Tls();
  flags.insert(flags.end(), {"--access-file", AccessFile(), "--tls-client-ca", Cert("ca.crt"),
                             "--tls-crl-dir", Cert("crl")});
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
  flags.insert(flags.end(), {"--access-file", access, "--tls-client-ca", Cert("ca.crt")});
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
  flags.insert(flags.end(), {"--tls-client-ca", Cert("ca.crt")});
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
  flags.insert(flags.end(),
               {"--tls-client-ca", Cert("ca.crt"), "--tls-crl-dir", Cert("crl-stale")});
  ServerProcess server(DataDirectory(), {}, flags, "127.0.0.1:0", nullptr);
  EXPECT_EQ(FirstCall(server.address(), TlsClient("alice")).error_code(), Code::UNAVAILABLE);
}

TEST_F(SecurityTest, CertificatesAndRevocationsAreTakenUpWhileTheServerRuns) {
  const std::string live = scratch_.path() + "/live";
  std::filesystem::create_directories(live + "/crl");
  const auto install = [&](const std::string& from) {
    for (const char* end : {".key", ".crt"}) {
      std::filesystem::copy_file(Cert(from + end), live + "/new",
                                 std::filesystem::copy_options::overwrite_existing);
      std::filesystem::rename(live + "/new", live + "/server" + end);
    }
  };
  install("server");
  std::string list_name;
  for (const auto& entry : std::filesystem::directory_iterator(Cert("crl")))
    list_name = entry.path().stem().string();
  std::filesystem::copy_file(Cert("before.pem"), live + "/crl/" + list_name + ".r0");
  ServerProcess server(DataDirectory(), {},
                       {"--tls-cert", live + "/server.crt", "--tls-key", live + "/server.key",
                        "--tls-client-ca", Cert("ca.crt"), "--tls-crl-dir", live + "/crl"},
                       "127.0.0.1:0", TlsClient("bob"));
  EXPECT_EQ(FirstCall(server.address(), TlsClient("bob")).error_code(), Code::OK);
  std::filesystem::copy_file(Cert("revoked.pem"), live + "/crl/" + list_name + ".r1");
  EXPECT_EQ(FirstCall(server.address(), TlsClient("bob")).error_code(), Code::UNAVAILABLE)
      << "revoked by a list that came later";
  EXPECT_EQ(FirstCall(server.address(), TlsClient("alice")).error_code(), Code::OK);
  install("server-other");
  absl::SleepFor(absl::Seconds(3));
  EXPECT_EQ(FirstCall(server.address(), TlsClient("alice", "other-ca")).error_code(), Code::OK)
      << "the new certificate is of the other authority";
  EXPECT_EQ(FirstCall(server.address(), TlsClient("alice", "ca")).error_code(), Code::UNAVAILABLE);
  std::ofstream(live + "/server.crt") << "not a certificate\n";
  absl::SleepFor(absl::Seconds(3));
  EXPECT_EQ(FirstCall(server.address(), TlsClient("alice", "other-ca")).error_code(), Code::OK)
      << "a broken file leaves the one before";
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

TEST_F(SecurityTest, PathsOfJobsStayBelowTheRoots) {
  for (const char* directory : {"data-root", "out-root", "secret"})
    std::filesystem::create_directories(scratch_.path() + "/" + directory);
  scratch_.File("secret/train.jsonl", "{\"text\":\"secret\"}\n");
  v1::CreateJobRequest good = TestJob(scratch_, 2);
  std::filesystem::rename(good.spec().dataset_path(), scratch_.path() + "/data-root/train.jsonl");
  good.mutable_spec()->set_dataset_path(scratch_.path() + "/data-root/train.jsonl");
  ServerProcess server(
      DataDirectory(), {},
      {"--model-root", scratch_.path(), "--data-root", scratch_.path() + "/data-root",
       "--output-root", scratch_.path() + "/out-root"});
  const auto create = [&](const v1::CreateJobRequest& request, v1::CreateJobResponse* response) {
    grpc::ClientContext context;
    return server.jobs().CreateJob(&context, request, response);
  };
  v1::CreateJobResponse response;
  ASSERT_TRUE(create(good, &response).ok());
  EXPECT_EQ(server.WaitFor(response.job().name()).state(), v1::JOB_STATE_SUCCEEDED);
  std::filesystem::create_symlink(scratch_.path() + "/secret/train.jsonl",
                                  scratch_.path() + "/data-root/link.jsonl");
  std::filesystem::create_directory_symlink(scratch_.path() + "/secret",
                                            scratch_.path() + "/out-root/link");
  const auto refused = [&](const auto& change) {
    v1::CreateJobRequest request = good;
    change(*request.mutable_spec());
    const grpc::Status status = create(request, &response);
    EXPECT_EQ(status.error_code(), Code::INVALID_ARGUMENT) << request.spec().ShortDebugString();
    EXPECT_THAT(status.error_message(), HasSubstr("-root"));
  };
  refused([&](v1::JobSpec& spec) {
    spec.set_dataset_path(scratch_.path() + "/data-root/../secret/train.jsonl");
  });
  refused(
      [&](v1::JobSpec& spec) { spec.set_dataset_path(scratch_.path() + "/data-root/link.jsonl"); });
  refused([&](v1::JobSpec& spec) {
    spec.set_evaluation_path(scratch_.path() + "/secret/train.jsonl");
  });
  refused([&](v1::JobSpec& spec) { spec.set_chat_template_path("/etc/passwd"); });
  refused([&](v1::JobSpec& spec) { spec.set_model_path("/"); });
  refused([&](v1::JobSpec& spec) { spec.set_output_dir(scratch_.path() + "/out-root/link/here"); });
  refused([&](v1::JobSpec& spec) {
    spec.set_output_dir(scratch_.path() + "/out-root/new/../../secret");
  });
}

TEST_F(SecurityTest, ACalibrationReadsNoModelOutsideTheRoots) {
  ServerProcess server(DataDirectory(), {}, {"--model-root", scratch_.path()});
  const auto calibrations = v1::CalibrationService::NewStub(Connect(server.address()));
  for (const char* model : {"/etc", "/nothing/here"}) {
    v1::StartCalibrationRequest request;
    request.mutable_spec()->set_model_name(model);
    v1::StartCalibrationResponse response;
    grpc::ClientContext context;
    const grpc::Status status = calibrations->StartCalibration(&context, request, &response);
    EXPECT_EQ(status.error_code(), Code::INVALID_ARGUMENT) << model;
    EXPECT_THAT(status.error_message(), HasSubstr("--model-root"))
        << "whether it exists is not told";
  }
}

TEST_F(SecurityTest, ALinkThatIsPutInPlaceWhileAJobWaitsKeepsItFromStarting) {
  const std::string root = scratch_.path() + "/root";
  std::filesystem::create_directories(root + "/d");
  std::filesystem::create_directories(scratch_.path() + "/secret");
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "50"}},
                       {"--model-root", scratch_.path(), "--data-root", root});
  v1::CreateJobRequest request = TestJob(scratch_, 40);
  scratch_.File("secret/train.jsonl", "{\"text\":\"secret\"}\n");
  std::filesystem::rename(request.spec().dataset_path(), root + "/d/train.jsonl");
  request.mutable_spec()->set_dataset_path(root + "/d/train.jsonl");
  v1::CreateJobResponse first;
  v1::CreateJobResponse second;
  grpc::ClientContext contexts[2];
  ASSERT_TRUE(server.jobs().CreateJob(&contexts[0], request, &first).ok());
  ASSERT_TRUE(server.jobs().CreateJob(&contexts[1], request, &second).ok());
  server.WaitFor(first.job().name(), v1::JOB_STATE_RUNNING);
  std::filesystem::rename(root + "/d", root + "/moved");
  std::filesystem::create_directory_symlink(scratch_.path() + "/secret", root + "/d");
  const v1::Job job = server.WaitFor(second.job().name());
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.cause(), v1::END_CAUSE_NOT_STARTED);
  EXPECT_THAT(job.reason(), HasSubstr("--data-root"));
}

TEST_F(SecurityTest, TooLargeTooOftenAndTooManyAreRefused) {
  const std::string audit = scratch_.path() + "/audit.jsonl";
  ServerProcess server(DataDirectory(), {},
                       {"--access-file", AccessFile(), "--max-calls-per-second", "5",
                        "--max-calls-at-once", "3", "--audit-log", audit});
  const auto channel = Connect(server.address());
  const Headers reader = Bearer(tokens_["reader"]);
  EXPECT_EQ(CallAny(channel, kReaderMethod, Bearer(tokens_["submitter"]), 5 << 20).error_code(),
            Code::RESOURCE_EXHAUSTED);
  EXPECT_EQ(CallAny(channel, kReaderMethod, {}, 5 << 20).error_code(), Code::UNAUTHENTICATED)
      << "nothing of nobody is read";
  int refused_count = 0;
  for (int i = 0; i < 60; ++i)
    refused_count += CallAny(channel, kReaderMethod, reader).ok() ? 0 : 1;
  EXPECT_EQ(CallAny(channel, kReaderMethod, Bearer(tokens_["admin"])).error_code(), Code::OK)
      << "another caller is not held up";
  EXPECT_GT(refused_count, 0);
  EXPECT_LE(refused_count, 30) << "a burst of six seconds' worth is let in";
  EXPECT_TRUE(IsHealthy(channel));
  int64_t audited_count = 0;
  int64_t left_out_count = 0;
  for (const nlohmann::json& line : Lines(audit)) {
    if (line["code"] != "RESOURCE_EXHAUSTED" || line["caller"] != "reader-token") continue;
    ++audited_count;
    left_out_count += line.value("left_out_count", 0);
  }
  EXPECT_GE(audited_count, std::min(refused_count, 10));
  EXPECT_LE(audited_count + left_out_count, refused_count);
}

TEST_F(SecurityTest, StreamsCountAsCallsInProgress) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "50"}},
                       {"--max-calls-at-once", "3"});
  grpc::ClientContext create;
  v1::CreateJobResponse created;
  ASSERT_TRUE(server.jobs().CreateJob(&create, TestJob(scratch_, 1000), &created).ok());
  v1::WatchJobRequest request;
  request.set_name(created.job().name());
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::WatchJobResponse>>> readers;
  v1::WatchJobResponse update;
  for (int i = 0; i < 3; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    readers.push_back(server.jobs().WatchJob(contexts.back().get(), request));
    ASSERT_TRUE(readers.back()->Read(&update));
  }
  const auto channel = Connect(server.address());
  const grpc::Status status = CallAny(channel, kReaderMethod);
  EXPECT_EQ(status.error_code(), Code::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("--max-calls-at-once"));
  contexts[0]->TryCancel();
  while (readers[0]->Read(&update)) {
  }
  (void)readers[0]->Finish();
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_TRUE(CallAny(channel, kReaderMethod).ok()) << "a stream that ended counts no more";
  for (int i = 1; i < 3; ++i) contexts[static_cast<size_t>(i)]->TryCancel();
  for (int i = 1; i < 3; ++i) (void)readers[static_cast<size_t>(i)]->Finish();
}

class RawConnections {
 public:
  RawConnections(int port, int count) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; ++i) {
      const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      if (descriptor < 0) break;
      (void)connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
      descriptors_.push_back(descriptor);
    }
  }
  ~RawConnections() {
    for (const int descriptor : descriptors_) close(descriptor);
  }
  size_t count() const { return descriptors_.size(); }

 private:
  std::vector<int> descriptors_;
};

TEST_F(SecurityTest, AFloodOfConnectionsThatSayNothingIsOutlived) {
  std::vector<std::string> flags = Tls();
  flags.insert(flags.end(), {"--access-file", AccessFile(), "--max-connections", "100"});
  ServerProcess server(DataDirectory(), {}, flags, "127.0.0.1:0", TlsClient());
  RaiseOpenFileLimit();
  const RawConnections flood(server.port(), 10000);
  ASSERT_EQ(flood.count(), 10000u) << "as many files may this process open";
  absl::SleepFor(absl::Milliseconds(500));
  EXPECT_EQ(FirstCall(server.address(), TlsClient(), Bearer(tokens_["reader"])).error_code(),
            Code::UNAVAILABLE);
  const absl::Time start = absl::Now();
  grpc::Status status;
  do {
    absl::SleepFor(absl::Milliseconds(500));
    status = FirstCall(server.address(), TlsClient(), Bearer(tokens_["reader"]));
  } while (!status.ok() && absl::Now() - start < absl::Seconds(30));
  EXPECT_TRUE(status.ok()) << "who says nothing for ten seconds loses the place; "
                           << status.error_message();
}

TEST_F(SecurityTest, ReadersThatDoNotReadTakeLittleMemoryAndHoldNobodyUp) {
  ServerProcess server(DataDirectory());
  grpc::ClientContext create;
  v1::CreateJobResponse created;
  ASSERT_TRUE(server.jobs().CreateJob(&create, TestJob(scratch_, 1), &created).ok());
  const v1::Job job = server.WaitFor(created.job().name());
  std::ofstream(convert::InDirectory(job.run_directory(), convert::kTrainerLogFile))
      << std::string(size_t{64} << 20, 'x');
  const int64_t before = UseOf(server.pid()).resident_bytes;
  v1::StreamLogsRequest request;
  request.set_name(job.name());
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::StreamLogsResponse>>> readers;
  v1::StreamLogsResponse chunk;
  for (int i = 0; i < 50; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    readers.push_back(server.jobs().StreamLogs(contexts.back().get(), request));
    ASSERT_TRUE(readers.back()->Read(&chunk));
  }
  absl::SleepFor(absl::Seconds(1));
  EXPECT_LT(UseOf(server.pid()).resident_bytes - before, int64_t{50} << 20)
      << "of 3200 MiB that were asked for";
  EXPECT_TRUE(CallAny(Connect(server.address(), 7), kReaderMethod).ok());
  for (const auto& context : contexts) context->TryCancel();
  for (const auto& reader : readers) (void)reader->Finish();
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
  absl::SleepFor(absl::Milliseconds(100));
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
