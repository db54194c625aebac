#include "runtimes/versions.h"

#include <vector>

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace tunesmith::runtimes {
namespace {

// 1000 x major + minor.
absl::StatusOr<int64_t> Number(std::string_view package, std::string_view text) {
  const std::vector<std::string_view> parts = StrSplit(text, ".");
  int64_t major = 0, minor = 0;
  if (parts.size() < 2 || !ParseInt64(parts[0], &major) || !ParseInt64(parts[1], &minor) ||
      major < 0 || minor < 0 || minor > 999) {
    return absl::InvalidArgumentError(
        StrCat("'", text, "' is not a version of ", package, " such as 4.46.1"));
  }
  return 1000 * major + minor;
}

void Flag(std::string_view package, std::string_view version, std::string_view known,
          VersionChoice& choice) {
  choice.known = false;
  choice.note += StrCat(choice.note.empty() ? "" : "; ", package, " ", version,
                        " is outside the known range (", known,
                        "): the nearest known is taken, and intervals are wider");
}

void ReadTransformers(std::string_view text, int64_t number, VersionChoice& choice) {
  choice.version = number < 4045 ? StackVersion::kTransformers444 : StackVersion::kTransformers448;
  if (number < 4037 || number > 4048) Flag("transformers", text, "4.37 to 4.48", choice);
}

void ReadTorch(std::string_view text, int64_t number, VersionChoice& choice) {
  // 2.13 and later give gradients the place of what was read; see block.cc.
  if (number >= 2013) choice.version = StackVersion::kTorch213;
  const bool known = (number >= 2001 && number <= 2006) || number == 2013;
  if (!known) Flag("torch", text, "2.1 to 2.6, 2.13", choice);
}

}  // namespace

absl::StatusOr<VersionChoice> ChooseVersion(std::string_view transformers, std::string_view torch) {
  VersionChoice choice;
  if (!transformers.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t number, Number("transformers", transformers));
    ReadTransformers(transformers, number, choice);
  }
  if (!torch.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t number, Number("torch", torch));
    ReadTorch(torch, number, choice);
  }
  return choice;
}

}  // namespace tunesmith::runtimes
