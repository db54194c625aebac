#pragma once

#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "grpcpp/support/server_callback.h"
#include "server/event_hub.h"
#include "server/grpc_status.h"

namespace tunesmith::server {

// A stream of what is new of one job, as fast as the client takes it: one message is held at a time, and the next is looked for when it is written and whenever the job changes. What to send,
// and when the object goes, is for the class that derives.
template <typename Response>
class JobStream : public grpc::ServerWriteReactor<Response>, public EventListener {
 public:
  void OnJobChanged() final {
    std::lock_guard lock(mutex_);
    Continue();
  }

  void OnHubClosed() final {
    std::lock_guard lock(mutex_);
    End(ShuttingDown());
  }

  void OnWriteDone(bool ok) final {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) return End(absl::CancelledError("the stream is broken"));
    Continue();
  }

  void OnCancel() final {
    std::lock_guard lock(mutex_);
    End(absl::CancelledError("the client went away"));
  }

 protected:
  // `later`: what a client may do when the server is there again. The hub outlives the stream.
  JobStream(EventHub& hub, std::string name, std::string later)
      : hub_(hub), name_(std::move(name)), later_(std::move(later)) {}

  // Called last of all in a constructor.
  void Begin() {
    const bool added = hub_.Add(name_, this);
    std::lock_guard lock(mutex_);
    if (!added) return End(ShuttingDown());
    if (const absl::Status status = Start(); !status.ok()) return End(status);
    started_ = true;
    Continue();
  }

  // From here on the hub calls no more. The mutex must not be held.
  void LeaveHub() { hub_.Remove(name_, this); }

  // REQUIRES, here and below: mutex_ is held. Pumps, where that is due.
  void Continue() {
    if (!started_ || writing_ || ended_) return;
    if (const absl::Status status = Pump(); !status.ok()) End(status);
  }

  // Checks what was asked for, before all else; an error ends the stream.
  virtual absl::Status Start() = 0;
  // Writes the next message, or ends the stream, or does nothing where there is nothing new. An error ends the stream.
  virtual absl::Status Pump() = 0;

  void Write(Response message) {
    message_ = std::move(message);
    writing_ = true;
    this->StartWrite(&message_);
  }

  void End(const absl::Status& status) {
    if (ended_) return;
    ended_ = true;
    this->Finish(ToGrpcStatus(status));
  }

  const std::string& name() const { return name_; }

  std::mutex mutex_;

 private:
  absl::Status ShuttingDown() const {
    return absl::UnavailableError("the server is shutting down; the job goes on, " + later_);
  }

  EventHub& hub_;
  const std::string name_;
  const std::string later_;
  Response message_;  // being written when writing_
  bool started_ = false;
  bool writing_ = false;
  bool ended_ = false;
};

}  // namespace tunesmith::server
