#include "tests/benchmarks/soak/soak_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/run_directory.h"
#include "server/security/token.h"
#include "tests/server/certificates.h"

namespace tunesmith::server {
namespace {

namespace fs = std::filesystem;

constexpr char kLoopback[] = "127.0.0.1:";

}  // namespace

SoakServer::SoakServer(std::vector<std::string> flags) : flags_(std::move(flags)) {
  Install("server", "server");
  token_ = NewToken().value();
  const std::string access = scratch_.path() + "/access";
  std::ofstream(access) << "token soak admin " << HashText(HashToken(token_)) << "\n";
  chmod(access.c_str(), 0600);
  Start(std::string(kLoopback) + "0");
  port_ = server_->port();
}

std::string SoakServer::DatabasePath() const {
  return convert::InDirectory(DataDirectory(), convert::kDatabaseFile);
}

std::shared_ptr<grpc::ChannelCredentials> SoakServer::Credentials() const {
  return grpc::CompositeChannelCredentials(
      grpc::SslCredentials({.pem_root_certs = Slurp(Certificate("ca.crt")),
                            .pem_private_key = {},
                            .pem_cert_chain = {}}),
      grpc::AccessTokenCredentials(token_));
}

std::shared_ptr<grpc::Channel> SoakServer::NewChannel() const {
  static std::atomic<int> number{1000};
  grpc::ChannelArguments arguments;
  arguments.SetInt("channel_number", ++number);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  return grpc::CreateCustomChannel(kLoopback + std::to_string(port_), Credentials(), arguments);
}

void SoakServer::Start(const std::string& listen) {
  const std::string& path = scratch_.path();
  std::vector<std::string> flags = {"--access-log",       "none",
                                    "--tls-cert",         path + "/server.crt",
                                    "--tls-key",          path + "/server.key",
                                    "--access-file",      path + "/access",
                                    "--audit-log",        path + "/audit.jsonl",
                                    "--http-listen",      std::string(kLoopback) + "0",
                                    "--profiler",         FakeProfilerPath(),
                                    "--answer-cache-mib", "4"};  // full in a minute
  flags.insert(flags.end(), flags_.begin(), flags_.end());
  server_ = std::make_unique<ServerProcess>(
      DataDirectory(),
      std::map<std::string, std::string>{{"FAKE_STEP_MILLISECONDS", "10"},
                                         {"FAKE_PROBE_MILLISECONDS", "50"}},
      flags, listen, Credentials());
}

void SoakServer::Kill() {
  std::lock_guard lock(files_mutex_);
  ++change_count_;
  server_->Kill();
  Start(kLoopback + std::to_string(port_));
  ++change_count_;
}

void SoakServer::Install(const std::string& certificate, const std::string& key) const {
  const auto put = [&](const std::string& from, const std::string& name) {
    const std::string path = scratch_.path() + "/" + name;
    fs::copy_file(Certificate(from), path + ".new", fs::copy_options::overwrite_existing);
    fs::rename(path + ".new", path);
  };
  put(certificate + ".crt", "server.crt");
  put(key + ".key", "server.key");
}

void SoakServer::RenewCertificate(absl::Duration while_broken) {
  std::lock_guard lock(files_mutex_);
  is_renewed_ = !is_renewed_;
  const std::string name = is_renewed_ ? "server-renewed" : "server";
  Install(name, "alice");
  absl::SleepFor(while_broken);
  Install(name, name);
}

}  // namespace tunesmith::server
