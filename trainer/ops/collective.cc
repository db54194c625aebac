#include "trainer/ops/collective.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "common/units.h"
#include "trainer/comm/communicator.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/ops/checks.h"

namespace tunesmith::trainer {
namespace {

using planner::OpKind;

int64_t BytesOf(const Tensor& tensor) { return tensor.element_count() * SizeOf(tensor.dtype); }

// Elements [begin, begin + count) of a tensor that is as long as the call's units, or of one that has a value for each block of them.
Tensor Cut(const Tensor& tensor, bool per_block, int64_t begin, int64_t count) {
  constexpr int64_t kBlock = planner::kStateBlockSize;
  Tensor cut = tensor;
  cut.data = tensor.as<std::byte>() + (per_block ? begin / kBlock : begin) * SizeOf(tensor.dtype);
  cut.dims = {per_block ? CeilDivide(count, kBlock) : count, 1, 1};
  cut.rank = 1;
  return cut;
}

uint8_t Bit(planner::Stream stream) { return static_cast<uint8_t>(1u << static_cast<int>(stream)); }

absl::Status Exchange(Collectives& ranks, const OpCall& call) {
  const Tensor &from = call.inputs[0], &to = call.outputs[0];
  switch (call.kind) {
    case OpKind::kAllGather:
      return ranks.AllGather(from.data, to.data, BytesOf(from));
    case OpKind::kReduceScatter:
      return ranks.ReduceScatter(from.data, to.data, to.element_count(), to.dtype,
                                 call.attributes.accumulate);
    case OpKind::kAllReduce:
      return ranks.AllReduce(to.data, to.element_count(), to.dtype);
    case OpKind::kAllToAll:
      return ranks.AllToAll(from.data, to.data, BytesOf(from) / call.attributes.sequence_parallel,
                            call.attributes.sequence_parallel);
    default:
      return absl::InternalError("not a collective");
  }
}

// Whatever stream the op is on, ranks exchange on the one for communication: the op's waits for it, and it for the op's.
absl::Status ExchangeOnDevice(CudaContext& cuda, Collectives& ranks, const OpCall& call) {
  constexpr planner::Stream kRanks = planner::Stream::kCommunication;
  TUNESMITH_RETURN_IF_ERROR(cuda.Wait(kRanks, Bit(call.stream)));
  TUNESMITH_RETURN_IF_ERROR(Exchange(ranks, call));
  return cuda.Wait(call.stream, Bit(kRanks));
}

}  // namespace

OpCall CutToPart(const OpCall& call, const planner::BucketPart& part, int64_t begin,
                 int64_t count) {
  const planner::Parameter& p = call.program->parameters[static_cast<size_t>(part.parameter)];
  const planner::Buffer& weight = call.program->buffers[static_cast<size_t>(p.weight)];
  const int64_t of = call.inputs[0].element_count(), first = begin - call.first_unit;
  OpCall cut = call;
  cut.bucket = nullptr;
  cut.first_unit = begin - part.first;
  cut.attributes.decays = p.decays;
  cut.attributes.parameter_key = RandomKey(0, weight.name.Text());
  cut.inputs[0] = Cut(call.inputs[0], /*per_block=*/false, first, count);
  if (call.kind == OpKind::kSumSquares) return cut;
  for (size_t i = 0; i < static_cast<size_t>(call.output_count); ++i)
    cut.outputs[i] = Cut(call.outputs[i], call.outputs[i].element_count() != of, first, count);
  return cut;
}

absl::Status Collective(const OpContext& context, const OpCall& call) {
  const Dims dims = DimsOf(call.outputs[0]);
  if (call.kind == OpKind::kAllGather) {
    TUNESMITH_RETURN_IF_ERROR(CheckTensors(
        call.kind, {{"shard", call.inputs[0], DimsOf(call.inputs[0]), call.outputs[0].dtype},
                    {"whole", call.outputs[0], dims, call.inputs[0].dtype}}));
  } else {
    const bool exchanges = call.kind == OpKind::kAllToAll;
    TUNESMITH_RETURN_IF_ERROR(CheckTensors(
        call.kind,
        {{"x", call.inputs[0], exchanges ? dims : DimsOf(call.inputs[0]), kComputeDTypes},
         {exchanges ? "y" : "sum", call.outputs[0], dims, call.inputs[0].dtype}}));
  }
  const bool on_cpu = context.device == planner::BackendKind::kCpu;
  Collectives* const ranks = on_cpu ? context.comm : context.collectives;
  if (ranks == nullptr)
    return absl::FailedPreconditionError("the plan is for several ranks; one runs");
  return on_cpu ? Exchange(*ranks, call) : ExchangeOnDevice(*context.cuda, *ranks, call);
}

}  // namespace tunesmith::trainer
