#include "server/launch/sight_news.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

constexpr absl::Duration kSoon = absl::Milliseconds(500);

}  // namespace

absl::Duration SightNews::Soon() const { return std::min(kSoon, poll_interval_); }

absl::Duration SightNews::ListAge(const std::string& name, const Sight& sight) {
  const absl::Time now = absl::Now();
  const std::string text = StrCat(sight.claimed, sight.has_handle, sight.exit.has_value(), " ",
                                  sight.shim.attempt(), " ", sight.shim.trainer_pid());
  News& news = news_.try_emplace(name, News{.text = text, .first_seen = now}).first->second;
  if (news.text != text) news = {.text = text, .first_seen = now};
  return std::clamp(now - news.first_seen, Soon(), poll_interval_);
}

}  // namespace tunesmith::server
