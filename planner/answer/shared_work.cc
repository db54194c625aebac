#include <algorithm>

#include "planner/answer/mix_family.h"

// The time of a step where ranks share parameters: collectives and compute overlap, so that layers compose by their stream maps.
namespace tunesmith::planner {
namespace {

constexpr size_t kKindCount = 8 * static_cast<size_t>(kRungCount);

}  // namespace

size_t MixFamily::IndexOf(const LayerKind& kind) {
  return 8 * static_cast<size_t>(kind.rung) + (kind.first ? 1 : 0) + (kind.last ? 2 : 0) +
         (kind.last_on_host ? 4 : 0);
}

void MixFamily::PrepareShared(Rung rung) {
  shared_layers_.resize(kKindCount);
  for (bool first : {false, true}) {
    const LayerTimes times = source_->TimesAt(rung, first);
    for (bool last : {false, true}) {
      for (bool last_on_host : {false, true}) {
        if (last_on_host && rung != Rung::kHost) continue;
        const LayerKind kind{
            .rung = rung, .first = first, .last = last, .last_on_host = last_on_host};
        std::optional<SharedLayer>& layer = shared_layers_[IndexOf(kind)];
        if (layer) continue;
        layer = MakeShared(kind, times);
        if (first || last || last_on_host) continue;
        layer->forward.Grow(layer_count_);
        for (RepeatedBlock& backward : layer->backward) backward.Grow(layer_count_);
      }
    }
  }
}

SharedLayer MixFamily::MakeShared(const LayerKind& kind, const LayerTimes& times) const {
  const Collectives& c = collectives();
  std::optional<HostTimes> host;
  if (kind.rung == Rung::kHost) host = source_->HostTimesOf(kind.first, kind.last_on_host);
  LayerPlace place;
  if (c.gathers) place = PlaceInSlots(kind.first, kind.last, c.gathers_late);
  SharedLayer layer{.forward = RepeatedBlock(ForwardPrice(times, host, c, place))};
  for (size_t i = 0; i < layer.backward.size(); ++i) {
    const bool last = i == 2 || (i == 0 && !several());
    layer.backward[i] = RepeatedBlock(BackwardPrice(times, host, c, place, i > 0, last));
  }
  return layer;
}

std::vector<MixFamily::LayerRange> MixFamily::RangesOf(const RecomputeCounts& recompute) const {
  std::vector<LayerRange> ranges;
  const int64_t host = recompute[static_cast<size_t>(Rung::kHost)];
  const auto add = [&](const LayerKind& kind, int64_t count) {
    if (count > 0) ranges.push_back({&*shared_layers_[IndexOf(kind)], count});
  };
  int64_t layer = 0;
  for (size_t r = kRungCount; r-- > 0;) {
    const int64_t end = layer + recompute[r];
    while (layer < end) {
      const LayerKind kind{
          .rung = static_cast<Rung>(r),
          .first = layer == 0,
          .last = layer == layer_count_ - 1,
          .last_on_host = r == static_cast<size_t>(Rung::kHost) && layer == host - 1};
      const bool alone = kind.first || kind.last || kind.last_on_host;
      // The last layer of a range may differ from the others.
      const bool tail = end == layer_count_ || end == host;
      const int64_t count = alone ? 1 : end - layer - (tail ? 1 : 0);
      add(kind, count);
      layer += count;
    }
  }
  return ranges;
}

StreamTimes MixFamily::AfterMicro(size_t micro, const std::vector<LayerRange>& ranges,
                                  StreamTimes free) const {
  const StepSummary::Micro& m = step_->micros[micro];
  free = m.embed.streams.Apply(free);
  for (const LayerRange& range : ranges) free = range.layer->forward.Apply(free, range.count);
  free = m.loss.streams.Apply(free);
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range)
    free = range->layer->backward[micro].Apply(free, range->count);
  return m.embed_backward.streams.Apply(free);
}

StreamMap MixFamily::MicroMap(size_t micro, const std::vector<LayerRange>& ranges) const {
  const StepSummary::Micro& m = step_->micros[micro];
  StreamMap map = m.embed.streams;
  for (const LayerRange& range : ranges) map.Then(range.layer->forward.Power(range.count));
  map.Then(m.loss.streams);
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range)
    map.Then(range->layer->backward[micro].Power(range->count));
  map.Then(m.embed_backward.streams);
  return map;
}

StepWork MixFamily::SharedWorkOf(const RecomputeCounts& recompute) const {
  const std::vector<LayerRange> ranges = RangesOf(recompute);
  StepWork work;
  StreamTimes free = {};
  const std::array<int64_t, 3> counts = MicroCounts();
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const StepSummary::Micro& m = step_->micros[i];
    for (const BlockPrice* price : {&m.embed, &m.loss, &m.embed_backward})
      work.Add(*price, counts[i]);
    for (const LayerRange& range : ranges) {
      work.Add(range.layer->forward.once(), counts[i] * range.count);
      work.Add(range.layer->backward[i].once(), counts[i] * range.count);
    }
    if (counts[i] > kWalkedMicroCount) {
      free = MicroMap(i, ranges).Power(counts[i]).Apply(free);
    } else {
      for (int64_t n = 0; n < counts[i]; ++n) free = AfterMicro(i, ranges, free);
    }
  }
  work.Add(step_->optimizer);
  free = step_->optimizer.streams.Apply(free);
  work.span_picoseconds = *std::max_element(free.begin(), free.end());
  return work;
}

namespace {

// What moves in every micro-batch on the streams that compute waits for: the busy time of the one that is busy longest.
int64_t LongestBusy(std::initializer_list<const std::vector<Transfer>*> lists, uint8_t streams) {
  std::array<int64_t, kStreamCount> busy = {};
  for (const std::vector<Transfer>* list : lists) {
    for (const Transfer& t : *list) {
      if (!t.last_micro_only)
        busy[static_cast<size_t>(t.stream)] += std::min(t.first_picoseconds, t.later_picoseconds);
    }
  }
  int64_t longest = 0;
  for (size_t stream = 0; stream < busy.size(); ++stream) {
    if ((streams >> stream & 1u) != 0) longest = std::max(longest, busy[stream]);
  }
  return longest;
}

// A chain: each op waits for the one before.
int64_t Sum(const std::vector<Transfer>& transfers, bool last) {
  int64_t sum = 0;
  for (const Transfer& t : transfers) {
    if (!t.last_micro_only || last) sum += std::min(t.first_picoseconds, t.later_picoseconds);
  }
  return sum;
}

}  // namespace

// Its compute, or what its first op waits for (forward), or its last (backward). What is gathered late is waited for on top: neither begins before the other has ended.
int64_t MixFamily::LayerPicoseconds(const LayerSummary& s, bool special) const {
  const Collectives& c = collectives();
  if (!c.any) return s.ComputePicoseconds(micro_batch_count_);
  const bool waits = c.overlap && !special;
  const int64_t above = waits ? LongestBusy({&c.layer.gathers}, c.weight_waits) : 0,
                below = waits
                            ? LongestBusy({&c.layer.gathers, &c.layer.reductions}, c.backward_waits)
                            : 0;
  const int64_t later =
      c.writes_slots ? s.backward_first.compute_picoseconds : s.backward_later.compute_picoseconds;
  const int64_t late = c.gathers_late ? above : 0;
  return micro_batch_count_ * std::max(s.forward.compute_picoseconds + late, above) +
         std::max(s.backward_first.compute_picoseconds + late, below) +
         (micro_batch_count_ - 1) * std::max(later + late, below);
}

// What compute is sure to wait for: the first gathers of a micro-batch, which wait for the one before; the last sums of a step (of a micro-batch, where there are
// some in each); and what the optimizer segment takes beyond its own compute. Without streams of their own, all that is not compute.
int64_t MixFamily::WaitingPicoseconds() const {
  const Collectives& c = collectives();
  if (!c.any) return 0;
  if (c.overlap) {
    const std::vector<Transfer>& last =
        c.embedding.reductions.empty() ? c.layer.reductions : c.embedding.reductions;
    const int64_t first =
        c.gathers_late ? LongestBusy({&c.embedding.gathers}, c.weight_waits)
                       : LongestBusy({&c.embedding.gathers, &c.layer.gathers}, c.weight_waits);
    return micro_batch_count_ * first + (micro_batch_count_ - 1) * Sum(last, false) +
           Sum(last, true) + step_->optimizer.streams.LongestDelay(Stream::kCompute) -
           step_->optimizer.compute_picoseconds;
  }
  int64_t picoseconds = step_->optimizer.communication_picoseconds;
  const std::array<int64_t, 3> counts = MicroCounts();
  for (size_t i = 0; i < counts.size(); ++i) {
    const StepSummary::Micro& m = step_->micros[i];
    picoseconds +=
        counts[i] * (m.embed.communication_picoseconds + m.loss.communication_picoseconds +
                     m.embed_backward.communication_picoseconds);
  }
  // Forward gathers the layer above, and from the last layer the head; backward the layer below, but for the last two. Gathered late, every layer gathers itself, but for
  // the last one's backward, and the head is gathered where it is used.
  const int64_t layer = Sum(c.layer.gathers, false);
  const int64_t gathers = c.gathers_late ? (2 * layer_count_ - 1) * layer
                                         : (layer_count_ - 1) * layer + Sum(c.head.gathers, false) +
                                               std::max<int64_t>(layer_count_ - 2, 0) * layer;
  return picoseconds + micro_batch_count_ * gathers +
         layer_count_ * ((micro_batch_count_ - 1) * Sum(c.layer.reductions, false) +
                         Sum(c.layer.reductions, true));
}

}  // namespace tunesmith::planner
