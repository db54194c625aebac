#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "tests/server/server_process.h"

namespace tunesmith::server {

// A runner's socket, by systemd-socket-activate: as tunesmith-runner.socket and tunesmith-runner@.service have it, without systemd as the first process. Closed with the object; what it
// has started goes on.
class RunnerSocket {
 public:
  static std::string WhyAbsent();  // empty: it is there

  // Runners have the fake trainer, and only those of its variables that are set here.
  RunnerSocket();
  ~RunnerSocket() { Close(); }
  const std::string& path() const { return path_; }

  // A variable for runners from now on; "" takes it away.
  void Set(const std::string& name, const std::string& value);
  void Open();
  void Close();

 private:
  ScratchDirectory scratch_;
  std::string path_;
  std::map<std::string, std::string> environment_;
  pid_t pid_ = 0;
};

}  // namespace tunesmith::server
