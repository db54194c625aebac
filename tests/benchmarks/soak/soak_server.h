#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/server/server_process.h"

namespace tunesmith::server {

// A server with TLS and a token, which is killed and comes back at its port. Start, Kill and process are for one thread; all else is thread-safe.
class SoakServer {
 public:
  // `flags` say where jobs run.
  explicit SoakServer(std::vector<std::string> flags);

  void Kill();  // by SIGKILL; it serves again when this returns
  ServerProcess& process() { return *server_; }
  std::string DataDirectory() const { return scratch_.path() + "/data"; }
  std::string DatabasePath() const;
  const ScratchDirectory& scratch() const { return scratch_; }

  // A connection of its own, which is made when it is first used and again when the server comes back.
  std::shared_ptr<grpc::Channel> NewChannel() const;
  int port() const { return port_; }

  // Changes when the server is killed, and when it is back. A call that fails is the server's fault where this has not changed meanwhile.
  int64_t change_count() const { return change_count_; }

  // Puts another good certificate in the place of the server's; for a while, at first, with a key that is not its own.
  void RenewCertificate(absl::Duration while_broken);

 private:
  void Start(const std::string& listen);
  void Install(const std::string& certificate, const std::string& key) const;
  std::shared_ptr<grpc::ChannelCredentials> Credentials() const;

  ScratchDirectory scratch_;
  const std::vector<std::string> flags_;
  std::string token_;
  int port_ = 0;
  std::mutex
      files_mutex_;  // held while a server starts, and while the certificate's files are changed
  bool is_renewed_ = false;
  std::atomic<int64_t> change_count_{0};
  std::unique_ptr<ServerProcess> server_;
};

}  // namespace tunesmith::server
