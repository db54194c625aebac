#pragma once

#include <map>
#include <string>

#include "absl/time/time.h"
#include "server/launch/sight.h"

namespace tunesmith::server {

// How long what a cluster's list says of a job stands beside what its run directory says. A run directory that tells of something new makes a list
// old that was read before; one that has said the same for a while does not.
class SightNews {
 public:
  explicit SightNews(absl::Duration poll_interval) : poll_interval_(poll_interval) {}

  // How old a list may be: read since the run directory says this, as far as this process has seen, which is first asked about now; at most the poll interval, at
  // least what Soon says. `name` is the job's at the cluster.
  absl::Duration ListAge(const std::string& name, const Sight& sight);

  // Of a list that is awaited to change in a moment. Read not much more often than twice a second, for all jobs together.
  absl::Duration Soon() const;

  void Forget(const std::string& name) { news_.erase(name); }

 private:
  struct News {
    std::string text;
    absl::Time first_seen;
  };

  const absl::Duration poll_interval_;
  std::map<std::string, News> news_;  // by job
};

}  // namespace tunesmith::server
