#include "trainer/noise_weights.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "common/dtype.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "trainer/ops/elementwise.h"
#include "trainer/ops/nf4.h"
#include "trainer/pieces.h"

namespace tunesmith::trainer {
namespace {

using planner::Parameter;

// A multiple of the elements that share a scale in 4 bits; a mebibyte or more in each dtype, which a copy to a device is quick with.
constexpr int64_t kStretch = int64_t{1} << 20;
static_assert(kStretch % (planner::kNf4BlockSize * planner::kNf4ScaleBlockSize) == 0);

std::vector<float> DrawStretch() {
  std::vector<float> values(static_cast<size_t>(kStretch));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(0.04 * RandomUniform(7, i) - 0.02);
  return values;
}

// Numbers as a buffer of any dtype holds them.
class Stretch {
 public:
  explicit Stretch(std::vector<float> values) : wide_(std::move(values)) {
    for (const float x : wide_) narrow_.push_back(Bf16FromFloat(x));
  }
  absl::Span<const float> wide() const { return wide_; }
  const void* data(DType dtype) const {
    return dtype == DType::kBF16 ? static_cast<const void*>(narrow_.data()) : wide_.data();
  }

 private:
  std::vector<float> wide_;
  std::vector<uint16_t> narrow_;
};

class NoiseFiller {
 public:
  explicit NoiseFiller(Arena& arena) : arena_(arena) {}

  absl::Status Fill() {
    for (size_t index = 0; index < program().parameters.size(); ++index) {
      const Parameter& p = program().parameters[index];
      const int64_t count = BufferOf(p.weight).instance_count;
      for (int64_t i = 0; i < count; ++i) {
        TUNESMITH_RETURN_IF_ERROR(p.absmax >= 0 ? FillQuantized(p, i)
                                                : FillPlain(static_cast<int32_t>(index), i));
      }
    }
    return absl::OkStatus();
  }

 private:
  const planner::Program& program() const { return arena_.program(); }
  const planner::Buffer& BufferOf(int32_t id) const {
    return program().buffers[static_cast<size_t>(id)];
  }

  // Norms are vectors that are no biases.
  const Stretch& StretchOf(const planner::Buffer& weight, int64_t instance) const {
    const bool norm = weight.rank == 1 && !weight.name.Text(instance).ends_with(".bias");
    return norm ? norms_ : noise_;
  }

  absl::Status FillPlain(int32_t parameter, int64_t instance) {
    const Parameter& p = program().parameters[static_cast<size_t>(parameter)];
    const planner::Buffer& weight = BufferOf(p.weight);
    const Stretch& stretch = StretchOf(weight, instance);
    TUNESMITH_RETURN_IF_ERROR(Repeat(WeightPieces(program(), arena_.rank(), p.weight, instance),
                                     stretch.data(weight.dtype), kStretch * SizeOf(weight.dtype)));
    return Repeat(MasterPieces(program(), arena_.rank(), parameter, instance),
                  stretch.data(DType::kF32), kStretch * SizeOf(DType::kF32));
  }

  absl::Status FillQuantized(const Parameter& p, int64_t instance) {
    const bool twice = p.absmax_scale >= 0;
    if (codes_.codes.empty() || codes_.double_quantized() != twice)
      codes_ = QuantizeNf4(noise_.wide(), twice);
    TUNESMITH_RETURN_IF_ERROR(RepeatAll(p.weight, instance, codes_.codes));
    if (!twice) return RepeatAll(p.absmax, instance, codes_.absmax);
    TUNESMITH_RETURN_IF_ERROR(RepeatAll(p.absmax, instance, codes_.absmax_codes));
    TUNESMITH_RETURN_IF_ERROR(RepeatAll(p.absmax_scale, instance, codes_.absmax_scales));
    return WriteWeightPiece(arena_, p.absmax_offset, instance, &codes_.absmax_offset);
  }

  template <typename T>
  absl::Status RepeatAll(int32_t buffer, int64_t instance, const std::vector<T>& stretch) {
    return Repeat(WeightPieces(program(), arena_.rank(), buffer, instance), stretch.data(),
                  static_cast<int64_t>(stretch.size() * sizeof(T)));
  }

  absl::Status Repeat(const std::vector<Piece>& pieces, const void* stretch, int64_t bytes) {
    for (const Piece& piece : pieces)
      for (int64_t done = 0; done < piece.bytes; done += bytes)
        TUNESMITH_RETURN_IF_ERROR(arena_.Write(piece.buffer, piece.instance, stretch,
                                               std::min(bytes, piece.bytes - done),
                                               piece.buffer_first + done));
    return absl::OkStatus();
  }

  // What scales by one: norms of some families add one to their weights.
  std::vector<float> Ones() const {
    return std::vector<float>(static_cast<size_t>(kStretch),
                              program().inputs.model.norm_adds_one ? 0.0f : 1.0f);
  }

  Arena& arena_;
  const Stretch noise_{DrawStretch()};
  const Stretch norms_{Ones()};
  Nf4Weight codes_;
};

}  // namespace

absl::Status FillWithNoise(Arena& arena) { return NoiseFiller(arena).Fill(); }

absl::Status FillWithNoise(const OpContext& context, DeviceMemory& memory) {
  const Stretch noise(DrawStretch());
  const int64_t element_bytes = SizeOf(DType::kBF16),
                size = memory.size_bytes() / element_bytes * element_bytes;
  const auto elements = [&](int64_t first_byte, int64_t bytes) {
    return Tensor{.data = memory.data() + first_byte,
                  .dtype = DType::kBF16,
                  .dims = {bytes / element_bytes, 1, 1},
                  .rank = 1};
  };
  int64_t done = std::min(size, kStretch * element_bytes);
  TUNESMITH_RETURN_IF_ERROR(memory.CopyFromHost(0, noise.data(DType::kBF16), done));
  while (done < size) {
    const int64_t more = std::min(done, size - done);
    TUNESMITH_RETURN_IF_ERROR(Copy(context, {.x = elements(0, more), .y = elements(done, more)}));
    done += more;
  }
  return memory.Synchronize();
}

}  // namespace tunesmith::trainer
