#include "server/sparing.h"

#include <utility>

#include "absl/time/clock.h"

namespace tunesmith::server {
namespace {

constexpr int64_t kMostPerSecond = 10;

}  // namespace

bool Sparing::Admit() {
  const absl::Time second = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  std::lock_guard lock(mutex_);
  if (second != std::exchange(second_, second)) count_ = 0;
  if (++count_ <= kMostPerSecond) return true;
  ++left_out_count_;
  return false;
}

int64_t Sparing::TakeLeftOut() {
  std::lock_guard lock(mutex_);
  return std::exchange(left_out_count_, 0);
}

}  // namespace tunesmith::server
