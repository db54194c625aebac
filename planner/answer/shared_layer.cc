#include "planner/answer/shared_layer.h"

namespace tunesmith::planner {
namespace {

constexpr uint8_t Waits(Stream stream) {
  return static_cast<uint8_t>(1u << static_cast<int>(stream));
}

// Ops between ranks: on a stream of their own, waiting for compute, or among the others.
void IssueCollectives(BlockPrice& price, const Collectives& collectives,
                      std::initializer_list<int64_t> picoseconds) {
  for (int64_t time : picoseconds) {
    if (time == 0) continue;
    price.IssueCollective(collectives.overlap ? Stream::kCommunication : Stream::kCompute,
                          collectives.overlap ? Waits(Stream::kCompute) : uint8_t{0}, time);
  }
}

uint8_t ForCollectives(const Collectives& collectives, bool waits) {
  return waits && collectives.overlap ? Waits(Stream::kCommunication) : uint8_t{0};
}

}  // namespace

BlockPrice ForwardPrice(const LayerTimes& t, const std::optional<HostTimes>& host,
                        const Collectives& collectives, const LayerPlace& place) {
  BlockPrice price;
  price.Issue(Stream::kCompute, ForCollectives(collectives, collectives.gathers), t.forward_front);
  if (collectives.gathers) {
    const CollectiveTimes& next = place.last ? collectives.head : collectives.layer;
    IssueCollectives(price, collectives, {next.gathers[0], next.gathers[1]});
  }
  if (!host) {
    price.Issue(Stream::kCompute, 0, t.forward - t.forward_front);
    return price;
  }
  price.Issue(Stream::kCompute, 0, t.forward_before_output - t.forward_front);
  price.Issue(Stream::kCompute, host->copies.output_waits, t.forward_output);
  price.Issue(Stream::kCompute, 0, t.forward - t.forward_before_output - t.forward_output);
  price.Issue(host->copies.to_host.stream, host->copies.to_host.waits, host->to_host_picoseconds);
  return price;
}

BlockPrice BackwardPrice(const LayerTimes& t, const std::optional<HostTimes>& host,
                         const Collectives& collectives, const LayerPlace& place, bool later,
                         bool last) {
  // Gradients in a slot are overwritten in every micro-batch.
  const size_t i = later && !collectives.reduces_always ? 1 : 0;
  BlockPrice price;
  price.Issue(Stream::kCompute, host ? host->copies.input_waits : uint8_t{0}, t.backward_front[i]);
  if (place.gathers_below)
    IssueCollectives(price, collectives,
                     {collectives.layer.gathers[0], collectives.layer.gathers[1]});
  if (host && host->copies.fetch)
    price.Issue(host->copies.fetch->stream, host->copies.fetch->waits, host->fetch_picoseconds);
  price.Issue(Stream::kCompute, 0, t.backward[i] - t.backward_front[i] - t.backward_last[i]);
  price.Issue(Stream::kCompute, ForCollectives(collectives, collectives.reduces_always),
              t.backward_last[i]);
  if (last || collectives.reduces_always)
    IssueCollectives(price, collectives, {collectives.layer.reduction});
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
