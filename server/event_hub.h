#pragma once

#include <array>
#include <map>
#include <mutex>
#include <set>
#include <string>

// Who wants to know when a job changes.
namespace tunesmith::server {

class EventListener {
 public:
  virtual ~EventListener() = default;
  virtual void OnJobChanged() = 0;
  virtual void OnHubClosed() = 0;  // nothing will be told any more
};

// Thread-safe. Listeners are called with the lock of their job's part of the hub held: they must
// not call the hub, and may not end while called.
class EventHub {
 public:
  // False when the hub is closed; the listener is then not added.
  bool Add(const std::string& name, EventListener* listener);
  void Remove(const std::string& name, EventListener* listener);

  void Notify(const std::string& name);

  // Tells every listener once; later Adds are refused.
  void Close();

 private:
  // Jobs are spread over parts, so that one job's many watchers do not hold up another's.
  struct Part {
    std::mutex mutex;
    std::map<std::string, std::set<EventListener*>> listeners;
    bool closed = false;
  };
  Part& PartOf(const std::string& name) {
    return parts_[std::hash<std::string>()(name) % parts_.size()];
  }

  std::array<Part, 16> parts_;
};

}  // namespace tunesmith::server
