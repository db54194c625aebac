#include "trainer/comm/tcp_mesh.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <list>
#include <set>
#include <thread>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"
#include "trainer/comm/control_frame.h"
#include "trainer/comm/message_transport.h"
#include "trainer/comm/rank_handshake.h"
#include "trainer/comm/rank_loss.h"
#include "trainer/comm/tcp_socket.h"

namespace tunesmith::trainer {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// A rank of the attempt before may still hold the port.
constexpr milliseconds kPatienceWithPort{5000};
// Rank 0 says which rank did not come; the others give it the time to.
constexpr milliseconds kTimeForRankZero{5000};
constexpr milliseconds kShortestPause{50}, kLongestPause{500};
constexpr milliseconds kTick{100};
constexpr size_t kMostStrangers = 64;

// How a rank is reached, as rank 0 tells.
struct Place {
  char host[64] = {};
  int64_t port = 0;
};

// Every connection is an open file.
void RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

std::string Seconds(milliseconds time) {
  return StrCat(std::chrono::duration<double>(time).count(), " s");
}

class Meeting {
 public:
  Meeting(const TcpRank& self, const TimeLimits& limits)
      : self_(self),
        limit_(limits.start),
        end_(Clock::now() + limits.start),
        links_(static_cast<size_t>(self.size)),
        places_(static_cast<size_t>(self.size)),
        stream_count_(self.stream_count) {}

  absl::StatusOr<std::vector<TcpLinks>> Meet() {
    RaiseFileLimit();
    absl::Status status = self_.rank == 0 ? Lead() : Follow();
    if (status.ok()) return std::move(links_);
    TellAll(status);
    return status;
  }

 private:
  absl::Status Lead() {
    TUNESMITH_RETURN_IF_ERROR(OpenMaster());
    absl::Status joined = Await([this] { return AreHere(0); });
    if (absl::IsFailedPrecondition(joined)) return RefuseTheRest(std::move(joined));
    TUNESMITH_RETURN_IF_ERROR(joined);
    is_joining_ = false;
    TUNESMITH_RETURN_IF_ERROR(SendTable());
    return Await([this] { return AreHere(stream_count_); });
  }

  absl::Status Follow() {
    TUNESMITH_RETURN_IF_ERROR(JoinMaster());
    is_joining_ = false;
    TUNESMITH_RETURN_IF_ERROR(ReadTable());
    end_ += kTimeForRankZero;
    for (int64_t other = 0; other < self_.rank; ++other)
      TUNESMITH_RETURN_IF_ERROR(ConnectTo(other));
    return Await([this] { return AreHere(stream_count_); });
  }

  // Those that are still on their way would find nobody, and wait in vain.
  absl::Status RefuseTheRest(absl::Status failure) {
    failure_ = std::string(failure.message());
    end_ = Clock::now() + kTimeForRankZero;
    const auto has_all = [this] {
      for (int64_t rank = 1; rank < self_.size; ++rank) {
        if (!IsHere(rank, 0) && refused_.count(rank) == 0) return false;
      }
      return true;
    };
    (void)Await(has_all);
    return failure;
  }

  absl::Status OpenMaster() {
    const auto port_end = std::min(end_, Clock::now() + kPatienceWithPort);
    absl::StatusOr<Descriptor> listener = Listen(self_.master);
    // The name of a pod takes a while to be known.
    while (!listener.ok() &&
           Clock::now() < (absl::IsNotFound(listener.status()) ? end_ : port_end)) {
      std::this_thread::sleep_for(kTick);
      listener = Listen(self_.master);
    }
    if (!listener.ok()) {
      return absl::UnavailableError(StrCat("rank 0 cannot listen at ", TextOf(self_.master),
                                           " for the other ranks: ", listener.status().message(),
                                           "; choose another MASTER_ADDR or MASTER_PORT"));
    }
    listener_ = *std::move(listener);
    return absl::OkStatus();
  }

  // The connection by which this rank joins carries rank 0's notices to it, and its own.
  absl::Status JoinMaster() {
    std::string problem = "there was no time";
    for (milliseconds pause = kShortestPause; Clock::now() < end_;
         pause = std::min(2 * pause, kLongestPause)) {
      const absl::Status joined = TryToJoin();
      if (joined.ok() || absl::IsFailedPrecondition(joined)) return joined;
      problem = std::string(joined.message());
      std::this_thread::sleep_for(pause);
    }
    return absl::DeadlineExceededError(StrCat("rank ", self_.rank, " has waited ", Seconds(limit_),
                                              " for rank 0 at ", TextOf(self_.master), ": ",
                                              problem));
  }

  absl::Status TryToJoin() {
    TUNESMITH_ASSIGN_OR_RETURN(Descriptor control, Connect(self_.master, end_));
    TUNESMITH_ASSIGN_OR_RETURN(listener_, Listen({ListeningHost(control), 0}));
    TUNESMITH_RETURN_IF_ERROR(
        Introduce(control, self_.secret, HelloFor(0), 0, std::min(end_, Soon())));
    master_host_ = PeerAddress(control).host;
    WatchHost(control);
    links_[0].control = std::move(control);
    return absl::OkStatus();
  }

  static Deadline Soon() { return Clock::now() + std::chrono::seconds(10); }

  // Ranks beside rank 0 may reach it by a loopback address, and must be reached from elsewhere by another one.
  std::string ListeningHost(const Descriptor& control) const {
    const std::string local = LocalAddress(control).host;
    const bool is_meant = IsLoopbackHost(self_.master.host) || self_.master.host == "localhost";
    return IsLoopbackHost(local) && !is_meant ? "::" : local;
  }

  Hello HelloFor(int64_t stream) const {
    Hello hello{.rank = self_.rank,
                .size = self_.size,
                .stream = stream,
                .listening_port = LocalAddress(listener_).port,
                .attempt = self_.attempt};
    PutText(self_.facts, hello.facts);
    return hello;
  }

  absl::Status SendTable() {
    std::string table(reinterpret_cast<const char*>(&stream_count_), sizeof stream_count_);
    table.append(reinterpret_cast<const char*>(places_.data()), places_.size() * sizeof(Place));
    const std::string frame = BytesOf(ControlFrame::kTable, table);
    for (int64_t rank = 1; rank < self_.size; ++rank) {
      const absl::Status sent =
          SendAll(Links(rank).control, frame.data(), static_cast<int64_t>(frame.size()), Soon());
      if (!sent.ok()) return LeftEarly(rank);
    }
    return absl::OkStatus();
  }

  absl::Status ReadTable() {
    TUNESMITH_ASSIGN_OR_RETURN(const ControlFrame frame, ReadFrame(0, end_ + kTimeForRankZero));
    const size_t bytes = places_.size() * sizeof(Place);
    if (frame.kind != ControlFrame::kTable || frame.text.size() != sizeof stream_count_ + bytes)
      return EndOf(frame);
    std::memcpy(&stream_count_, frame.text.data(), sizeof stream_count_);
    std::memcpy(places_.data(), frame.text.data() + sizeof stream_count_, bytes);
    return absl::OkStatus();
  }

  absl::StatusOr<ControlFrame> ReadFrame(int64_t rank, Deadline deadline) {
    const Descriptor& control = Links(rank).control;
    std::array<char, kFrameHeadBytes> head = {};
    absl::Status read = ReceiveAll(control, head.data(), kFrameHeadBytes, deadline);
    std::string text(read.ok() ? std::min(TextBytes(head.data()), kMostFrameBytes) : 0, '\0');
    if (read.ok())
      read = ReceiveAll(control, text.data(), static_cast<int64_t>(text.size()), deadline);
    if (read.ok()) return ControlFrame{head[0], text};
    if (!absl::IsDeadlineExceeded(read)) return LeftEarly(rank);
    return absl::DeadlineExceededError(StrCat("rank ", self_.rank,
                                              " has joined, and heard nothing of rank ", rank,
                                              " in ", Seconds(limit_)));
  }

  static absl::Status LeftEarly(int64_t rank) {
    return RankLossError(StrCat("rank ", rank,
                                " left while the ranks were joining: its log says why, "
                                "unless it was killed"));
  }

  static absl::Status EndOf(const ControlFrame& frame) {
    const bool is_loss = frame.kind == static_cast<char>(Notice::Kind::kLost);
    return is_loss ? RankLossError(frame.text) : absl::AbortedError(frame.text);
  }

  HostPort AddressOf(int64_t rank) const {
    if (rank == 0) return {master_host_, self_.master.port};
    const Place& place = places_[static_cast<size_t>(rank)];
    // Beside rank 0, by whose address its host is reached.
    const bool is_beside = IsLoopbackHost(place.host) && !IsLoopbackHost(master_host_);
    return {is_beside ? master_host_ : place.host, static_cast<int32_t>(place.port)};
  }

  // To a rank below this one, which accepts.
  absl::Status ConnectTo(int64_t rank) {
    for (int64_t stream = rank == 0 ? 1 : 0; stream <= stream_count_; ++stream) {
      const HostPort address = AddressOf(rank);
      absl::StatusOr<Descriptor> socket = Connect(address, end_);
      absl::Status status = socket.status();
      if (status.ok()) status = Introduce(*socket, self_.secret, HelloFor(stream), rank, end_);
      if (!status.ok())
        return absl::UnavailableError(StrCat("rank ", self_.rank, " cannot reach rank ", rank,
                                             " at ", TextOf(address), ": ", status.message()));
      Keep(rank, stream, *std::move(socket));
    }
    return absl::OkStatus();
  }

  void Keep(int64_t rank, int64_t stream, Descriptor socket) {
    TcpLinks& links = Links(rank);
    if (stream > 0) return links.streams.push_back(std::move(socket));
    WatchHost(socket);
    links.control = std::move(socket);
  }

  // Whether all that connect to this rank have so many streams, beside the control.
  bool AreHere(int64_t streams) const {
    for (int64_t rank = self_.rank + 1; rank < self_.size; ++rank) {
      if (!IsHere(rank, streams)) return false;
    }
    return true;
  }

  bool IsHere(int64_t rank, int64_t streams) const {
    const TcpLinks& links = links_[static_cast<size_t>(rank)];
    return links.control.get() >= 0 && static_cast<int64_t>(links.streams.size()) >= streams;
  }

  template <typename Done>
  absl::Status Await(Done done) {
    while (!done()) {
      if (Clock::now() >= end_) return TooLate();
      TUNESMITH_RETURN_IF_ERROR(Serve());
    }
    return absl::OkStatus();
  }

  absl::Status TooLate() const {
    std::vector<std::string> absent;
    for (int64_t rank = self_.rank + 1; rank < self_.size; ++rank) {
      if (!IsHere(rank, is_joining_ ? 0 : stream_count_)) absent.push_back(StrCat("rank ", rank));
    }
    return absl::DeadlineExceededError(StrCat("rank ", self_.rank, " has waited ", Seconds(limit_),
                                              " for ", StrJoin(absent, ", "), " to join",
                                              problem_.empty() ? "" : "; ", problem_));
  }

  // Takes who comes, listens to who has, and sees who goes; waits for one of them, a moment at most.
  absl::Status Serve() {
    std::vector<pollfd> entries;
    const auto watch = [&](const Descriptor& socket, short events) {
      entries.push_back({.fd = socket.get(), .events = events, .revents = 0});
    };
    watch(listener_, guests_.size() < kMostStrangers + links_.size() ? POLLIN : 0);
    for (const Introduction& guest : guests_) watch(guest.socket(), POLLIN);
    for (const TcpLinks& links : links_) watch(links.control, POLLRDHUP);
    if (poll(entries.data(), entries.size(), static_cast<int>(kTick.count())) > 0)
      TUNESMITH_RETURN_IF_ERROR(LookForThoseWhoGo(absl::MakeSpan(entries).last(links_.size())));
    TUNESMITH_RETURN_IF_ERROR(AdvanceGuests());
    for (Descriptor next = Accept(listener_); next.get() >= 0; next = Accept(listener_))
      guests_.emplace_back(std::move(next), self_.secret);
    return absl::OkStatus();
  }

  absl::Status LookForThoseWhoGo(absl::Span<const pollfd> controls) {
    for (size_t rank = 0; rank < controls.size(); ++rank) {
      if (controls[rank].fd < 0 || controls[rank].revents == 0) continue;
      // While ranks join, another process may come in its place.
      if (is_joining_) {
        links_[rank].control.Close();
        continue;
      }
      TUNESMITH_ASSIGN_OR_RETURN(const ControlFrame frame,
                                 ReadFrame(static_cast<int64_t>(rank), Soon()));
      return EndOf(frame);
    }
    return absl::OkStatus();
  }

  absl::Status AdvanceGuests() {
    for (auto guest = guests_.begin(); guest != guests_.end();) {
      const absl::StatusOr<bool> is_known = guest->Advance();
      const std::string from = TextOf(PeerAddress(guest->socket()));
      if (!is_known.ok()) problem_ = StrCat("somebody at ", from, " ", is_known.status().message());
      absl::Status admitted;
      if (is_known.ok() && *is_known) admitted = Admit(*guest, from);
      const bool is_over = !is_known.ok() || *is_known || Clock::now() > guest->deadline();
      guest = is_over ? guests_.erase(guest) : std::next(guest);
      TUNESMITH_RETURN_IF_ERROR(admitted);
    }
    return absl::OkStatus();
  }

  // What is not OK ends the meeting.
  absl::Status Admit(Introduction& guest, const std::string& from) {
    const Hello& hello = guest.hello();
    if (!failure_.empty()) {
      refused_.insert(hello.rank);
      (void)guest.Answer(Verdict::kRefused, self_.rank, failure_);
      return absl::OkStatus();
    }
    if (const std::string different = Difference(hello); !different.empty()) {
      (void)guest.Answer(Verdict::kRefused, self_.rank, different);
      refused_.insert(hello.rank);
      return absl::FailedPreconditionError(different);
    }
    if (const std::string objection = Objection(hello); !objection.empty()) {
      (void)guest.Answer(Verdict::kRefused, self_.rank, objection);
      problem_ = StrCat(objection, " (it came from ", from, ")");
      return absl::OkStatus();
    }
    if (!guest.Answer(Verdict::kTaken, self_.rank, "").ok()) return absl::OkStatus();
    if (is_joining_) {
      Place& place = places_[static_cast<size_t>(hello.rank)];
      PutText(PeerAddress(guest.socket()).host, place.host);
      place.port = hello.listening_port;
    }
    Keep(hello.rank, hello.stream, guest.Release());
    return absl::OkStatus();
  }

  // A rank of this attempt that can never be one of this job.
  std::string Difference(const Hello& hello) const {
    if (hello.attempt != self_.attempt) return "";
    if (hello.size != self_.size)
      return StrCat("rank ", hello.rank, " was started as one of ", hello.size, " ranks, and rank ",
                    self_.rank, " as one of ", self_.size);
    const Hello own = HelloFor(0);
    if (std::string_view(hello.facts) == own.facts) return "";
    return StrCat("the ranks differ: rank ", hello.rank, " has ", hello.facts, ", and rank ",
                  self_.rank, " has ", own.facts,
                  "; start all of them with the same plan and the same build of the trainer");
  }

  std::string Objection(const Hello& hello) const {
    if (hello.attempt != self_.attempt)
      return StrCat("a rank ", hello.rank, " of attempt ", hello.attempt,
                    " is not let in: this is attempt ", self_.attempt);
    const bool is_ours = hello.rank > self_.rank && hello.rank < self_.size && hello.stream >= 0 &&
                         hello.stream <= (is_joining_ ? 0 : stream_count_);
    if (!is_ours)
      return StrCat("rank ", self_.rank, " does not expect rank ", hello.rank,
                    " now; the ranks have all come");
    const bool is_taken = hello.stream == 0 ? Links(hello.rank).control.get() >= 0
                                            : !IsHere(hello.rank, hello.stream - 1) ||
                                                  IsHere(hello.rank, hello.stream);
    if (!is_taken) return "";
    return StrCat("a second rank ", hello.rank,
                  " is not let in; give every process a RANK of its own");
  }

  // Those that have joined are not left to wait for what does not come.
  void TellAll(const absl::Status& status) {
    const std::string text(status.message().substr(0, MessageTransport::kMostNoticeBytes));
    const Notice::Kind kind = IsRankLoss(status) ? Notice::Kind::kLost : Notice::Kind::kFailed;
    const std::string frame = BytesOf(static_cast<char>(kind), text);
    for (const TcpLinks& links : links_) {
      if (links.control.get() >= 0)
        (void)SendAll(links.control, frame.data(), static_cast<int64_t>(frame.size()),
                      Clock::now());
    }
  }

  TcpLinks& Links(int64_t rank) { return links_[static_cast<size_t>(rank)]; }
  const TcpLinks& Links(int64_t rank) const { return links_[static_cast<size_t>(rank)]; }

  const TcpRank& self_;
  const milliseconds limit_;
  Deadline end_;
  std::vector<TcpLinks> links_;  // by rank
  std::vector<Place> places_;    // by rank
  int64_t stream_count_;
  bool is_joining_ = true;   // rank 0 does not yet have all ranks
  std::string master_host_;  // as this rank reaches it
  Descriptor listener_;
  std::list<Introduction> guests_;
  std::string failure_;        // empty: the ranks may still meet
  std::set<int64_t> refused_;  // the ranks that were told that they cannot be of this job
  std::string problem_;        // the last of somebody who was not let in
};

}  // namespace

absl::StatusOr<std::vector<TcpLinks>> MeetByTcp(const TcpRank& self, const TimeLimits& limits) {
  return Meeting(self, limits).Meet();
}

}  // namespace tunesmith::trainer
