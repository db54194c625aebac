#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/security/tls.h"

namespace tunesmith::server {

// Hands gRPC the server's TLS files only while they are good, and tries those that are not again every second: what they lack may come without a change of theirs, as
// their time or a file that could not be opened. gRPC would take a broken or half replaced pair from its files and then refuse every
// handshake; so it watches copies, which are in memory and are written when the files have changed and passed CheckTls.
class TlsWatch {
 public:
  // `log` takes a line when files were taken up, or could not be. Errors as CheckTls.
  static absl::StatusOr<std::unique_ptr<TlsWatch>> Start(
      const TlsOptions& options, std::function<void(const std::string& line)> log);
  ~TlsWatch();

  // The same options, of the copies: what is served.
  const TlsOptions& copies() const { return copies_; }

 private:
  // A file in memory, with a path for others in this process.
  struct Copy {
    std::string path;
    int descriptor = -1;
  };

  TlsWatch(TlsOptions options, std::function<void(const std::string& line)> log)
      : options_(std::move(options)), log_(std::move(log)) {}
  absl::Status AddCopy(const std::string& path, std::string& copy_path);
  absl::Status TakeUp();
  std::string Version() const;
  void Look();  // REQUIRES: mutex_ held
  void Loop();

  const TlsOptions options_;
  const std::function<void(const std::string& line)> log_;
  TlsOptions copies_;
  std::vector<Copy> files_;
  std::string version_;   // of the files that were looked at last
  absl::Status refusal_;  // why they were not taken up
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tunesmith::server
