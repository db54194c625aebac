#include "trainer/comm/tcp_transport.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/comm/control_frame.h"
#include "trainer/comm/tcp_socket.h"

namespace tunesmith::trainer {
namespace {

using Clock = std::chrono::steady_clock;

// Below this a part is not worth a connection of its own.
constexpr int64_t kSmallestPartBytes = int64_t{256} << 10;
constexpr std::chrono::seconds kTimeToLeave{10};
constexpr std::chrono::milliseconds kTick{20};

// Before each part. Both ends know what comes; that they agree is checked.
struct PartHead {
  uint64_t number = 0;  // of the stream's parts
  uint64_t bytes = 0;
};

struct Part {
  char* data = nullptr;  // not written to by who sends
  int64_t bytes = 0;
  int32_t handle = 0;
  PartHead head;
  int64_t done = 0;  // of head and data
};

std::string HowItBroke(int error) {
  if (error == 0) return "its connection was closed: it was killed, or has crashed (see its log)";
  if (error == ETIMEDOUT) return StrCat("its host has not answered for ", kSecondsOfSilence, " s");
  return StrCat("its connection broke: ", std::strerror(error));
}

// One direction of a stream: parts in their order.
class PartQueue {
 public:
  void Add(char* data, int64_t bytes, int32_t handle) {
    parts_.push_back({data, bytes, handle, {count_++, static_cast<uint64_t>(bytes)}});
  }
  bool IsEmpty() const { return parts_.empty(); }
  Part& front() { return parts_.front(); }
  bool IsFrontDone() const {
    return parts_.front().done == parts_.front().bytes + static_cast<int64_t>(sizeof(PartHead));
  }
  void Pop() { parts_.pop_front(); }
  void Clear() { parts_.clear(); }

 private:
  std::deque<Part> parts_;
  uint64_t count_ = 0;
};

// What is left of a part, as sendmsg takes it: of the head, and of the data.
msghdr Rest(Part& part, PartHead& head, iovec (&pieces)[2]) {
  const auto head_bytes = static_cast<int64_t>(sizeof(PartHead));
  const int64_t in_head = std::min(part.done, head_bytes), in_data = part.done - in_head;
  pieces[0] = {reinterpret_cast<char*>(&head) + in_head, static_cast<size_t>(head_bytes - in_head)};
  pieces[1] = {part.data + in_data, static_cast<size_t>(part.bytes - in_data)};
  msghdr message = {};
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  return message;
}

struct Stream {
  Descriptor socket;
  PartQueue outgoing, incoming;
  PartHead came;  // the head of the part that is coming
};

struct Peer {
  Descriptor control;
  std::vector<Stream> streams;
  std::string to_tell, told;     // bytes that go out, and that have come
  int64_t unfinished_count = 0;  // messages
  bool has_left = false;
  bool is_over = false;  // its control has ended
  std::string how_lost;  // empty: it is not
};

class TcpTransport final : public MessageTransport {
 public:
  TcpTransport(int64_t rank, std::vector<TcpLinks> links) : rank_(rank), peers_(links.size()) {
    for (size_t i = 0; i < links.size(); ++i) {
      peers_[i].control = std::move(links[i].control);
      for (Descriptor& socket : links[i].streams) {
        peers_[i].streams.emplace_back();
        peers_[i].streams.back().socket = std::move(socket);
      }
    }
  }

  absl::StatusOr<int32_t> Send(int64_t peer, const void* data, int64_t bytes) override {
    return Begin(peer, static_cast<char*>(const_cast<void*>(data)), bytes, &Stream::outgoing);
  }

  absl::StatusOr<int32_t> Receive(int64_t peer, void* data, int64_t bytes) override {
    return Begin(peer, static_cast<char*>(data), bytes, &Stream::incoming);
  }

  absl::StatusOr<bool> IsDone(int32_t handle) override {
    if (messages_[static_cast<size_t>(handle)].parts_left > 0) return false;
    free_.push_back(handle);
    return true;
  }

  void Abandon(absl::Span<const int32_t>) override {
    for (Peer& peer : peers_) {
      for (Stream& stream : peer.streams) {
        stream.outgoing.Clear();
        stream.incoming.Clear();
      }
    }
  }

  void Progress(std::chrono::microseconds wait) override {
    Gather();
    const timespec timeout = {.tv_sec = wait.count() / 1'000'000,
                              .tv_nsec = wait.count() % 1'000'000 * 1000};
    if (ppoll(entries_.data(), entries_.size(), &timeout, nullptr) <= 0) return;
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i].revents == 0) continue;
      const Watched& watched = watched_[i];
      if (watched.stream == nullptr) {
        MoveNotices(*watched.peer);
      } else {
        MoveParts(*watched.peer, *watched.stream);
      }
    }
  }

  void Tell(int64_t peer, Notice::Kind kind, std::string_view text) override {
    TellFrame(PeerOf(peer), static_cast<char>(kind),
              text.substr(0, static_cast<size_t>(kMostNoticeBytes)));
  }

  bool HasTold() override {
    return std::all_of(peers_.begin(), peers_.end(),
                       [](const Peer& peer) { return peer.to_tell.empty(); });
  }

  std::optional<Notice> Hear() override {
    if (notices_.empty()) return std::nullopt;
    Notice notice = std::move(notices_.front());
    notices_.pop_front();
    return notice;
  }

  std::optional<LostRank> FindLost() const override {
    for (size_t rank = 0; rank < peers_.size(); ++rank) {
      const Peer& peer = peers_[rank];
      const bool is_missed = !peer.has_left || peer.unfinished_count > 0;
      if (!peer.how_lost.empty() && is_missed)
        return LostRank{static_cast<int64_t>(rank), peer.how_lost};
    }
    return std::nullopt;
  }

  bool IsGone(int64_t rank) const override { return peers_[static_cast<size_t>(rank)].is_over; }

  void Finish() override {
    for (Peer& peer : peers_) TellFrame(peer, ControlFrame::kGoodbye, "");
    const Clock::time_point end = Clock::now() + kTimeToLeave;
    const auto has_gone = [&](const Peer& peer) {
      return IsSelf(peer) || peer.is_over || (peer.has_left && peer.to_tell.empty());
    };
    while (!std::all_of(peers_.begin(), peers_.end(), has_gone) && Clock::now() < end)
      Progress(kTick);
  }

 private:
  struct Message {
    int64_t peer = 0;
    int64_t parts_left = 0;
  };
  struct Watched {
    Peer* peer = nullptr;
    Stream* stream = nullptr;  // null: the control
  };

  Peer& PeerOf(int64_t rank) { return peers_[static_cast<size_t>(rank)]; }
  bool IsSelf(const Peer& peer) const { return &peer == &peers_[static_cast<size_t>(rank_)]; }

  int32_t NewHandle() {
    if (free_.empty()) {
      messages_.emplace_back();
      return static_cast<int32_t>(messages_.size()) - 1;
    }
    const int32_t handle = free_.back();
    free_.pop_back();
    return handle;
  }

  absl::StatusOr<int32_t> Begin(int64_t rank, char* data, int64_t bytes, PartQueue Stream::*queue) {
    Peer& peer = PeerOf(rank);
    const int32_t handle = NewHandle();
    const int64_t part_count = std::clamp<int64_t>(bytes / kSmallestPartBytes, 1,
                                                   static_cast<int64_t>(peer.streams.size()));
    messages_[static_cast<size_t>(handle)] = {rank, part_count};
    ++peer.unfinished_count;
    for (int64_t i = 0; i < part_count; ++i) {
      const int64_t begin = bytes * i / part_count, end = bytes * (i + 1) / part_count;
      (peer.streams[static_cast<size_t>(i)].*queue).Add(data + begin, end - begin, handle);
    }
    return handle;
  }

  // What there is to wait for.
  void Gather() {
    entries_.clear();
    watched_.clear();
    for (Peer& peer : peers_) {
      if (IsSelf(peer) || peer.is_over) continue;
      Add(peer, nullptr, peer.control, POLLIN | (peer.to_tell.empty() ? 0 : POLLOUT));
      for (Stream& stream : peer.streams) {
        const int events =
            (stream.incoming.IsEmpty() ? 0 : POLLIN) | (stream.outgoing.IsEmpty() ? 0 : POLLOUT);
        if (events != 0 && peer.how_lost.empty()) Add(peer, &stream, stream.socket, events);
      }
    }
  }

  void Add(Peer& peer, Stream* stream, const Descriptor& socket, int events) {
    entries_.push_back({.fd = socket.get(), .events = static_cast<short>(events), .revents = 0});
    watched_.push_back({&peer, stream});
  }

  void TellFrame(Peer& peer, char kind, std::string_view text) {
    if (IsSelf(peer) || peer.is_over) return;
    peer.to_tell += BytesOf(kind, text);
    MoveNotices(peer);
  }

  void MoveNotices(Peer& peer) {
    while (!peer.to_tell.empty()) {
      const ssize_t sent =
          send(peer.control.get(), peer.to_tell.data(), peer.to_tell.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      peer.to_tell.erase(0, static_cast<size_t>(sent));
    }
    char buffer[4096];
    ssize_t got = 0;
    while ((got = recv(peer.control.get(), buffer, sizeof buffer, 0)) > 0)
      peer.told.append(buffer, static_cast<size_t>(got));
    const int error = got < 0 ? errno : 0;
    TakeFrames(peer);
    if (got == 0 || (error != EAGAIN && error != EINTR)) EndControl(peer, error);
  }

  void EndControl(Peer& peer, int error) {
    peer.is_over = true;
    peer.to_tell.clear();
    Lose(peer, HowItBroke(error));
  }

  static void Lose(Peer& peer, std::string how) {
    if (peer.how_lost.empty()) peer.how_lost = std::move(how);
  }

  void TakeFrames(Peer& peer) {
    const int64_t rank = &peer - peers_.data();
    while (std::optional<ControlFrame> frame = TakeFrame(peer.told)) {
      if (frame->kind == ControlFrame::kGoodbye) {
        peer.has_left = true;
      } else {
        notices_.push_back({rank, static_cast<Notice::Kind>(frame->kind), std::move(frame->text)});
      }
    }
  }

  // As far as it goes now.
  void MoveParts(Peer& peer, Stream& stream) {
    while (!stream.outgoing.IsEmpty() && peer.how_lost.empty()) {
      if (!SendSome(peer, stream)) break;
    }
    while (!stream.incoming.IsEmpty() && peer.how_lost.empty()) {
      if (!ReceiveSome(peer, stream)) break;
    }
  }

  // Whether there may be more to do at once.
  bool SendSome(Peer& peer, Stream& stream) {
    Part& part = stream.outgoing.front();
    iovec pieces[2];
    const msghdr message = Rest(part, part.head, pieces);
    const ssize_t sent = sendmsg(stream.socket.get(), &message, MSG_NOSIGNAL);
    return Note(peer, stream.outgoing, sent);
  }

  bool ReceiveSome(Peer& peer, Stream& stream) {
    Part& part = stream.incoming.front();
    iovec pieces[2];
    msghdr message = Rest(part, stream.came, pieces);
    // Only so much as belongs to this part: what is behind it belongs to the next.
    const ssize_t got = recvmsg(stream.socket.get(), &message, 0);
    if (got == 0) {
      Lose(peer, HowItBroke(0));
      return false;
    }
    if (got > 0 && part.done + got >= static_cast<ssize_t>(sizeof(PartHead)) &&
        std::memcmp(&stream.came, &part.head, sizeof(PartHead)) != 0) {
      Lose(peer, StrCat("it sent part ", stream.came.number, " of ", stream.came.bytes,
                        " bytes where part ", part.head.number, " of ", part.head.bytes,
                        " was to come; is it of the same build?"));
      return false;
    }
    return Note(peer, stream.incoming, got);
  }

  bool Note(Peer& peer, PartQueue& queue, ssize_t moved) {
    if (moved < 0) {
      if (errno != EAGAIN && errno != EINTR) Lose(peer, HowItBroke(errno == EPIPE ? 0 : errno));
      return false;
    }
    queue.front().done += moved;
    if (!queue.IsFrontDone()) return true;
    if (--messages_[static_cast<size_t>(queue.front().handle)].parts_left == 0)
      --peer.unfinished_count;
    queue.Pop();
    return true;
  }

  const int64_t rank_;
  std::vector<Peer> peers_;        // by rank
  std::vector<Message> messages_;  // by handle
  std::vector<int32_t> free_;      // handles
  std::deque<Notice> notices_;
  std::vector<pollfd> entries_;   // of Progress
  std::vector<Watched> watched_;  // of entries_
};

}  // namespace

std::unique_ptr<MessageTransport> MakeTcpTransport(int64_t rank, std::vector<TcpLinks> links) {
  return std::make_unique<TcpTransport>(rank, std::move(links));
}

}  // namespace tunesmith::trainer
