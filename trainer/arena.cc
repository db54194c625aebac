#include "trainer/arena.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/units.h"
#include "trainer/comm/communicator.h"

namespace tunesmith::trainer {
namespace {

// A byte pattern that is neither zero, a small integer nor a common float.
constexpr uint8_t kCanaryByte = 0xC7;
constexpr uint64_t kCanaryWord = 0xC7C7C7C7C7C7C7C7u;

}  // namespace

absl::StatusOr<std::unique_ptr<Arena>> Arena::Create(const planner::Program& program,
                                                     const OpContext& context) {
  const int64_t ranks = context.comm == nullptr ? 1 : context.comm->size(),
                rank = context.comm == nullptr ? 0 : context.comm->rank(),
                planned = planner::RankCount(program.inputs.mix);
  if (planned != ranks && program.inputs.trains)
    return absl::FailedPreconditionError(
        absl::StrCat("the plan is for ", planned, " ranks (batch: micro x accumulation x ranks), ",
                     ranks, ranks == 1 ? " runs" : " run"));
  auto arena = std::unique_ptr<Arena>(new Arena(program, planner::PlanMemory(program), rank));
  TUNESMITH_ASSIGN_OR_RETURN(arena->memory_[0],
                             DeviceMemory::Allocate(context, arena->plan_.device_bytes()));
  TUNESMITH_ASSIGN_OR_RETURN(arena->memory_[1],
                             DeviceMemory::AllocateOnHost(context, arena->plan_.host_bytes()));
  return arena;
}

Tensor Arena::At(planner::BufferRef ref, int64_t run_index) const {
  const planner::Buffer& b = program_.buffers[static_cast<size_t>(ref.buffer)];
  return {.data = memory(b.space).data() + planner::OffsetOf(program_, plan_, ref, run_index) +
                  RankOffset(b),
          .dtype = b.dtype,
          .dims = b.dims,
          .rank = b.rank,
          .stride = b.row_stride};
}

absl::Status Arena::Write(int32_t buffer, int64_t instance, const void* host, int64_t bytes,
                          int64_t first) {
  TUNESMITH_RETURN_IF_ERROR(
      MemoryOf(buffer).CopyFromHost(Offset(buffer, instance) + first, host, bytes));
  return MemoryOf(buffer).Synchronize();
}

absl::Status Arena::Read(int32_t buffer, int64_t instance, void* host, int64_t bytes,
                         int64_t first) {
  TUNESMITH_RETURN_IF_ERROR(
      MemoryOf(buffer).CopyToHost(host, Offset(buffer, instance) + first, bytes));
  return MemoryOf(buffer).Synchronize();
}

absl::Status Arena::ClearResident() {
  for (size_t id = 0; id < program_.buffers.size(); ++id) {
    const planner::Buffer& b = program_.buffers[id];
    if (b.region != planner::Region::kResident) continue;
    for (int64_t offset : plan_.offsets[id])
      TUNESMITH_RETURN_IF_ERROR(memory(b.space).Fill(offset, planner::InstanceBytes(b), 0));
  }
  return memory().Synchronize();
}

absl::Status Arena::FillCanary() {
  for (const auto& memory : memory_)
    TUNESMITH_RETURN_IF_ERROR(memory->Fill(0, memory->size_bytes(), kCanaryByte));
  return memory().Synchronize();
}

absl::StatusOr<int64_t> Arena::CountUsedBytes(planner::Space space) {
  DeviceMemory& counted = memory(space);
  std::vector<uint64_t> words(static_cast<size_t>(4 * kMiB) / sizeof(uint64_t));
  int64_t used = 0;
  for (int64_t offset = 0; offset < counted.size_bytes();) {
    const int64_t bytes = std::min<int64_t>(counted.size_bytes() - offset, 4 * kMiB);
    TUNESMITH_RETURN_IF_ERROR(counted.CopyToHost(words.data(), offset, bytes));
    TUNESMITH_RETURN_IF_ERROR(counted.Synchronize());
    used += 8 * std::count_if(words.begin(), words.begin() + bytes / 8,
                              [](uint64_t word) { return word != kCanaryWord; });
    offset += bytes;
  }
  return used;
}

}  // namespace tunesmith::trainer
