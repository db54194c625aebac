#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "server/sqlite.h"

namespace tunesmith::server {

// Looks through a whole database for damage, on a thread and a connection of its own, while others
// use it. Thread-safe.
class DatabaseCheck {
 public:
  ~DatabaseCheck() { Stop(); }

  // Once. `done` is called from the thread with OK, DATA_LOSS saying what was found, CANCELLED by
  // Stop, or why the database could not be read.
  void Start(const std::string& path, std::function<void(const absl::Status&)> done);

  // Breaks the check off, if it is not done.
  void Stop();

  // What was found; empty: nothing, or not yet.
  std::string problem() const;

 private:
  std::unique_ptr<Database> database_;
  std::thread thread_;
  mutable std::mutex mutex_;
  std::string problem_;
};

}  // namespace tunesmith::server
