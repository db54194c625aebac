#include "server/database_check.h"

#include <utility>

namespace tunesmith::server {

void DatabaseCheck::Start(const std::string& path, std::function<void(const absl::Status&)> done) {
  auto database = Database::Open(path, OpenMode::kReadWrite);
  if (!database.ok()) return done(database.status());
  database_ = std::make_unique<Database>(*std::move(database));
  thread_ = std::thread([this, done = std::move(done)] {
    const absl::Status status = database_->CheckIntegrity();
    if (absl::IsDataLoss(status)) {
      std::lock_guard lock(mutex_);
      problem_ = std::string(status.message());
    }
    done(status);
  });
}

void DatabaseCheck::Stop() {
  if (!thread_.joinable()) return;
  database_->Interrupt();
  thread_.join();
}

std::string DatabaseCheck::problem() const {
  std::lock_guard lock(mutex_);
  return problem_;
}

}  // namespace tunesmith::server
