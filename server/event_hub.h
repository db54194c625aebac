#pragma once

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

// Thread-safe. Listeners are called with the hub's lock held: they must not call the hub, and may
// not end while called.
class EventHub {
 public:
  // False when the hub is closed; the listener is then not added.
  bool Add(const std::string& name, EventListener* listener);
  void Remove(const std::string& name, EventListener* listener);

  void Notify(const std::string& name);

  // Tells every listener once; later Adds are refused.
  void Close();

 private:
  std::mutex mutex_;
  std::map<std::string, std::set<EventListener*>> listeners_;
  bool closed_ = false;
};

}  // namespace tunesmith::server
