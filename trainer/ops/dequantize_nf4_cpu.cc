#include "trainer/ops/dequantize_nf4_cpu.h"

#include <algorithm>

#include "common/units.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/nf4.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::kNf4BlockSize;

float MagnitudeOf(const DequantizeNf4Args& args, int64_t block) {
  if (args.absmax.dtype == DType::kF32) return args.absmax.as<float>()[block];
  return kSignedMap.values[args.absmax.as<uint8_t>()[block]] *
             args.absmax_scale.as<float>()[block / planner::kNf4ScaleBlockSize] +
         args.absmax_offset.as<float>()[0];
}

// `count` elements, an even number.
template <typename S>
void DequantizeBlock(const uint8_t* codes, float magnitude, int64_t count, S* y) {
  float values[16];
  for (int i = 0; i < 16; ++i) values[i] = kNf4Values[i] * magnitude;
  for (int64_t i = 0; i < count; i += 2, ++codes) {
    y[i] = values[*codes >> 4];
    y[i + 1] = values[*codes & 15];
  }
}

}  // namespace

absl::Status DequantizeNf4(ThreadPool& threads, const DequantizeNf4Args& args) {
  const int64_t count = args.y.element_count();
  return VisitStorage(planner::OpKind::kDequantizeNf4, args.y.dtype, [&](auto storage) {
    using S = decltype(storage);
    threads.ForRanges(CeilDivide(count, kNf4BlockSize), kElementGrain / kNf4BlockSize,
                      [&](int64_t begin, int64_t end) {
                        for (int64_t block = begin; block < end; ++block) {
                          const int64_t first = block * kNf4BlockSize;
                          DequantizeBlock<S>(
                              args.codes.as<uint8_t>() + first / 2, MagnitudeOf(args, block),
                              std::min(kNf4BlockSize, count - first), args.y.as<S>() + first);
                        }
                      });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
