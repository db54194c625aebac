#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/descriptor.h"
#include "trainer/comm/tcp_socket.h"

// How two ends of a connection find out that both are of one job. Who connects and who accepted each give a random number, and prove by an HMAC-SHA256 (RFC 2104)
// over both numbers and what they say that they know the job's secret, which never travels. Nobody else can so become a rank, or repeat what one has said.
// What follows on the connection is neither encrypted nor signed: a network on which others can write into connections wants protection of its own.
//
//   connecting                 accepting
//   magic, number c      ->
//                        <-    magic, number s
//   Hello, HMAC(c,s,Hello) ->
//                        <-    Welcome, HMAC(s,c,Welcome)
//
// Numbers are in the byte order of the hosts, which is the same on all that the trainer is built for.
namespace tunesmith::trainer {

inline constexpr int64_t kNumberBytes = 32;
inline constexpr int64_t kMacBytes = 32;
using RandomNumber = std::array<unsigned char, kNumberBytes>;
using Mac = std::array<unsigned char, kMacBytes>;

// What a rank says of itself, and of what the connection is for.
struct Hello {
  int64_t rank = 0;
  int64_t size = 0;
  int64_t stream = 0;          // 0: for notices; 1, 2, ...: for messages
  int64_t listening_port = 0;  // where higher ranks reach this one
  int64_t attempt = 0;
  char facts[192] = {};  // what must be the same on all ranks, for people
};

enum class Verdict : int64_t {
  kTaken = 1,
  kNoProof = 2,  // the other end does not know the secret
  kRefused = 3,  // as `reason` says, which does not change
};

struct Welcome {
  Verdict verdict = Verdict::kTaken;
  int64_t rank = 0;  // who says so
  char reason[1000] = {};
};

// Puts `text` into a field, cut where it is too long.
void PutText(std::string_view text, absl::Span<char> field);

// The connecting end: OK where the other one has taken it, as rank `expected_rank`. FAILED_PRECONDITION: it was refused, with the reason. UNAVAILABLE: the other end is
// no rank of this job, or does not answer.
absl::Status Introduce(const Descriptor& socket, const std::string& secret, const Hello& hello,
                       int64_t expected_rank, Deadline deadline);

// The accepting end of one connection, which never waits.
class Introduction {
 public:
  Introduction(Descriptor socket, std::string secret);

  // Reads what has come. True: the Hello is there, and its proof is good. UNAVAILABLE: this is nobody of ours, and why.
  absl::StatusOr<bool> Advance();
  const Hello& hello() const { return hello_; }
  // Answers it.
  absl::Status Answer(Verdict verdict, int64_t rank, std::string_view reason);

  const Descriptor& socket() const { return socket_; }
  Descriptor Release() { return std::move(socket_); }
  Deadline deadline() const { return deadline_; }

 private:
  absl::StatusOr<bool> Fill(int64_t bytes);
  absl::Status Challenge();
  absl::Status CheckProof();

  Descriptor socket_;
  const std::string secret_;
  const Deadline deadline_;
  std::string received_;
  bool is_challenged_ = false;
  RandomNumber theirs_ = {}, ours_ = {};
  Hello hello_;
};

}  // namespace tunesmith::trainer
