#include "server/security/tls_watch.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "absl/time/time.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

constexpr std::chrono::seconds kLookInterval(1);

absl::Status WriteCopy(int descriptor, const std::string& contents) {
  const auto size = static_cast<off_t>(contents.size());
  const bool good = pwrite(descriptor, contents.data(), contents.size(), 0) == size &&
                    ftruncate(descriptor, size) == 0;
  return good ? absl::OkStatus()
              : absl::ResourceExhaustedError("there is no memory for the TLS files");
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsWatch>> TlsWatch::Start(
    const TlsOptions& options, std::function<void(const std::string& line)> log) {
  std::unique_ptr<TlsWatch> watch(new TlsWatch(options, std::move(log)));
  watch->copies_.revocation_directory = options.revocation_directory;
  TUNESMITH_RETURN_IF_ERROR(
      watch->AddCopy(options.certificate_path, watch->copies_.certificate_path));
  TUNESMITH_RETURN_IF_ERROR(watch->AddCopy(options.key_path, watch->copies_.key_path));
  TUNESMITH_RETURN_IF_ERROR(
      watch->AddCopy(options.client_authority_path, watch->copies_.client_authority_path));
  TUNESMITH_RETURN_IF_ERROR(watch->TakeUp());
  watch->thread_ = std::thread([raw = watch.get()] { raw->Loop(); });
  return watch;
}

TlsWatch::~TlsWatch() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const Copy& file : files_) close(file.descriptor);
}

absl::Status TlsWatch::AddCopy(const std::string& path, std::string& copy_path) {
  if (path.empty()) return absl::OkStatus();
  const int descriptor = memfd_create("tunesmith-tls", MFD_CLOEXEC);
  if (descriptor < 0)
    return absl::ResourceExhaustedError("the system has no memory for the TLS files");
  files_.push_back({.path = path, .descriptor = descriptor});
  copy_path = StrCat("/proc/self/fd/", descriptor);
  return absl::OkStatus();
}

absl::Status TlsWatch::TakeUp() {
  version_ = Version();
  TUNESMITH_RETURN_IF_ERROR(CheckTls(options_));
  std::vector<std::string> contents;
  for (const Copy& file : files_) {
    TUNESMITH_ASSIGN_OR_RETURN(contents.emplace_back(), ReadFile(file.path));
  }
  if (Version() != version_)
    return absl::UnavailableError("the TLS files were changed while they were read");
  for (size_t i = 0; i < files_.size(); ++i)
    TUNESMITH_RETURN_IF_ERROR(WriteCopy(files_[i].descriptor, contents[i]));
  return absl::OkStatus();
}

std::string TlsWatch::Version() const {
  std::string version;
  for (const Copy& file : files_) {
    struct stat info = {};
    (void)stat(file.path.c_str(), &info);
    version += StrCat(info.st_ino, " ", info.st_size, " ", info.st_mode, " ",
                      absl::ToUnixNanos(absl::TimeFromTimespec(info.st_mtim)), "\n");
  }
  return version;
}

// A refusal is told once.
void TlsWatch::Look() {
  if (refusal_.ok() && Version() == version_) return;
  const absl::Status status = TakeUp();
  if (status.ok()) log_("new TLS files were taken up");
  if (!status.ok() && status != refusal_) log_(StrCat("TLS stays as it was: ", status.message()));
  refusal_ = status;
}

void TlsWatch::Loop() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kLookInterval, [this] { return stopping_; })) Look();
}

}  // namespace tunesmith::server
