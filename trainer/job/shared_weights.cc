#include "trainer/job/shared_weights.h"

#include <array>
#include <cstring>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/comm/communicator.h"

namespace tunesmith::trainer {
namespace {

using Name = std::array<char, 512>;

Communicator* CommOf(Session& session) { return session.executor().context().comm; }

absl::Status Tell(Session& session, const std::string& name) {
  if (CommOf(session) == nullptr) return absl::OkStatus();
  Name words = {};
  if (name.size() >= words.size())
    return absl::InternalError(StrCat("the name of weight ", name, " is too long"));
  std::memcpy(words.data(), name.data(), name.size());
  return CommOf(session)->Broadcast(words.data(), sizeof words, 0);
}

}  // namespace

absl::StatusOr<std::vector<float>> ReadSharedWeight(Session& session, const std::string& name) {
  TUNESMITH_RETURN_IF_ERROR(Tell(session, name));
  return session.ReadWeight(name);
}

absl::Status ReadSharedWeight(Session& session, const std::string& name, absl::Span<float> out) {
  TUNESMITH_RETURN_IF_ERROR(Tell(session, name));
  return session.ReadWeight(name, out);
}

absl::Status EndSharedReads(Session& session) { return Tell(session, ""); }

absl::Status FollowSharedReads(Session& session) {
  for (;;) {
    Name name = {};
    TUNESMITH_RETURN_IF_ERROR(CommOf(session)->Broadcast(name.data(), sizeof name, 0));
    if (name[0] == '\0') return absl::OkStatus();
    TUNESMITH_RETURN_IF_ERROR(session.ReadWeight(name.data()).status());
  }
}

}  // namespace tunesmith::trainer
