#include "planner/program/check_program.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "planner/program/buckets.h"
#include "planner/program/collectives.h"

namespace tunesmith::planner {
namespace {

// Which instance of which buffer the bytes of the arena hold, as disjoint intervals.
class Ownership {
 public:
  void Claim(int64_t begin, int64_t end, int64_t owner) {
    Cut(begin);
    Cut(end);
    intervals_.erase(intervals_.lower_bound(begin), intervals_.lower_bound(end));
    intervals_[begin] = {end, owner};
  }

  bool Owns(int64_t begin, int64_t end, int64_t owner) const {
    auto it = intervals_.upper_bound(begin);
    if (it == intervals_.begin()) return false;
    --it;
    while (begin < end) {
      if (it == intervals_.end() || it->first > begin || it->second.end <= begin ||
          it->second.owner != owner)
        return false;
      begin = it->second.end;
      ++it;
    }
    return true;
  }

 private:
  struct Interval {
    int64_t end = 0;
    int64_t owner = 0;
  };

  // Makes `at` an interval boundary.
  void Cut(int64_t at) {
    auto it = intervals_.upper_bound(at);
    if (it == intervals_.begin()) return;
    --it;
    if (it->first == at || it->second.end <= at) return;
    intervals_[at] = it->second;
    it->second.end = at;
  }

  std::map<int64_t, Interval> intervals_;
};

class Checker {
 public:
  Checker(const Program& program, const MemoryPlan& plan) : program_(program), plan_(plan) {}

  absl::Status Check() {
    for (const Segment& segment : program_.segments) {
      ClaimWhatExists(segment);
      for (const BlockRun& run : segment.runs) TUNESMITH_RETURN_IF_ERROR(CheckRun(segment, run));
    }
    return absl::OkStatus();
  }

 private:
  const Buffer& buffer(int32_t id) const { return program_.buffers[static_cast<size_t>(id)]; }

  // Resident buffers hold their contents from the start; the caches of generation are filled row by row.
  void ClaimWhatExists(const Segment& segment) {
    for (size_t id = 0; id < program_.buffers.size(); ++id) {
      const Buffer& b = program_.buffers[id];
      const bool cache = b.region == Region::kCarried && segment.kind == SegmentKind::kGenerate &&
                         (b.segments >> static_cast<int>(segment.kind) & 1u) != 0;
      if (b.region != Region::kResident && !cache) continue;
      for (int64_t i = 0; i < b.instance_count; ++i) {
        const int64_t begin = plan_.offsets[id][static_cast<size_t>(i)];
        owner_[static_cast<size_t>(b.space)].Claim(begin, begin + InstanceBytes(b),
                                                   OwnerId(static_cast<int32_t>(id), i));
      }
    }
  }

  static int64_t OwnerId(int32_t id, int64_t position) { return int64_t{id} << 32 | position; }

  // Views own as the buffer they are a part of.
  int64_t OwnerOf(BufferRef ref, int64_t run_index) const {
    const Buffer& b = buffer(ref.buffer);
    if (b.region != Region::kView)
      return OwnerId(ref.buffer, InstanceOf(b, ref, run_index) - b.first_instance);
    // A stride tells the parts of one instance apart; without one, views have their buffer's instances.
    if (b.view_stride_bytes > 0) return OwnerId(b.view_of, 0);
    const Buffer& whole = buffer(b.view_of);
    return OwnerId(b.view_of, InstanceOf(whole, ref, run_index) - whole.first_instance);
  }

  absl::Status CheckRun(const Segment& segment, const BlockRun& run) {
    const Block& block = program_.blocks[static_cast<size_t>(run.block)];
    for (int64_t i = 0; i < run.count; ++i) {
      for (const Op& op : block.ops) {
        if (!Runs(op, segment.kind, program_.inputs.mix.accumulation_count)) continue;
        if (absl::Status status = CheckOp(op, run.first + i * run.step, segment.kind);
            !status.ok()) {
          return absl::InternalError(
              absl::StrCat(std::string(SegmentKindName(segment.kind)), ", block ",
                           std::string(block.name), ", run ", run.first + i * run.step, ", op ",
                           std::string(OpKindName(op.kind)), ": ", status.message()));
        }
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckOp(const Op& op, int64_t run_index, SegmentKind kind) {
    for (int i = 0; i < op.input_count; ++i) {
      const BufferRef ref = op.inputs[static_cast<size_t>(i)];
      const Bucket* bucket = WholeGradients(ref);
      TUNESMITH_RETURN_IF_ERROR(bucket != nullptr ? CheckReadOfBucket(*bucket, ref, run_index)
                                                  : CheckRead(ref, run_index));
    }
    for (int i = 0; i < op.output_count; ++i) {
      const BufferRef ref = op.outputs[static_cast<size_t>(i)];
      if (Accumulates(op, kind)) TUNESMITH_RETURN_IF_ERROR(CheckRead(ref, run_index));
      const int64_t begin = OffsetOf(program_, plan_, ref, run_index),
                    end = begin + SpanBytes(buffer(ref.buffer));
      if (begin < 0 || end > plan_.arena_bytes[static_cast<size_t>(buffer(ref.buffer).space)])
        return absl::InternalError(
            absl::StrCat("output ", buffer(ref.buffer).name.Text(), " lies outside the arena"));
      OwnerIn(ref).Claim(begin, end, OwnerOf(ref, run_index));
    }
    return absl::OkStatus();
  }

  // The bucket whose gradients `ref` are, as ops of the backward may have left them; null where they are none's.
  const Bucket* WholeGradients(BufferRef ref) const {
    for (const Bucket& bucket : program_.buckets) {
      if (!bucket.trainable) continue;
      if (ref.buffer == bucket.gradients) return &bucket;
      if (!HasRanks(program_.inputs) && IsPartOfShard(bucket, ref)) return &bucket;
    }
    return nullptr;
  }

  static bool IsPartOfShard(const Bucket& bucket, BufferRef ref) {
    if (ref.buffer == bucket.gradient_shard) return true;
    return std::any_of(bucket.updates.begin(), bucket.updates.end(),
                       [ref](const BucketUpdate& update) {
                         return ref.buffer == update.device_gradients ||
                                (update.space == Space::kDevice && ref.buffer == update.gradients);
                       });
  }

  // Nothing is written between the parts of a bucket's gradients, and nothing that is read there matters.
  absl::Status CheckReadOfBucket(const Bucket& bucket, BufferRef ref, int64_t run_index) {
    for (const BucketPart& part : bucket.parts) {
      const Parameter& p = program_.parameters[static_cast<size_t>(part.parameter)];
      TUNESMITH_RETURN_IF_ERROR(CheckRead({p.gradient, ref.shift}, run_index));
    }
    return absl::OkStatus();
  }

  absl::Status CheckRead(BufferRef ref, int64_t run_index) {
    const int64_t begin = OffsetOf(program_, plan_, ref, run_index),
                  end = begin + SpanBytes(buffer(ref.buffer));
    if (OwnerIn(ref).Owns(begin, end, OwnerOf(ref, run_index))) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("reads ", buffer(ref.buffer).name.Text(), " (instance ",
                                            InstanceOf(buffer(ref.buffer), ref, run_index),
                                            "), whose bytes were not written or were overwritten"));
  }

  const Program& program_;
  const MemoryPlan& plan_;
  Ownership& OwnerIn(BufferRef ref) {
    return owner_[static_cast<size_t>(buffer(ref.buffer).space)];
  }

  std::array<Ownership, kSpaceCount> owner_;  // by space
};

}  // namespace

absl::Status CheckProgram(const Program& program, const MemoryPlan& plan) {
  return Checker(program, plan).Check();
}

}  // namespace tunesmith::planner
