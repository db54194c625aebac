#include "planner/answer/shared_layer.h"

namespace tunesmith::planner {
namespace {

void Issue(BlockPrice& price, const std::vector<Transfer>& transfers, bool later, bool last) {
  for (const Transfer& t : transfers) {
    if (t.last_micro_only && !last) continue;
    const int64_t picoseconds = later ? t.later_picoseconds : t.first_picoseconds;
    if (t.between_ranks) {
      price.IssueCollective(t.stream, t.waits, picoseconds);
    } else {
      price.Issue(t.stream, t.waits, picoseconds);
    }
  }
}

}  // namespace

BlockPrice ForwardPrice(const LayerTimes& t, const std::optional<HostTimes>& host,
                        const Collectives& collectives, const LayerPlace& place) {
  BlockPrice price;
  if (place.gathers_itself) Issue(price, collectives.layer.gathers, false, false);
  price.Issue(Stream::kCompute, collectives.gathers ? collectives.weight_waits : uint8_t{0},
              t.forward_front);
  if (collectives.gathers && !place.gathers_itself)
    Issue(price, place.last ? collectives.head.gathers : collectives.layer.gathers, false, false);
  if (!host) {
    price.Issue(Stream::kCompute, 0, t.forward - t.forward_front);
    price.CountAsCommunication(t.forward_exchange);
    return price;
  }
  price.Issue(Stream::kCompute, 0, t.forward_before_output - t.forward_front);
  price.Issue(Stream::kCompute, host->copies.output_waits, t.forward_output);
  price.Issue(Stream::kCompute, 0, t.forward - t.forward_before_output - t.forward_output);
  price.Issue(host->copies.to_host.stream, host->copies.to_host.waits, host->to_host_picoseconds);
  price.CountAsCommunication(t.forward_exchange);
  return price;
}

BlockPrice BackwardPrice(const LayerTimes& t, const std::optional<HostTimes>& host,
                         const Collectives& collectives, const LayerPlace& place, bool later,
                         bool last) {
  // Gradients in a slot are overwritten in every micro-batch.
  const size_t i = later && !collectives.writes_slots ? 1 : 0;
  BlockPrice price;
  uint8_t front_waits = host ? host->copies.input_waits : uint8_t{0};
  if (place.gathers_itself && !place.last) {
    Issue(price, collectives.layer.gathers, later, last);
    front_waits |= collectives.weight_waits;
  }
  price.Issue(Stream::kCompute, front_waits, t.backward_front[i]);
  if (place.gathers_below) Issue(price, collectives.layer.gathers, later, last);
  if (host && host->copies.fetch)
    price.Issue(host->copies.fetch->stream, host->copies.fetch->waits, host->fetch_picoseconds);
  price.Issue(Stream::kCompute, 0, t.backward[i] - t.backward_front[i] - t.backward_last[i]);
  price.Issue(Stream::kCompute, collectives.backward_waits, t.backward_last[i]);
  Issue(price, collectives.layer.reductions, later, last);
  price.CountAsCommunication(t.backward_exchange);
  return price;
}

StreamTimes RepeatedBlock::Apply(StreamTimes free, int64_t count) const {
  for (size_t power = 0; count > 0; ++power, count >>= 1) {
    if ((count & 1) != 0) free = powers_[power].streams.Apply(free);
  }
  return free;
}

void RepeatedBlock::Grow(int64_t count) {
  for (int64_t reach = int64_t{1} << powers_.size(); reach <= count; reach *= 2) {
    BlockPrice twice;
    twice.Then(powers_.back(), 1);
    twice.Then(powers_.back(), 1);
    powers_.push_back(twice);
  }
}

}  // namespace tunesmith::planner
