#include "server/event_hub.h"

namespace tunesmith::server {

bool EventHub::Add(const std::string& name, EventListener* listener) {
  std::lock_guard lock(mutex_);
  if (!closed_) listeners_[name].insert(listener);
  return !closed_;
}

void EventHub::Remove(const std::string& name, EventListener* listener) {
  std::lock_guard lock(mutex_);
  const auto entry = listeners_.find(name);
  if (entry == listeners_.end()) return;
  entry->second.erase(listener);
  if (entry->second.empty()) listeners_.erase(entry);
}

void EventHub::Notify(const std::string& name) {
  std::lock_guard lock(mutex_);
  const auto entry = listeners_.find(name);
  if (entry == listeners_.end()) return;
  for (EventListener* listener : entry->second) listener->OnJobChanged();
}

void EventHub::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  for (const auto& [name, listeners] : listeners_) {
    for (EventListener* listener : listeners) listener->OnHubClosed();
  }
}

}  // namespace tunesmith::server
