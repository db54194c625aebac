#include "trainer/comm/communicator.h"

#include "common/str_cat.h"

namespace tunesmith::trainer {

absl::Status Communicator::CheckRoot(int64_t root) const {
  if (root >= 0 && root < size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("broadcast from rank ", root, ": there are ranks 0 to ", size() - 1));
}

absl::Status Collectives::CheckGroup(int64_t group_size) const {
  if (group_size > 0 && size_ % group_size == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("groups of ", group_size, " ranks: ranks(", size_, ") % ", group_size, " != 0"));
}

absl::Status Communicator::AbortedBy(int64_t rank, std::string_view reason) {
  return absl::AbortedError(StrCat("rank ", rank, " failed: ", reason));
}

}  // namespace tunesmith::trainer
