#include "client/watch_view.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/pictures.h"
#include "client/show.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "proto/convert/json.h"

namespace tunesmith::client {
namespace {

constexpr int kBarWidth = 24;
constexpr int kSparklineWidth = 20;
constexpr absl::Duration kPlainInterval = absl::Seconds(10);  // between progress lines of a log

std::atomic<bool> interrupt_seen{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

// While it lives, SIGINT sets a flag instead of ending the process.
class InterruptScope {
 public:
  InterruptScope() {
    interrupt_seen = false;
    struct sigaction action = {};
    action.sa_handler = [](int) { interrupt_seen = true; };
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptScope() { sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_ = {};
};

class View {
 public:
  explicit View(FollowStyle style) : style_(style), terminal_(isatty(STDERR_FILENO) == 1) {}
  ~View() { ClearBar(); }

  void Show(const v1::WatchJobResponse& update) {
    if (style_ == FollowStyle::kQuiet) return;
    const bool json_lines = style_ == FollowStyle::kJsonLines;
    if (json_lines)
      std::printf("%s\n", convert::ToJson(update, convert::JsonLayout::kOneLine).c_str());
    if (json_lines) std::fflush(stdout);
    if (!update.has_event()) return;
    if (update.event().has_progress()) return ShowProgress(update.event().progress());
    const std::string text = EventText(update.event());
    if (text.empty()) return;
    ClearBar();
    std::fprintf(stderr, "%s\n", text.c_str());
  }

 private:
  void ShowProgress(const v1::Progress& progress) {
    if (terminal_) {
      losses_.push_back(progress.loss());
      std::fprintf(stderr, "\r%s  %s\x1b[K", ProgressBar(progress).c_str(),
                   Sparkline(losses_, kSparklineWidth).c_str());
      bar_shown_ = true;
      return;
    }
    const bool last = progress.step() == progress.step_count();
    if (!last && absl::Now() - last_plain_ < kPlainInterval) return;
    last_plain_ = absl::Now();
    std::fprintf(stderr, "%s\n", ProgressBar(progress).c_str());
  }

  void ClearBar() {
    if (bar_shown_) std::fprintf(stderr, "\n");
    bar_shown_ = false;
  }

  const FollowStyle style_;
  const bool terminal_;
  bool bar_shown_ = false;
  std::vector<double> losses_;  // of every step that was seen
  absl::Time last_plain_ = absl::InfinitePast();
};

}  // namespace

std::string ProgressBar(const v1::Progress& progress) {
  const double share = progress.step_count() > 0 ? static_cast<double>(progress.step()) /
                                                       static_cast<double>(progress.step_count())
                                                 : 0;
  const int filled = std::clamp(static_cast<int>(std::lround(share * kBarWidth)), 0, kBarWidth);
  std::string bar(static_cast<size_t>(filled), '=');
  if (filled < kBarWidth) bar += '>';
  bar.resize(kBarWidth, ' ');
  return StrCat("[", bar, "] ", progress.step(), "/", progress.step_count(), "  loss ",
                absl::StrFormat("%.4f", progress.loss()), "  ",
                absl::StrFormat("%.0f", progress.tokens_per_second()), " tokens/s",
                progress.seconds_left() > 0
                    ? StrCat("  ", FormatSeconds(progress.seconds_left()), " left")
                    : "");
}

std::string EventText(const v1::Event& event) {
  switch (event.kind_case()) {
    case v1::Event::kStateChanged: {
      const v1::StateChanged& changed = event.state_changed();
      return StrCat(StateName(changed.state()), changed.reason().empty() ? "" : ": ",
                    changed.reason(),
                    changed.has_expected_start_time()
                        ? StrCat("; expected to start ", When(changed.expected_start_time()))
                        : "");
    }
    case v1::Event::kEvaluation:
      return StrCat("held-out loss at step ", event.evaluation().step(), ": ",
                    absl::StrFormat("%.4f", event.evaluation().mean_loss()));
    case v1::Event::kCheckpointSaved:
      return StrCat("checkpoint at step ", event.checkpoint_saved().step());
    case v1::Event::kLog:
      return event.log().text();
    case v1::Event::kSample:
      return StrCat("sample at step ", event.sample().step(), ": ", event.sample().prompt(), " -> ",
                    event.sample().text());
    default:
      return "";
  }
}

absl::StatusOr<v1::Job> FollowJob(JobClient& jobs, const std::string& name, int64_t after_sequence,
                                  FollowStyle style, absl::Duration patience) {
  const InterruptScope scope;
  const absl::Time deadline = absl::Now() + patience;
  absl::StatusOr<v1::Job> job;
  {
    View view(style);
    job = jobs.Watch(
        name, after_sequence, [&](const v1::WatchJobResponse& update) { view.Show(update); },
        [&] { return interrupt_seen.load() || absl::Now() >= deadline; });
  }
  if (!absl::IsCancelled(job.status())) return job;
  if (!interrupt_seen)
    return absl::DeadlineExceededError(StrCat(name, " has not ended after ",
                                              FormatSeconds(absl::ToDoubleSeconds(patience)),
                                              "; it goes on"));
  std::fprintf(stderr, "detached; %s goes on. Come back with: tunesmith jobs watch %s\n",
               name.c_str(), name.c_str());
  return job;
}

}  // namespace tunesmith::client
