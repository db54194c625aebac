#include "planner/answer/size_sentences.h"

#include <tuple>

#include "absl/strings/str_format.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith::planner {
namespace {

constexpr double kSecondsPerHour = 3600;

// Differences may be small.
std::string Money(double amount) {
  return amount < 1 ? absl::StrFormat("%.2g", amount) : absl::StrFormat("%.2f", amount);
}

std::string Percent(double share) { return absl::StrFormat("%.1f %%", 100 * share); }

// "16 x H100-SXM in 2 nodes".
std::string NameOf(const SizedDevices& sized) {
  const DeviceGroup& d = sized.devices;
  const std::string name = StrCat(d.device_count, " x ", d.hardware.name);
  return d.node_count > 1 ? StrCat(name, " in ", d.node_count, " nodes") : name;
}

class Sentences {
 public:
  Sentences(const SizeQuestion& asked, SizeAnswer& answer) : asked_(asked), answer_(answer) {}

  void Add() {
    for (SizedDevices& sized : answer_.tried) {
      if (sized.sentence.empty()) sized.sentence = SentenceOn(sized);
    }
    answer_.choice_rule = ChoiceRule();
    AddNotes();
  }

 private:
  const SizedDevices& At(int64_t index) const { return answer_.tried[static_cast<size_t>(index)]; }

  std::string TooLate(const SizedDevices& sized) const {
    const double seconds = DataSetSeconds(*sized.best);
    return StrCat("takes ", FormatSeconds(seconds), ", ",
                  FormatSeconds(seconds - asked_.finish_within_seconds), " too long");
  }

  static std::string DoesNotFit(const SizedDevices& sized) {
    if (!sized.best) return "does not fit";
    const MemoryPrediction& m = sized.best->memory;
    if (m.total_bytes <= m.budget_bytes) return "does not fit: the host's memory does not suffice";
    return StrCat("does not fit: ", FormatBytes(m.total_bytes - m.budget_bytes),
                  " more per device are needed");
  }

  std::string Lost(const SizedDevices& sized, const SizedDevices& chosen) const {
    if (Priced(asked_)) {
      const double more = sized.cost - chosen.cost;
      return StrCat("costs ", Money(more), " (", Percent(more / chosen.cost), ") more");
    }
    const int64_t more = sized.devices.device_count - chosen.devices.device_count;
    if (more > 0) return StrCat(more, more == 1 ? " device" : " devices", " more");
    return StrCat("as many devices, slower per step by ",
                  FormatSeconds(sized.best->time.step_seconds - chosen.best->time.step_seconds));
  }

  std::string SentenceOn(const SizedDevices& sized) const {
    switch (sized.verdict) {
      case SizeVerdict::kFinishes: {
        const SizedDevices& chosen = At(answer_.ranked.front());
        return &sized == &chosen ? "chosen" : Lost(sized, chosen);
      }
      case SizeVerdict::kTooLate:
        return TooLate(sized);
      case SizeVerdict::kDoesNotFit:
        return DoesNotFit(sized);
      case SizeVerdict::kNotPossible:
        break;
      case SizeVerdict::kNotTried:
        return "not tried: the search's deadline passed";
    }
    return "";
  }

  // "fit", "finish within 8 h 00 min"; of one: "fits", "finishes within 8 h 00 min".
  std::string Goal(bool of_one) const {
    const double within = asked_.finish_within_seconds;
    if (within == 0) return of_one ? "fits" : "fit";
    return StrCat(of_one ? "finishes" : "finish", " within ", FormatSeconds(within));
  }

  std::string ChoiceRule() const {
    if (answer_.ranked.empty()) return NothingFinishes();
    const std::string rule =
        StrCat(Priced(asked_) ? "least cost for the data set" : "fewest devices",
               " among the counts that ", Goal(/*of_one=*/false));
    if (answer_.ranked.size() == 1) return StrCat(rule, "; no other does");
    const SizedDevices& second = At(answer_.ranked[1]);
    return StrCat(rule, "; next: ", NameOf(second), ", ", second.sentence);
  }

  // Of those that fit the one that is late by least, else the one that misses by least memory.
  std::string NothingFinishes() const {
    const SizedDevices* nearest = nullptr;
    const auto distance = [](const SizedDevices& s) {
      const MemoryPrediction& m = s.best->memory;
      return std::tuple(s.verdict,
                        s.verdict == SizeVerdict::kTooLate ? DataSetSeconds(*s.best) : 0.0,
                        m.total_bytes - m.budget_bytes);
    };
    for (const SizedDevices& s : answer_.tried) {
      const bool known =
          s.verdict == SizeVerdict::kTooLate || s.verdict == SizeVerdict::kDoesNotFit;
      if (!known || !s.best) continue;
      if (nearest == nullptr || distance(s) < distance(*nearest)) nearest = &s;
    }
    if (nearest == nullptr) return "no count was searched before the deadline passed";
    return StrCat("no count that was tried ", Goal(/*of_one=*/true),
                  "; nearest: ", NameOf(*nearest), " ", nearest->sentence);
  }

  void AddNotes() {
    if (answer_.ranked.empty()) return;
    const SizedDevices& chosen = At(answer_.ranked.front());
    const double latest = DataSetSeconds(*chosen.best) * chosen.best->time.high_seconds /
                          chosen.best->time.step_seconds;
    if (asked_.finish_within_seconds > 0 && latest > asked_.finish_within_seconds)
      answer_.notes.push_back(StrCat("At the upper end of the 90 % interval the choice takes ",
                                     FormatSeconds(latest), ", longer than was allowed."));
    if (asked_.question.method == MethodChoice::kAny)
      answer_.notes.push_back(
          "Every count was given its quickest method; methods do not learn the same thing, so name "
          "the one you want.");
  }

  const SizeQuestion& asked_;
  SizeAnswer& answer_;
};

}  // namespace

double DataSetSeconds(const Prediction& prediction) {
  return prediction.time.total_hours * kSecondsPerHour;
}

void AddSentences(const SizeQuestion& asked, SizeAnswer& answer) { Sentences(asked, answer).Add(); }

}  // namespace tunesmith::planner
