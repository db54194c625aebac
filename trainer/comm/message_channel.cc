#include "trainer/comm/message_channel.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"
#include "trainer/comm/rank_loss.h"

namespace tunesmith::trainer {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int64_t kPieceBytes = int64_t{64} << 20;

// A rank that waits first looks again at once, then sleeps ever longer: ranks that share a processor must not take it from each other.
constexpr int kSpinCount = 200;
constexpr microseconds kShortestSleep{20};
constexpr microseconds kLongestSleep{500};

constexpr milliseconds kTimeBetweenLooks{20};
// A rank that said why it ends and then ended is heard first.
constexpr milliseconds kTimeForLastWords{500};
constexpr milliseconds kTimeToTell{2000};
constexpr milliseconds kTimeForRankZero{3000};

class Idler {
 public:
  void Idle(MessageTransport& transport) {
    if (++count_ <= kSpinCount) return transport.Progress(microseconds(0));
    transport.Progress(sleep_);
    sleep_ = std::min(2 * sleep_, kLongestSleep);
  }

 private:
  int count_ = 0;
  microseconds sleep_ = kShortestSleep;
};

}  // namespace

MessageChannel::MessageChannel(std::unique_ptr<MessageTransport> transport, int64_t rank,
                               int64_t size, milliseconds time_limit)
    : transport_(std::move(transport)),
      rank_(rank),
      size_(size),
      time_limit_(time_limit),
      signs_(static_cast<size_t>(size)) {
  pending_.reserve(static_cast<size_t>(2 * size));
  for (int64_t peer = 0; peer < size; ++peer) names_.push_back(StrCat("rank ", peer));
}

MessageChannel::~MessageChannel() {
  if (ended_.ok()) {
    transport_->Finish();
  } else if (rank_ != 0) {
    // Without Finish, which would wait for ranks that are no more: the process is about to end.
    WaitForRankZero();
  }
}

void MessageChannel::Watch(absl::Span<const ProcessIdentity> identities) {
  processes_.emplace(identities);
  names_.clear();
  for (size_t peer = 0; peer < identities.size(); ++peer)
    names_.push_back(NameOf(static_cast<int64_t>(peer), identities[peer]));
}

void MessageChannel::Send(int64_t peer, const void* data, int64_t bytes) {
  for (int64_t sent = 0; sent < bytes && ended_.ok(); sent += kPieceBytes)
    Keep(transport_->Send(peer, static_cast<const char*>(data) + sent,
                          std::min(kPieceBytes, bytes - sent)),
         "send to", {.peer = peer});
}

void MessageChannel::Receive(int64_t peer, void* data, int64_t bytes) {
  for (int64_t received = 0; received < bytes && ended_.ok(); received += kPieceBytes)
    Keep(transport_->Receive(peer, static_cast<char*>(data) + received,
                             std::min(kPieceBytes, bytes - received)),
         "receive from", {.peer = peer, .receives = true});
}

void MessageChannel::Keep(const absl::StatusOr<int32_t>& handle, const char* what,
                          Pending pending) {
  if (!handle.ok()) {
    (void)End(ErrorOf(handle.status(), what, pending.peer));
    return;
  }
  pending.handle = *handle;
  pending_.push_back(pending);
}

absl::Status MessageChannel::TestPending(bool* has_progressed) {
  size_t kept = 0;
  for (size_t i = 0; i < pending_.size(); ++i) {
    const absl::StatusOr<bool> is_done = transport_->IsDone(pending_[i].handle);
    if (!is_done.ok()) return ErrorOf(is_done.status(), "exchange messages with", pending_[i].peer);
    if (!*is_done) pending_[kept++] = pending_[i];
  }
  *has_progressed = kept < pending_.size();
  pending_.resize(kept);
  return absl::OkStatus();
}

absl::Status MessageChannel::WaitForAll(const char* name) {
  TUNESMITH_RETURN_IF_ERROR(ended_);
  Clock::time_point since = Clock::now();
  has_given_sign_ = false;
  Idler idler;
  while (!pending_.empty()) {
    bool has_progressed = false;
    if (absl::Status status = TestPending(&has_progressed); !status.ok())
      return End(std::move(status));
    if (has_progressed) {
      since = Clock::now();
      idler = Idler();
      continue;
    }
    idler.Idle(*transport_);
    TUNESMITH_RETURN_IF_ERROR(LookAround(name, since));
  }
  return absl::OkStatus();
}

absl::Status MessageChannel::LookAround(const char* name, Clock::time_point since) {
  const Clock::time_point now = Clock::now();
  if (now < next_look_) return absl::OkStatus();
  next_look_ = now + kTimeBetweenLooks;
  TUNESMITH_RETURN_IF_ERROR(LookForNotices());
  TUNESMITH_RETURN_IF_ERROR(LookForTheDead());
  if (now - since >= time_limit_ / 2) GiveSign();
  if (now - since < time_limit_) return absl::OkStatus();
  const std::string absent = Absent(since);
  if (absent.empty() && now - since < 2 * time_limit_) return absl::OkStatus();
  return End(absl::DeadlineExceededError(
      StrCat("no sign of ", absent.empty() ? "progress" : absent, " in ",
             std::chrono::duration<double>(time_limit_).count(), " s (waiting in ", name, ")")));
}

absl::Status MessageChannel::LookForNotices() {
  while (const std::optional<Notice> notice = transport_->Hear()) {
    signs_[static_cast<size_t>(notice->teller)] = Clock::now();
    if (notice->kind == Notice::Kind::kSign) continue;
    ended_ = notice->kind == Notice::Kind::kLost ? RankLossError(notice->text)
                                                 : absl::AbortedError(notice->text);
    AbandonMessages();
    return ended_;
  }
  return absl::OkStatus();
}

absl::Status MessageChannel::FindDead() const {
  if (const auto dead = processes_ ? processes_->FindEnded() : std::nullopt) {
    return absl::UnavailableError(
        StrCat(*dead,
               " died without a word: killed, perhaps because the host ran out of "
               "memory (see dmesg), or crashed (see the log)"));
  }
  const auto lost = transport_->FindLost();
  if (!lost) return absl::OkStatus();
  return RankLossError(StrCat(names_[static_cast<size_t>(lost->rank)], " is lost: ", lost->how));
}

absl::Status MessageChannel::LookForTheDead() {
  absl::Status dead = FindDead();
  if (dead.ok()) return absl::OkStatus();
  if (!death_seen_) death_seen_ = Clock::now();
  if (Clock::now() - *death_seen_ < kTimeForLastWords) return absl::OkStatus();
  return End(std::move(dead));
}

void MessageChannel::GiveSign() {
  if (has_given_sign_) return;
  has_given_sign_ = true;
  TellAll(Notice::Kind::kSign, "");
}

// The ranks that something was to come from; where nothing was, those that do not take what is sent.
std::string MessageChannel::Absent(Clock::time_point since) const {
  const bool receives =
      std::any_of(pending_.begin(), pending_.end(), [](const Pending& p) { return p.receives; });
  std::set<int64_t> ranks;
  for (const Pending& p : pending_) {
    if (p.receives == receives && signs_[static_cast<size_t>(p.peer)] < since) ranks.insert(p.peer);
  }
  std::vector<std::string> names;
  for (const int64_t rank : ranks) names.push_back(StrCat("rank ", rank));
  return StrJoin(names, ", ");
}

absl::Status MessageChannel::End(absl::Status status) {
  if (!ended_.ok()) return ended_;
  ended_ = std::move(status);
  AbandonMessages();
  TellAll(IsRankLoss(ended_) ? Notice::Kind::kLost : Notice::Kind::kFailed,
          std::string(ended_.message()));
  const Clock::time_point end = Clock::now() + kTimeToTell;
  while (!transport_->HasTold() && Clock::now() < end) transport_->Progress(kShortestSleep);
  return ended_;
}

// Nothing is to be written any more into memory that its owner is about to free.
void MessageChannel::AbandonMessages() {
  std::vector<int32_t> receives;
  for (const Pending& pending : pending_) {
    if (pending.receives) receives.push_back(pending.handle);
  }
  transport_->Abandon(receives);
}

void MessageChannel::TellAll(Notice::Kind kind, std::string_view reason) {
  for (int64_t peer = 0; peer < size_; ++peer) {
    if (peer != rank_) transport_->Tell(peer, kind, reason);
  }
}

void MessageChannel::WaitForRankZero() {
  const Clock::time_point end = Clock::now() + kTimeForRankZero;
  const auto is_gone = [&] {
    return (processes_ && processes_->HasEnded(0)) || transport_->IsGone(0);
  };
  while (Clock::now() < end && !is_gone()) transport_->Progress(kTimeBetweenLooks);
}

absl::Status MessageChannel::ErrorOf(const absl::Status& error, const char* what,
                                     int64_t peer) const {
  return absl::UnavailableError(
      StrCat("rank ", rank_, " cannot ", what, " rank ", peer, ": ", error.message()));
}

}  // namespace tunesmith::trainer
