#include "planner/answer/size.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/status_macros.h"
#include "planner/answer/candidates.h"
#include "planner/answer/check_question.h"
#include "planner/answer/size_sentences.h"

namespace tunesmith::planner {
namespace {

class Sizer {
 public:
  explicit Sizer(const SizeQuestion& asked) : asked_(asked) {}

  absl::StatusOr<SizeAnswer> Make() {
    for (size_t i = 0; i < asked_.kinds.size(); ++i)
      TUNESMITH_RETURN_IF_ERROR(TryKind(static_cast<int64_t>(i)));
    if (!possible_) return first_problem_;
    Rank();
    AddSentences(asked_, answer_);
    return std::move(answer_);
  }

 private:
  const DeviceKind& KindOf(const SizedDevices& sized) const {
    return asked_.kinds[static_cast<size_t>(sized.kind_index)];
  }

  absl::Status TryKind(int64_t index) {
    const DeviceKind& kind = asked_.kinds[static_cast<size_t>(index)];
    int64_t most = MostDeviceCount(asked_.question, asked_.most_device_count);
    if (kind.device_limit > 0) most = std::min(most, kind.device_limit);
    for (const int64_t count :
         DeviceCounts(kind.hardware, kind.devices_per_node, std::max<int64_t>(most, 1))) {
      const DeviceGroup devices =
          GroupOf(kind.hardware, count, kind.devices_per_node, kind.network_bytes_per_second);
      SizedDevices sized{.kind_index = index, .devices = devices};
      const absl::Status status = TryCount(QuestionFor(asked_, index, devices), sized);
      if (!status.ok() && !absl::IsInvalidArgument(status)) return status;
      // More devices than rows are a matter of course only where they can share rows.
      if (!status.ok() && count > asked_.question.workload.rows_per_step) continue;
      if (status.ok()) {
        possible_ = true;
      } else {
        first_problem_.Update(status);
        sized.verdict = SizeVerdict::kNotPossible;
        sized.sentence = std::string(status.message());
      }
      answer_.tried.push_back(std::move(sized));
    }
    return absl::OkStatus();
  }

  // INVALID_ARGUMENT: the count contradicts the question.
  absl::Status TryCount(const Question& question, SizedDevices& sized) {
    if (answer_.deadline_reached) return ValidateQuestion(question);
    TUNESMITH_ASSIGN_OR_RETURN(SearchResult result, Recommend(question));
    answer_.deadline_reached |= result.deadline_reached;
    if (result.ranked.empty()) {
      if (!result.deadline_reached) sized.verdict = SizeVerdict::kDoesNotFit;
      sized.best = std::move(result.nearest);
    } else {
      sized.best = std::move(result.ranked.front());
      SetAmounts(sized);
    }
    for (std::string& note : result.notes) AddNote(std::move(note));
    return absl::OkStatus();
  }

  // Counts share most of what is to be noted.
  void AddNote(std::string note) {
    const auto known = std::find(answer_.notes.begin(), answer_.notes.end(), note);
    if (known == answer_.notes.end()) answer_.notes.push_back(std::move(note));
  }

  void SetAmounts(SizedDevices& sized) {
    const double within = asked_.finish_within_seconds;
    const bool late = within > 0 && DataSetSeconds(*sized.best) > within;
    sized.verdict = late ? SizeVerdict::kTooLate : SizeVerdict::kFinishes;
    sized.device_hours = DeviceHours(*sized.best, sized.devices);
    sized.cost = sized.device_hours * KindOf(sized).price_per_device_hour;
  }

  const SizedDevices& At(int64_t index) const { return answer_.tried[static_cast<size_t>(index)]; }

  static auto ByCount(const SizedDevices& sized) {
    return std::tuple(sized.devices.device_count, sized.best->time.step_picoseconds);
  }

  void Rank() {
    for (size_t i = 0; i < answer_.tried.size(); ++i) {
      if (answer_.tried[i].verdict == SizeVerdict::kFinishes)
        answer_.ranked.push_back(static_cast<int64_t>(i));
    }
    if (answer_.ranked.empty()) return;
    const auto fewer = [this](int64_t a, int64_t b) { return ByCount(At(a)) < ByCount(At(b)); };
    std::stable_sort(answer_.ranked.begin(), answer_.ranked.end(), fewer);
    answer_.fewest = answer_.ranked.front();
    if (!Priced(asked_)) return;
    std::stable_sort(answer_.ranked.begin(), answer_.ranked.end(),
                     [this](int64_t a, int64_t b) { return At(a).cost < At(b).cost; });
  }

  const SizeQuestion& asked_;
  SizeAnswer answer_;
  bool possible_ = false;  // some count does not contradict the question
  absl::Status first_problem_;
};

}  // namespace

absl::StatusOr<SizeAnswer> ChooseDevices(const SizeQuestion& asked) {
  TUNESMITH_RETURN_IF_ERROR(ValidateSizeQuestion(asked));
  return Sizer(asked).Make();
}

}  // namespace tunesmith::planner
