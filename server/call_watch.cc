#include "server/call_watch.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"

namespace tunesmith::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using grpc::experimental::InterceptionHookPoints;

std::string TextField(const Message& message, const char* name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->is_repeated() ||
      field->cpp_type() != FieldDescriptor::CPPTYPE_STRING)
    return "";
  return message.GetReflection()->GetString(message, field);
}

// The name of what a message is about: its own, or that of the resource that it holds.
std::string ResourceOf(const Message& message) {
  if (std::string name = TextField(message, "name"); !name.empty()) return name;
  const google::protobuf::Descriptor& descriptor = *message.GetDescriptor();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    if (field.is_repeated() || field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE ||
        !message.GetReflection()->HasField(message, &field))
      continue;
    if (std::string name = TextField(message.GetReflection()->GetMessage(message, &field), "name");
        !name.empty())
      return name;
  }
  return "";
}

class CallWatch final : public grpc::experimental::Interceptor {
 public:
  CallWatch(grpc::experimental::ServerRpcInfo* info, Door& door, const CallSink& sink)
      : info_(info), door_(door), sink_(sink), start_(absl::Now()) {
    record_.method = info->method();
  }
  ~CallWatch() override { CountEnd(); }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA))
      Begin();
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_MESSAGE))
      ReadRequest(methods->GetRecvMessage());
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_MESSAGE))
      ReadResponse(methods->GetSendMessage());
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS))
      End(methods->GetSendStatus());
    methods->Proceed();
  }

 private:
  // Methods that change something are the ones whose messages are looked at: theirs are messages, where others' may be bytes.
  bool HasMessages() const { return RoleFor(record_.method) > Role::kReader; }

  void Begin() {
    const auto& context = *info_->server_context();
    record_.peer = context.peer();
    const auto traceparent = context.client_metadata().find("traceparent");
    if (traceparent != context.client_metadata().end())
      record_.trace_id = TraceId({traceparent->second.data(), traceparent->second.size()});
    if (RoleFor(record_.method) == Role::kOpen) return Count();
    const auto caller = door_.Identify(context.client_metadata(), context.auth_context().get(),
                                       record_.peer.starts_with("unix:"));
    if (!caller.ok()) return;  // their line was taken out just now
    record_.caller = caller->name;
    record_.known_by = caller->known_by;
    Count();
  }

  void Count() {
    counted_ = true;
    door_.counter().Began(Door::CountedAs(record_.method, record_.caller));
  }

  void ReadRequest(const void* message) {
    if (message == nullptr || !HasMessages()) return;
    const auto& request = *static_cast<const Message*>(message);
    record_.request_id = TextField(request, "request_id");
    record_.resource = ResourceOf(request);
  }

  void ReadResponse(const void* message) {
    if (message == nullptr || !HasMessages()) return;
    if (std::string name = ResourceOf(*static_cast<const Message*>(message)); !name.empty())
      record_.resource = std::move(name);
  }

  void CountEnd() {
    if (counted_) door_.counter().Ended(Door::CountedAs(record_.method, record_.caller));
    counted_ = false;
  }

  // Before the status is sent: the next call of who waits for it finds this one ended.
  void End(const grpc::Status& status) {
    CountEnd();
    record_.code = static_cast<absl::StatusCode>(status.error_code());  // the numbers are the same
    record_.message = status.error_message();
    record_.duration = absl::Now() - start_;
    sink_(record_);
  }

  grpc::experimental::ServerRpcInfo* info_;
  Door& door_;
  const CallSink& sink_;
  const absl::Time start_;
  CallRecord record_;
  bool counted_ = false;
};

}  // namespace

grpc::experimental::Interceptor* CallWatchFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  return new CallWatch(info, door_, sink_);  // gRPC deletes it
}

std::string TraceId(std::string_view traceparent) {
  constexpr std::string_view kShape = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
  if (traceparent.size() != kShape.size()) return "";
  for (size_t i = 0; i < kShape.size(); ++i) {
    const auto c = static_cast<unsigned char>(traceparent[i]);
    const bool fits = kShape[i] == 'x' ? absl::ascii_isxdigit(c) && !absl::ascii_isupper(c)
                                       : traceparent[i] == kShape[i];
    if (!fits) return "";
  }
  const std::string id(traceparent.substr(3, 32));
  return id.find_first_not_of('0') == std::string::npos ? "" : id;
}

}  // namespace tunesmith::server
