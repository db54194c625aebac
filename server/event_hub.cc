#include "server/event_hub.h"

namespace tunesmith::server {

bool EventHub::Add(const std::string& name, EventListener* listener) {
  Part& part = PartOf(name);
  std::lock_guard lock(part.mutex);
  if (!part.closed) part.listeners[name].insert(listener);
  return !part.closed;
}

void EventHub::Remove(const std::string& name, EventListener* listener) {
  Part& part = PartOf(name);
  std::lock_guard lock(part.mutex);
  const auto entry = part.listeners.find(name);
  if (entry == part.listeners.end()) return;
  entry->second.erase(listener);
  if (entry->second.empty()) part.listeners.erase(entry);
}

void EventHub::Notify(const std::string& name) {
  Part& part = PartOf(name);
  std::lock_guard lock(part.mutex);
  const auto entry = part.listeners.find(name);
  if (entry == part.listeners.end()) return;
  for (EventListener* listener : entry->second) listener->OnJobChanged();
}

void EventHub::Close() {
  for (Part& part : parts_) {
    std::lock_guard lock(part.mutex);
    part.closed = true;
    for (const auto& [name, listeners] : part.listeners) {
      for (EventListener* listener : listeners) listener->OnHubClosed();
    }
  }
}

}  // namespace tunesmith::server
