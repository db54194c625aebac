#include "planner/program/micro_timeline.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "planner/program/memory_plan.h"
#include "planner/program/packed_block.h"

namespace tunesmith::planner {
namespace {

int64_t StepCount(const Segment& segment) {
  int64_t count = 0;
  for (const BlockRun& run : segment.runs) count += run.count;
  return count;
}

bool Tracked(const Buffer& b, Region region) {
  return b.region == region && b.space == Space::kDevice;
}

// The saved activations and gradients that a block touches, each once; of views the buffers that they lie in.
std::vector<BufferRef> RefsOf(const Program& program, const Block& block) {
  std::vector<BufferRef> refs;
  ForEachRef(block, [&](size_t, BufferRef ref) {
    ref.buffer = BaseOf(program, ref.buffer);
    const Buffer& b = program.buffers[static_cast<size_t>(ref.buffer)];
    if (Tracked(b, Region::kSaved) || Tracked(b, Region::kGradient)) refs.push_back(ref);
  });
  std::sort(refs.begin(), refs.end(), [](BufferRef a, BufferRef b) {
    return std::pair(a.buffer, a.shift) < std::pair(b.buffer, b.shift);
  });
  refs.erase(std::unique(refs.begin(), refs.end()), refs.end());
  return refs;
}

// Lays the items out one on top of the other; returns the height.
int64_t Stack(std::vector<MicroTimeline::Item>& items) {
  int64_t top = 0;
  for (MicroTimeline::Item& item : items) {
    item.start_bytes = top;
    top += item.bytes;
  }
  return top;
}

}  // namespace

MicroTimeline::MicroTimeline(const Program& program, const Segment& micro, bool gradients_stay)
    : instants_(static_cast<size_t>(StepCount(micro))) {
  FillItems(program, micro);
  Stack(saved_);
  gradient_bytes_ = Stack(gradients_);
  FillStackTops();
  FillClasses(program);
  FillGradients(gradients_stay);
}

void MicroTimeline::FillItems(const Program& program, const Segment& micro) {
  std::vector<Item> items;
  std::vector<size_t> first_item(program.buffers.size());
  for (size_t id = 0; id < program.buffers.size(); ++id) {
    const Buffer& b = program.buffers[id];
    first_item[id] = items.size();
    if (!Tracked(b, Region::kSaved) && !Tracked(b, Region::kGradient)) continue;
    const int64_t bytes = AlignedInstanceBytes(b);
    for (int64_t i = 0; i < b.instance_count; ++i)
      items.push_back({.buffer = static_cast<int32_t>(id), .position = i, .bytes = bytes});
  }
  int64_t step = 0;
  for (const BlockRun& run : micro.runs) {
    for (const BufferRef& ref : RefsOf(program, program.blocks[static_cast<size_t>(run.block)])) {
      const Buffer& b = program.buffers[static_cast<size_t>(ref.buffer)];
      Item* first = &items[first_item[static_cast<size_t>(ref.buffer)]];
      for (int64_t i = 0; i < run.count; ++i) {
        Item& item = first[InstanceOf(b, ref, run.first + i * run.step) - b.first_instance];
        item.first = item.first < 0 ? step + i : std::min(item.first, step + i);
        item.last = std::max(item.last, step + i);
      }
    }
    step += run.count;
  }
  // By birth: how many are born before each step, then each to its place.
  std::vector<size_t> place(instants_.size() + 1, 0);
  for (const Item& item : items) {
    if (item.first >= 0) ++place[static_cast<size_t>(item.first) + 1];
  }
  std::partial_sum(place.begin(), place.end(), place.begin());
  std::vector<const Item*> by_birth(place.back());
  for (const Item& item : items) {
    if (item.first >= 0) by_birth[place[static_cast<size_t>(item.first)]++] = &item;
  }
  for (auto born = by_birth.begin(); born != by_birth.end();) {
    const int64_t first = (*born)->first;
    const auto next = std::find_if(born, by_birth.end(),
                                   [first](const Item* item) { return item->first != first; });
    std::stable_sort(born, next, [](const Item* a, const Item* b) { return a->last > b->last; });
    born = next;
  }
  for (const Item* item : by_birth) {
    const Buffer& b = program.buffers[static_cast<size_t>(item->buffer)];
    (b.region == Region::kSaved ? saved_ : gradients_).push_back(*item);
  }
}

// From the highest item down, each gives its end to those of its steps that have none yet; `next` leads past the steps that have one.
void MicroTimeline::FillStackTops() {
  std::vector<size_t> next(instants_.size() + 1);
  std::iota(next.begin(), next.end(), size_t{0});
  const auto find = [&](size_t step) {
    while (next[step] != step) step = next[step] = next[next[step]];
    return step;
  };
  for (auto item = saved_.rbegin(); item != saved_.rend(); ++item) {
    for (size_t step = find(static_cast<size_t>(item->first));
         step <= static_cast<size_t>(item->last); step = find(step)) {
      instants_[step].stack_top_bytes = item->start_bytes + item->bytes;
      next[step] = step + 1;
    }
  }
}

void MicroTimeline::FillClasses(const Program& program) {
  std::vector<std::array<int64_t, kMemoryClassCount>> change(instants_.size() + 1);
  for (const Item& item : saved_) {
    const auto memory_class =
        static_cast<size_t>(program.buffers[static_cast<size_t>(item.buffer)].memory_class);
    change[static_cast<size_t>(item.first)][memory_class] += item.bytes;
    change[static_cast<size_t>(item.last) + 1][memory_class] -= item.bytes;
  }
  std::array<int64_t, kMemoryClassCount> live = {};
  for (size_t step = 0; step < instants_.size(); ++step) {
    for (size_t c = 0; c < live.size(); ++c) live[c] += change[step][c];
    instants_[step].class_bytes = live;
  }
}

void MicroTimeline::FillGradients(bool gradients_stay) {
  std::vector<int64_t> born(instants_.size() + 1, 0);
  for (const Item& item : gradients_)
    born[gradients_stay ? 0 : static_cast<size_t>(item.first)] += item.bytes;
  int64_t live = 0;
  for (size_t step = 0; step < instants_.size(); ++step)
    instants_[step].gradient_bytes = live += born[step];
}

}  // namespace tunesmith::planner
