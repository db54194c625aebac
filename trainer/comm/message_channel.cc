#include "trainer/comm/message_channel.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"

namespace tunesmith::trainer {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int32_t kDataTag = 1;
constexpr int32_t kNewsTag = 2;
constexpr int32_t kSignTag = 3;
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
  void Idle() {
    if (++count_ <= kSpinCount) return;
    std::this_thread::sleep_for(sleep_);
    sleep_ = std::min(2 * sleep_, kLongestSleep);
  }

 private:
  int count_ = 0;
  microseconds sleep_ = kShortestSleep;
};

}  // namespace

MessageChannel::MessageChannel(const TunesmithMpi& mpi, int64_t rank, int64_t size,
                               milliseconds time_limit)
    : mpi_(mpi),
      rank_(rank),
      size_(size),
      time_limit_(time_limit),
      signs_(static_cast<size_t>(size)) {
  pending_.reserve(static_cast<size_t>(2 * size));
}

MessageChannel::~MessageChannel() {
  if (!ended_.ok()) {
    // Without finish(), which would wait for ranks that are no more: the process is about to end.
    if (rank_ != 0) WaitForRankZero();
    return;
  }
  if (news_handle_ >= 0) (void)mpi_.cancel(news_handle_);
  if (sign_handle_ >= 0) (void)mpi_.cancel(sign_handle_);
  (void)mpi_.finish();
}

absl::Status MessageChannel::Open() {
  const int error = mpi_.receive(news_.data(), static_cast<int64_t>(news_.size()),
                                 TUNESMITH_MPI_ANY_RANK, kNewsTag, &news_handle_);
  if (error != 0) return ErrorOf(error, "listen to", rank_);
  return ListenForSigns() ? absl::OkStatus() : absl::InternalError("MPI does not listen");
}

bool MessageChannel::ListenForSigns() {
  return mpi_.receive(&sign_, 1, TUNESMITH_MPI_ANY_RANK, kSignTag, &sign_handle_) == 0;
}

void MessageChannel::Watch(absl::Span<const ProcessIdentity> identities) {
  processes_.emplace(identities);
}

void MessageChannel::Send(int64_t peer, const void* data, int64_t bytes) {
  for (int64_t sent = 0; sent < bytes && ended_.ok(); sent += kPieceBytes) {
    Pending next{.peer = peer};
    const int error = mpi_.send(static_cast<const char*>(data) + sent,
                                std::min(kPieceBytes, bytes - sent), peer, kDataTag, &next.handle);
    Keep(error, "send to", next);
  }
}

void MessageChannel::Receive(int64_t peer, void* data, int64_t bytes) {
  for (int64_t received = 0; received < bytes && ended_.ok(); received += kPieceBytes) {
    Pending next{.peer = peer, .receives = true};
    const int error =
        mpi_.receive(static_cast<char*>(data) + received, std::min(kPieceBytes, bytes - received),
                     peer, kDataTag, &next.handle);
    Keep(error, "receive from", next);
  }
}

void MessageChannel::Keep(int error, const char* what, Pending pending) {
  if (error == 0) {
    pending_.push_back(pending);
  } else {
    (void)End(ErrorOf(error, what, pending.peer));
  }
}

absl::Status MessageChannel::TestPending(bool* has_progressed) {
  size_t kept = 0;
  for (size_t i = 0; i < pending_.size(); ++i) {
    int32_t is_done = 0;
    const int error = mpi_.test(pending_[i].handle, &is_done, nullptr);
    if (error != 0) return ErrorOf(error, "exchange messages with", pending_[i].peer);
    if (is_done == 0) pending_[kept++] = pending_[i];
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
    idler.Idle();
    TUNESMITH_RETURN_IF_ERROR(LookAround(name, since));
  }
  return absl::OkStatus();
}

absl::Status MessageChannel::LookAround(const char* name, Clock::time_point since) {
  const Clock::time_point now = Clock::now();
  if (now < next_look_) return absl::OkStatus();
  next_look_ = now + kTimeBetweenLooks;
  TUNESMITH_RETURN_IF_ERROR(LookForNews());
  TUNESMITH_RETURN_IF_ERROR(LookForTheDead());
  LookForSigns();
  if (now - since >= time_limit_ / 2) GiveSign();
  if (now - since < time_limit_) return absl::OkStatus();
  const std::string absent = Absent(since);
  if (absent.empty() && now - since < 2 * time_limit_) return absl::OkStatus();
  return End(absl::DeadlineExceededError(
      StrCat("no sign of ", absent.empty() ? "progress" : absent, " in ",
             std::chrono::duration<double>(time_limit_).count(), " s (waiting in ", name, ")")));
}

absl::Status MessageChannel::LookForNews() {
  int32_t has_come = 0;
  int64_t teller = 0;
  if (news_handle_ < 0 || mpi_.test(news_handle_, &has_come, &teller) != 0 || has_come == 0)
    return absl::OkStatus();
  news_handle_ = -1;
  news_.back() = '\0';
  ended_ = absl::AbortedError(news_.data());
  CancelReceives();
  return ended_;
}

absl::Status MessageChannel::LookForTheDead() {
  if (!processes_) return absl::OkStatus();
  const auto dead = processes_->FindEnded();
  if (!dead) return absl::OkStatus();
  if (!death_seen_) death_seen_ = Clock::now();
  if (Clock::now() - *death_seen_ < kTimeForLastWords) return absl::OkStatus();
  return End(absl::UnavailableError(
      StrCat(*dead,
             " died without a word: killed, perhaps because the host ran out of "
             "memory (see dmesg), or crashed (see the log)")));
}

void MessageChannel::GiveSign() {
  if (has_given_sign_) return;
  has_given_sign_ = true;
  for (int64_t peer = 0; peer < size_; ++peer) {
    int32_t handle = 0;
    if (peer != rank_ && mpi_.send(&rank_, 1, peer, kSignTag, &handle) == 0)
      given_signs_.push_back(handle);
  }
}

void MessageChannel::LookForSigns() {
  int64_t giver = 0;
  int32_t has_come = 0;
  while (sign_handle_ >= 0 && mpi_.test(sign_handle_, &has_come, &giver) == 0 && has_come != 0) {
    signs_[static_cast<size_t>(giver)] = Clock::now();
    if (!ListenForSigns()) sign_handle_ = -1;
  }
  const auto has_gone = [&](int32_t handle) {
    int32_t is_done = 0;
    return mpi_.test(handle, &is_done, nullptr) != 0 || is_done != 0;
  };
  std::erase_if(given_signs_, has_gone);
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
  CancelReceives();
  Tell(std::string(ended_.message()));
  return ended_;
}

// Nothing is to be written any more into memory that its owner is about to free.
void MessageChannel::CancelReceives() {
  for (const Pending& pending : pending_) {
    if (pending.receives) (void)mpi_.cancel(pending.handle);
  }
}

void MessageChannel::Tell(std::string_view reason) {
  std::memcpy(told_.data(), reason.data(), std::min(reason.size(), told_.size() - 1));
  std::vector<int32_t> handles;
  for (int64_t peer = 0; peer < size_; ++peer) {
    int32_t handle = 0;
    if (peer != rank_ &&
        mpi_.send(told_.data(), static_cast<int64_t>(told_.size()), peer, kNewsTag, &handle) == 0)
      handles.push_back(handle);
  }
  const Clock::time_point end = Clock::now() + kTimeToTell;
  while (!handles.empty() && Clock::now() < end) {
    int32_t is_done = 0;
    if (mpi_.test(handles.back(), &is_done, nullptr) != 0 || is_done != 0) handles.pop_back();
    if (is_done == 0) std::this_thread::sleep_for(kShortestSleep);
  }
}

void MessageChannel::WaitForRankZero() {
  const Clock::time_point end = Clock::now() + kTimeForRankZero;
  while (Clock::now() < end && !(processes_ && processes_->HasEnded(0)))
    std::this_thread::sleep_for(kTimeBetweenLooks);
}

absl::Status MessageChannel::ErrorOf(int error, const char* what, int64_t peer) const {
  std::array<char, 512> text = {};
  mpi_.error_text(error, text.data(), static_cast<int64_t>(text.size()));
  return absl::UnavailableError(
      StrCat("rank ", rank_, " cannot ", what, " rank ", peer, ": ", text.data()));
}

}  // namespace tunesmith::trainer
