#include "planner/answer/mix_family.h"

#include <algorithm>

#include "common/status_macros.h"

namespace tunesmith::planner {
namespace {

constexpr size_t kHost = static_cast<size_t>(Rung::kHost);

size_t Index(Rung rung) { return static_cast<size_t>(rung); }

bool SamePrice(const BlockPrice& a, const BlockPrice& b) {
  return a.compute_picoseconds == b.compute_picoseconds &&
         a.copy_picoseconds == b.copy_picoseconds && a.streams == b.streams;
}

bool SameSummary(const LayerSummary& a, const LayerSummary& b) {
  return a.saved_bytes == b.saved_bytes && a.forward_local_bytes == b.forward_local_bytes &&
         a.backward_local_bytes == b.backward_local_bytes && SamePrice(a.forward, b.forward) &&
         SamePrice(a.backward_first, b.backward_first) &&
         SamePrice(a.backward_later, b.backward_later);
}

}  // namespace

std::shared_ptr<LayerSummaries> SummaryCache::Layers(const ProgramInputs& inputs) {
  const Mix& m = inputs.mix;
  auto& layers =
      layers_[{m.method, m.attention, m.micro_batch, m.sequence_parallel, m.mlp_tile_count}];
  if (layers == nullptr) layers = std::make_shared<LayerSummaries>(inputs, prices_);
  return layers;
}

absl::StatusOr<std::shared_ptr<const StepSummary>> SummaryCache::Step(const ProgramInputs& inputs) {
  const Mix& m = inputs.mix;
  auto& step =
      steps_[{m.method, m.loss, m.micro_batch, m.sequence_parallel, m.accumulation_count > 1,
              m.zero_stage, m.offload, m.offload_percent, m.gather_depth}];
  if (step == nullptr) {
    TUNESMITH_ASSIGN_OR_RETURN(StepSummary summary, SummarizeStep(inputs, prices_));
    step = std::make_shared<const StepSummary>(summary);
  }
  return step;
}

absl::StatusOr<MixFamily> MixFamily::Create(const ProgramInputs& inputs, const PriceTable& prices,
                                            SummaryCache& cache) {
  MixFamily family;
  TUNESMITH_ASSIGN_OR_RETURN(family.step_, cache.Step(inputs));
  family.prices_ = &prices;
  family.source_ = cache.Layers(inputs);
  family.layer_count_ = inputs.model.layer_count;
  family.micro_batch_count_ = inputs.mix.accumulation_count;
  family.copies_overlap_ = CopiesOverlap(inputs.backend);
  family.evaluate_bytes_ = inputs.workload.evaluates ? -1 : 0;
  family.fixed_picoseconds_ = family.WithoutLayersPicoseconds();
  return family;
}

int64_t MixFamily::LeastStepPicoseconds() {
  // Layer 0 may have no use for the gradient of its input: its forward pass is sure.
  const LayerSummary& keep = source_->OutlineAt(Rung::kKeep, /*first=*/false);
  int64_t layers = micro_batch_count_ * keep.forward.compute_picoseconds;
  if (layer_count_ > 1)
    layers += LayerPicoseconds(keep, /*special=*/true) +
              (layer_count_ - 2) * LayerPicoseconds(keep, /*special=*/false);
  return StepPicoseconds(FixedPicoseconds() + layers);
}

std::array<int64_t, 3> MixFamily::MicroCounts() const {
  return {1, std::max<int64_t>(micro_batch_count_ - 2, 0), several() ? 1 : 0};
}

void MixFamily::Outline(Rung rung) {
  if (outlined_[Index(rung)]) return;
  outlined_[Index(rung)] = true;
  if (rung == Rung::kHost) {
    host_only_ = source_->OutlineOnHost(/*first=*/true, /*last=*/true);
    host_last_ = source_->OutlineOnHost(/*first=*/false, /*last=*/true);
    first_layer_[kHost] = source_->OutlineOnHost(/*first=*/true, /*last=*/false);
    layer_[kHost] = source_->OutlineOnHost(/*first=*/false, /*last=*/false);
  } else {
    first_layer_[Index(rung)] = source_->OutlineAt(rung, /*first=*/true);
    layer_[Index(rung)] = source_->OutlineAt(rung, /*first=*/false);
  }
  rung_picoseconds_[Index(rung)] = LayerPicoseconds(layer_[Index(rung)], /*special=*/false);
}

void MixFamily::Prepare(Rung rung) {
  if (evaluate_bytes_ < 0)
    evaluate_bytes_ = step_->evaluate_base_bytes +
                      std::max(step_->evaluate_local_bytes, source_->EvaluateLocalBytes());
  Outline(rung);
  if (collectives().any) PrepareShared(rung);
  if (rung == Rung::kHost) return PrepareHost();
  first_layer_[Index(rung)] = source_->At(rung, /*first=*/true);
  layer_[Index(rung)] = source_->At(rung, /*first=*/false);
}

// host_ranges_[n] is first x inner^(n - 2) x last, built up by one inner layer at a time.
void MixFamily::PrepareHost() {
  if (!host_ranges_.empty()) return;
  host_only_ = source_->OnHost(/*first=*/true, /*last=*/true);
  host_last_ = source_->OnHost(/*first=*/false, /*last=*/true);
  first_layer_[kHost] = source_->OnHost(/*first=*/true, /*last=*/false);
  layer_[kHost] = source_->OnHost(/*first=*/false, /*last=*/false);
  const auto copies = [this](const LayerSummary& s) {
    return micro_batch_count_ * s.forward.copy_picoseconds + s.backward_first.copy_picoseconds +
           (micro_batch_count_ - 1) * s.backward_later.copy_picoseconds;
  };
  const auto range_of = [&](const LayerSummary& s) {
    return HostRange{.forward = s.forward.streams,
                     .backward_first = s.backward_first.streams,
                     .backward_later = s.backward_later.streams,
                     .compute_picoseconds = s.ComputePicoseconds(micro_batch_count_),
                     .copy_picoseconds = copies(s)};
  };
  const auto below = [](const HostRange& lower, const HostRange& upper) {
    HostRange both{.forward = lower.forward,
                   .backward_first = upper.backward_first,
                   .backward_later = upper.backward_later,
                   .compute_picoseconds = lower.compute_picoseconds + upper.compute_picoseconds,
                   .copy_picoseconds = lower.copy_picoseconds + upper.copy_picoseconds};
    both.forward.Then(upper.forward);
    both.backward_first.Then(lower.backward_first);
    both.backward_later.Then(lower.backward_later);
    return both;
  };
  host_ranges_ = {HostRange{}, range_of(host_only_)};
  const HostRange inner = range_of(layer_[kHost]), last = range_of(host_last_);
  HostRange lower = range_of(first_layer_[kHost]);
  for (int64_t count = 2; count <= layer_count_; ++count) {
    host_ranges_.push_back(below(lower, last));
    lower = below(lower, inner);
  }
}

int64_t MixFamily::StackBaseBytes(int64_t host) const {
  return step_->stack_base_bytes + std::min(host, kHostSlotCount) * step_->block_input_bytes;
}

void MixFamily::AddLayers(const LayerSummary& s, int64_t count, GivenLayers& given) const {
  if (count == 0) return;
  const StepSummary& f = *step_;
  const int64_t base = StackBaseBytes(given.host_count), first = given.count;
  // Gradients live before the first layer's backward, and how many more each layer adds.
  const int64_t standing = several() ? f.gradient_bytes : 0;
  const int64_t born = layer_gradient_bytes();
  for (int64_t at : {first, first + count - 1}) {
    const int64_t below = base + given.frame_bytes + (at - first + 1) * s.saved_bytes +
                          (at - given.host_count + 1) * f.block_input_bytes;
    given.arena_bytes = std::max(
        {given.arena_bytes, below + f.block_input_bytes + s.forward_local_bytes + standing,
         below + s.backward_local_bytes + gradients_before_layers() + (layer_count_ - at) * born});
  }
  given.count += count;
  given.frame_bytes += count * s.saved_bytes;
  given.forward_picoseconds += count * s.forward.compute_picoseconds;
  given.backward_first_picoseconds += count * s.backward_first.compute_picoseconds;
  given.backward_later_picoseconds += count * s.backward_later.compute_picoseconds;
}

// Layers on the host rung leave nothing on the stack; the last of them writes its output there.
void MixFamily::AddHostInstants(int64_t host, GivenLayers& given) const {
  const StepSummary& f = *step_;
  const int64_t base = StackBaseBytes(host);
  const int64_t standing = several() ? f.gradient_bytes : 0;
  const int64_t born = layer_gradient_bytes();
  const auto add = [&](const LayerSummary& s, int64_t at) {
    const int64_t output = at == host - 1 ? f.block_input_bytes : 0;
    given.arena_bytes = std::max(
        {given.arena_bytes, base + output + s.forward_local_bytes + standing,
         base + s.backward_local_bytes + gradients_before_layers() + (layer_count_ - at) * born});
  };
  if (host == 1) return add(host_only_, 0);
  add(first_layer_[kHost], 0);
  add(host_last_, host - 1);
  if (host > 2) add(layer_[kHost], 1);
}

void MixFamily::Give(Rung rung, int64_t count, GivenLayers& given) const {
  if (count == 0) return;
  if (rung == Rung::kHost) {
    given.count = given.host_count = count;
    return AddHostInstants(count, given);
  }
  const int64_t first = given.count == 0 ? 1 : 0;
  AddLayers(first_layer_[Index(rung)], first, given);
  AddLayers(layer_[Index(rung)], count - first, given);
}

ComposedMix MixFamily::Compose(const RecomputeCounts& recompute) const {
  GivenLayers given;
  for (size_t rung = kRungCount; rung-- > 0;) Give(static_cast<Rung>(rung), recompute[rung], given);
  return Compose(recompute, given);
}

ComposedMix MixFamily::Compose(const RecomputeCounts& recompute, const GivenLayers& layers) const {
  const StepSummary& f = *step_;
  const int64_t host = layers.host_count, several_standing = several() ? f.gradient_bytes : 0;
  const int64_t base = StackBaseBytes(host);
  // All that the layers save, without the last one's output.
  const int64_t stack = base + layers.frame_bytes + (layer_count_ - host) * f.block_input_bytes;
  const int64_t arena = std::max(
      {layers.arena_bytes, FloorBytes(),
       base + (host > 0 ? 0 : f.block_input_bytes) + f.embed_local_bytes + several_standing,
       base + f.embed_backward_local_bytes + f.gradient_bytes,
       stack + f.block_input_bytes + f.norm_local_bytes + several_standing,
       stack + f.loss_input_bytes + f.loss_local_bytes +
           (several() ? f.gradient_bytes : f.head_gradient_bytes),
       stack + f.loss_input_bytes + f.norm_local_bytes + gradients_before_layers()});
  return {
      .arena_bytes = arena,
      .host_bytes = f.host_bytes + host * f.block_input_bytes,
      .price = ComposeStep(collectives().any ? SharedWorkOf(recompute) : WorkOf(layers), *prices_)};
}

StepWork MixFamily::WorkOf(const GivenLayers& layers) const {
  const StepSummary& f = *step_;
  const int64_t host = layers.host_count;
  const int64_t later_count = micro_batch_count_ - 1;
  StepWork work;
  work.compute_picoseconds = FixedPicoseconds() + micro_batch_count_ * layers.forward_picoseconds +
                             layers.backward_first_picoseconds +
                             later_count * layers.backward_later_picoseconds;
  work.span_picoseconds = work.compute_picoseconds;
  if (host == 0) return work;
  const HostRange& range = host_ranges_[static_cast<size_t>(host)];
  work.compute_picoseconds += range.compute_picoseconds;
  work.copy_picoseconds = range.copy_picoseconds;
  work.span_picoseconds = work.compute_picoseconds;
  if (!copies_overlap_) return work;
  const auto micro = [&](const StepSummary::Micro& m, const StreamMap& backward,
                         int64_t backward_picoseconds) {
    StreamMap map = StreamMap::Identity();
    map.Issue(Stream::kCompute, 1u << static_cast<int>(Stream::kDeviceToHost),
              m.embed.compute_picoseconds);
    map.Then(range.forward);
    map.Compute(layers.forward_picoseconds + m.loss.compute_picoseconds + backward_picoseconds);
    map.Then(backward);
    map.Compute(m.embed_backward.compute_picoseconds);
    return map;
  };
  StreamTimes free =
      micro(f.micros[0], range.backward_first, layers.backward_first_picoseconds).Apply({});
  if (later_count > 0) {
    const StreamMap later =
        micro(f.micros[2], range.backward_later, layers.backward_later_picoseconds);
    if (later_count <= kWalkedMicroCount) {
      for (int64_t i = 0; i < later_count; ++i) free = later.Apply(free);
    } else {
      free = later.Power(later_count).Apply(free);
    }
  }
  free[static_cast<size_t>(Stream::kCompute)] += f.optimizer.compute_picoseconds;
  work.span_picoseconds = *std::max_element(free.begin(), free.end());
  return work;
}

int64_t MixFamily::StackBytes(Rung rung) const {
  return rung == Rung::kHost ? 0 : layer_[Index(rung)].saved_bytes + step_->block_input_bytes;
}

int64_t MixFamily::StackDiscountBytes(Rung rung) const {
  if (rung == Rung::kHost) return 0;
  return std::min<int64_t>(0,
                           first_layer_[Index(rung)].saved_bytes - layer_[Index(rung)].saved_bytes);
}

int64_t MixFamily::ComputeDiscountPicoseconds(Rung rung) const {
  const auto discount = [&](const LayerSummary& s) {
    return std::min<int64_t>(0, LayerPicoseconds(s, /*special=*/true) - ComputePicoseconds(rung));
  };
  const int64_t first = discount(first_layer_[Index(rung)]), last = discount(layer_[Index(rung)]);
  if (rung != Rung::kHost) return first + last;
  return std::min(first + discount(host_last_), discount(host_only_)) + last;
}

int64_t MixFamily::LossBaseBytes() const {
  return step_->stack_base_bytes + step_->loss_input_bytes + step_->loss_local_bytes +
         (several() ? step_->gradient_bytes : step_->head_gradient_bytes);
}

int64_t MixFamily::LeastBackwardBytes(Rung rung) const {
  int64_t local = std::min(first_layer_[Index(rung)].backward_local_bytes,
                           layer_[Index(rung)].backward_local_bytes);
  if (rung == Rung::kHost)
    local = std::min({local, host_last_.backward_local_bytes, host_only_.backward_local_bytes});
  return step_->stack_base_bytes + local + gradients_before_layers() + layer_gradient_bytes();
}

int64_t MixFamily::FloorBytes() const {
  const StepSummary& f = *step_;
  return std::max({f.optimizer_bytes, evaluate_bytes_, f.generate_bytes, f.save_bytes,
                   f.stack_base_bytes + f.embed_backward_local_bytes + f.gradient_bytes});
}

int64_t MixFamily::WithoutLayersPicoseconds() const {
  int64_t picoseconds = step_->optimizer.compute_picoseconds + WaitingPicoseconds();
  const std::array<int64_t, 3> counts = MicroCounts();
  for (size_t i = 0; i < counts.size(); ++i)
    picoseconds += counts[i] * step_->micros[i].ComputePicoseconds();
  return picoseconds;
}

int64_t MixFamily::StepPicoseconds(int64_t span_picoseconds) const {
  StepWork work;
  work.span_picoseconds = span_picoseconds;
  return ComposeStep(work, *prices_).step_picoseconds;
}

bool MixFamily::SameRung(Rung a, Rung b) const {
  return SameSummary(first_layer_[Index(a)], first_layer_[Index(b)]) &&
         SameSummary(layer_[Index(a)], layer_[Index(b)]);
}

}  // namespace tunesmith::planner
