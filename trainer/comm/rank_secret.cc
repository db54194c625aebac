#include "trainer/comm/rank_secret.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/descriptor.h"
#include "common/private_file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kSecretBytes = 32;
constexpr std::chrono::milliseconds kBetweenLooks{50};

absl::StatusOr<std::string> RandomHex() {
  std::array<char, kSecretBytes> bytes = {};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return absl::ErrnoToStatus(errno, "the kernel gives no random bytes");
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

// Complete and readable by its owner alone from the moment at which it is there; a file that is there stays.
absl::Status MakeSecret(const std::string& path) {
  if (access(path.c_str(), F_OK) == 0) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(const std::string secret, RandomHex());
  const std::string draft = StrCat(path, ".", getpid());
  unlink(draft.c_str());  // of a process that had this number and was killed
  const Descriptor file(open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return absl::ErrnoToStatus(errno, StrCat("cannot create ", draft));
  const bool written =
      write(file.get(), secret.data(), secret.size()) == static_cast<ssize_t>(secret.size()) &&
      fsync(file.get()) == 0 && link(draft.c_str(), path.c_str()) == 0;
  const int error = errno;
  unlink(draft.c_str());
  if (written || error == EEXIST) return absl::OkStatus();
  return absl::ErrnoToStatus(error, StrCat("cannot create ", path));
}

absl::StatusOr<std::string> ReadSecret(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadPrivateFile(path));
  const auto hex = absl::StripAsciiWhitespace(text);
  bool good = hex.size() == 2 * kSecretBytes;
  for (const char c : hex) good = good && absl::ascii_isxdigit(static_cast<unsigned char>(c));
  if (good) return std::string(hex);
  return absl::InvalidArgumentError(
      StrCat(path, " holds no secret of ranks, 64 hexadecimal digits; remove it"));
}

}  // namespace

absl::StatusOr<std::string> ShareRankSecret(const std::string& path, int64_t rank,
                                            std::chrono::milliseconds limit) {
  if (rank == 0) TUNESMITH_RETURN_IF_ERROR(MakeSecret(path));
  const Clock::time_point end = Clock::now() + limit;
  while (access(path.c_str(), F_OK) != 0 && Clock::now() < end)
    std::this_thread::sleep_for(kBetweenLooks);
  absl::StatusOr<std::string> secret = ReadSecret(path);
  if (!absl::IsNotFound(secret.status())) return secret;
  return absl::DeadlineExceededError(
      StrCat("rank ", rank, " has waited ", std::chrono::duration<double>(limit).count(), " s for ",
             path, ", which rank 0 makes: it has not been started, or sees another run directory"));
}

}  // namespace tunesmith::trainer
