#include "trainer/comm/rank_handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

using Clock = std::chrono::steady_clock;

// Raised with every change of what ranks say to each other by TCP.
constexpr char kMagic[9] = "TSRANK01";
constexpr int64_t kMagicBytes = 8;
constexpr int64_t kOpeningBytes = kMagicBytes + kNumberBytes;
// How long a stranger may keep a connection.
constexpr std::chrono::seconds kPatience{10};

static_assert(std::is_trivially_copyable_v<Hello> && std::is_trivially_copyable_v<Welcome>);

template <typename T>
std::string BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

absl::StatusOr<RandomNumber> Draw() {
  RandomNumber number;
  if (getrandom(number.data(), number.size(), 0) == kNumberBytes) return number;
  return absl::ErrnoToStatus(errno, "the kernel gives no random bytes");
}

// `side` keeps what one end says from being sent back to it.
Mac MacOf(const std::string& secret, std::string_view side, const RandomNumber& first,
          const RandomNumber& second, const std::string& said) {
  const std::string text = StrCat(side, BytesOf(first), BytesOf(second), said);
  Mac mac = {};
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(), &size);
  return mac;
}

constexpr std::string_view kConnecting = "connecting", kAccepting = "accepting";

absl::Status NoRank(std::string_view why) {
  return absl::UnavailableError(StrCat("what listens there is no rank of this job: ", why));
}

}  // namespace

void PutText(std::string_view text, absl::Span<char> field) {
  std::memcpy(field.data(), text.data(), std::min(text.size(), field.size() - 1));
}

absl::Status Introduce(const Descriptor& socket, const std::string& secret, const Hello& hello,
                       int64_t expected_rank, Deadline deadline) {
  TUNESMITH_ASSIGN_OR_RETURN(const RandomNumber ours, Draw());
  const std::string opening = StrCat(kMagic, BytesOf(ours));
  TUNESMITH_RETURN_IF_ERROR(SendAll(socket, opening.data(), kOpeningBytes, deadline));
  std::array<char, kOpeningBytes> answer = {};
  TUNESMITH_RETURN_IF_ERROR(ReceiveAll(socket, answer.data(), kOpeningBytes, deadline));
  if (std::memcmp(answer.data(), kMagic, kMagicBytes) != 0)
    return NoRank("it speaks otherwise, or is of another version of the trainer");
  RandomNumber theirs;
  std::memcpy(theirs.data(), answer.data() + kMagicBytes, theirs.size());
  const Mac proof = MacOf(secret, kConnecting, ours, theirs, BytesOf(hello));
  const std::string said = BytesOf(hello) + BytesOf(proof);
  TUNESMITH_RETURN_IF_ERROR(
      SendAll(socket, said.data(), static_cast<int64_t>(said.size()), deadline));
  Welcome welcome;
  Mac mac = {};
  TUNESMITH_RETURN_IF_ERROR(ReceiveAll(socket, &welcome, sizeof welcome, deadline));
  TUNESMITH_RETURN_IF_ERROR(ReceiveAll(socket, mac.data(), kMacBytes, deadline));
  const Mac expected = MacOf(secret, kAccepting, theirs, ours, BytesOf(welcome));
  if (CRYPTO_memcmp(mac.data(), expected.data(), mac.size()) != 0)
    return NoRank("it has another secret; ranks of one job share one run directory");
  welcome.reason[sizeof welcome.reason - 1] = '\0';
  if (welcome.verdict == Verdict::kRefused) return absl::FailedPreconditionError(welcome.reason);
  if (welcome.verdict == Verdict::kTaken && welcome.rank == expected_rank) return absl::OkStatus();
  return NoRank(StrCat("it is rank ", welcome.rank, ", and rank ", expected_rank, " was to be"));
}

Introduction::Introduction(Descriptor socket, std::string secret)
    : socket_(std::move(socket)), secret_(std::move(secret)), deadline_(Clock::now() + kPatience) {}

absl::StatusOr<bool> Introduction::Fill(int64_t bytes) {
  const auto wanted = static_cast<size_t>(bytes);
  char buffer[1024];
  while (received_.size() < wanted) {
    const ssize_t got =
        recv(socket_.get(), buffer, std::min(sizeof buffer, wanted - received_.size()), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) return absl::UnavailableError("closed its connection");
    received_.append(buffer, static_cast<size_t>(got));
  }
  return true;
}

absl::Status Introduction::Challenge() {
  if (received_.compare(0, kMagicBytes, kMagic) != 0)
    return absl::UnavailableError("speaks otherwise");
  std::memcpy(theirs_.data(), received_.data() + kMagicBytes, theirs_.size());
  TUNESMITH_ASSIGN_OR_RETURN(ours_, Draw());
  const std::string opening = StrCat(kMagic, BytesOf(ours_));
  received_.clear();
  is_challenged_ = true;
  // A buffer that is empty takes so little at once.
  return SendAll(socket_, opening.data(), kOpeningBytes, Clock::now());
}

absl::StatusOr<bool> Introduction::Advance() {
  if (!is_challenged_) {
    TUNESMITH_ASSIGN_OR_RETURN(const bool has_come, Fill(kOpeningBytes));
    if (!has_come) return false;
    TUNESMITH_RETURN_IF_ERROR(Challenge());
  }
  TUNESMITH_ASSIGN_OR_RETURN(const bool has_come, Fill(sizeof(Hello) + kMacBytes));
  if (!has_come) return false;
  TUNESMITH_RETURN_IF_ERROR(CheckProof());
  return true;
}

absl::Status Introduction::CheckProof() {
  std::memcpy(&hello_, received_.data(), sizeof hello_);
  const Mac expected = MacOf(secret_, kConnecting, theirs_, ours_, BytesOf(hello_));
  if (CRYPTO_memcmp(received_.data() + sizeof hello_, expected.data(), expected.size()) != 0) {
    (void)Answer(Verdict::kNoProof, 0, "");
    return absl::UnavailableError("does not know the job's secret");
  }
  hello_.facts[sizeof hello_.facts - 1] = '\0';
  return absl::OkStatus();
}

absl::Status Introduction::Answer(Verdict verdict, int64_t rank, std::string_view reason) {
  Welcome welcome{.verdict = verdict, .rank = rank};
  PutText(reason, welcome.reason);
  const Mac proof = MacOf(secret_, kAccepting, ours_, theirs_, BytesOf(welcome));
  const std::string said = BytesOf(welcome) + BytesOf(proof);
  return SendAll(socket_, said.data(), static_cast<int64_t>(said.size()), Clock::now());
}

}  // namespace tunesmith::trainer
