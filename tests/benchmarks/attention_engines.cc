#include "tests/benchmarks/attention_engines.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/cuda/cudnn_attention.h"
#include "trainer/ops/flash_attention.h"

namespace tunesmith::trainer {
namespace {

using Json = nlohmann::ordered_json;

// Operands repeat so many random elements.
constexpr int64_t kPatternCount = int64_t{1} << 20;

struct EngineCase {
  int64_t rows, context, heads, kv_heads, head_size;
  int64_t document_length;  // of packed documents; 0: one for a row
};
const std::vector<EngineCase> kCases = {{4, 4096, 32, 8, 128, 0},
                                        {4, 4096, 32, 8, 128, 1024},
                                        {1, 16384, 32, 8, 128, 0},
                                        {1, 16384, 32, 8, 128, 2048},
                                        {8, 1024, 14, 2, 64, 0}};

std::string TextOf(const EngineCase& c) {
  return StrCat("(", c.rows, " x ", c.context, "), ", c.heads, "/", c.kv_heads, " heads of ",
                c.head_size,
                c.document_length > 0 ? StrCat(", documents of ", c.document_length) : "");
}

AttentionShape ShapeOf(const EngineCase& c) {
  return {.context = c.context,
          .head_count = c.heads,
          .kv_head_count = c.kv_heads,
          .head_size = c.head_size,
          .scale = 1.0 / std::sqrt(static_cast<double>(c.head_size))};
}

// Of one product over the pairs that are seen; forward has two, backward five.
double ProductFlops(const EngineCase& c) {
  const auto length = static_cast<double>(c.document_length > 0 ? c.document_length : c.context);
  return 2.0 * static_cast<double>(c.rows * c.context * c.heads * c.head_size) * length / 2.0;
}

// Tensors of one case in memory of their own.
class EngineCaseMemory {
 public:
  EngineCaseMemory(const OpContext& context, const EngineCase& c) : context_(context), case_(c) {}

  absl::Status Allocate() {
    const int64_t tokens = case_.rows * case_.context;
    const int64_t q = case_.heads * case_.head_size, k = case_.kv_heads * case_.head_size;
    for (Tensor* tensor : {&q_, &o_, &d_o_, &dq_})
      TUNESMITH_RETURN_IF_ERROR(AddBf16(*tensor, tokens, q));
    for (Tensor* tensor : {&k_, &v_, &dk_, &dv_})
      TUNESMITH_RETURN_IF_ERROR(AddBf16(*tensor, tokens, k));
    TUNESMITH_RETURN_IF_ERROR(
        Add(log_sum_exp_, DType::kF32, case_.rows * case_.heads, case_.context));
    return AddStarts(tokens);
  }
  absl::Status AllocateWorkspace(int64_t bytes) {
    return Add(workspace_, DType::kF32, (bytes + 3) / 4, 1);
  }

  FlashAttentionArgs forward() const {
    return {.q = q_,
            .k = k_,
            .v = v_,
            .document_starts = starts_,
            .o = o_,
            .log_sum_exp = log_sum_exp_,
            .workspace = workspace_,
            .shape = ShapeOf(case_)};
  }
  FlashAttentionBackwardArgs backward() const {
    return {.d_o = d_o_,
            .q = q_,
            .k = k_,
            .v = v_,
            .o = o_,
            .log_sum_exp = log_sum_exp_,
            .document_starts = starts_,
            .dq = dq_,
            .dk = dk_,
            .dv = dv_,
            .workspace = workspace_,
            .shape = ShapeOf(case_)};
  }

 private:
  absl::Status Add(Tensor& tensor, DType dtype, int64_t rows, int64_t columns) {
    tensor = {.dtype = dtype, .dims = {rows, columns, 1}, .rank = 2};
    TUNESMITH_ASSIGN_OR_RETURN(
        auto memory, DeviceMemory::Allocate(context_, tensor.element_count() * SizeOf(dtype)));
    tensor.data = memory->data();
    memory_.push_back(std::move(memory));
    return absl::OkStatus();
  }

  absl::Status AddBf16(Tensor& tensor, int64_t rows, int64_t columns) {
    TUNESMITH_RETURN_IF_ERROR(Add(tensor, DType::kBF16, rows, columns));
    std::vector<uint16_t> pattern(
        static_cast<size_t>(std::min(tensor.element_count(), kPatternCount)));
    std::normal_distribution<float> normal;
    for (uint16_t& value : pattern) value = Bf16FromFloat(normal(random_));
    const auto step = static_cast<int64_t>(pattern.size() * sizeof(uint16_t));
    DeviceMemory& memory = *memory_.back();
    for (int64_t at = 0; at < memory.size_bytes(); at += step) {
      TUNESMITH_RETURN_IF_ERROR(
          memory.CopyFromHost(at, pattern.data(), std::min(step, memory.size_bytes() - at)));
    }
    return memory.Synchronize();
  }

  absl::Status AddStarts(int64_t tokens) {
    TUNESMITH_RETURN_IF_ERROR(Add(starts_, DType::kI32, tokens, 1));
    std::vector<int32_t> starts;
    for (int64_t i = 0; i < tokens; ++i) {
      const int64_t t = i % case_.context;
      starts.push_back(
          static_cast<int32_t>(case_.document_length > 0 ? t - t % case_.document_length : 0));
    }
    DeviceMemory& memory = *memory_.back();
    TUNESMITH_RETURN_IF_ERROR(memory.CopyFromHost(0, starts.data(), memory.size_bytes()));
    return memory.Synchronize();
  }

  OpContext context_;
  EngineCase case_;
  std::mt19937 random_{1};
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
  Tensor q_, k_, v_, o_, d_o_, dq_, dk_, dv_, log_sum_exp_, starts_, workspace_;
};

// What both engines took for one direction.
Json Row(const EngineCase& c, const char* direction, double product_count, double own_seconds) {
  return {{"shape", TextOf(c)},
          {"direction", direction},
          {"own_seconds", own_seconds},
          {"own_flops_per_second", product_count * ProductFlops(c) / own_seconds}};
}

void AddCudnn(Json& row, const EngineCase& c, double product_count, double seconds,
              int64_t workspace_bytes) {
  row["cudnn_seconds"] = seconds;
  row["cudnn_flops_per_second"] = product_count * ProductFlops(c) / seconds;
  row["cudnn_workspace_bytes"] = workspace_bytes;
  row["own_over_cudnn"] = row["own_seconds"].get<double>() / seconds;
}

void Print(const Json& row) {
  std::fprintf(stderr, "%-9s own %9.1f us %7.1f TFLOP/s, cuDNN ",
               row["direction"].get<std::string>().c_str(), row["own_seconds"].get<double>() * 1e6,
               row["own_flops_per_second"].get<double>() * 1e-12);
  if (row.contains("cudnn_seconds")) {
    std::fprintf(
        stderr, "%9.1f us %7.1f TFLOP/s, own/cuDNN %.2f", row["cudnn_seconds"].get<double>() * 1e6,
        row["cudnn_flops_per_second"].get<double>() * 1e-12, row["own_over_cudnn"].get<double>());
  } else {
    std::fprintf(stderr, "none: %s", row["cudnn"].get<std::string>().c_str());
  }
  std::fprintf(stderr, "  %s\n", row["shape"].get<std::string>().c_str());
}

absl::StatusOr<std::vector<Json>> Compare(const OpContext& context, Stopwatch& watch,
                                          const EngineCase& c) {
  EngineCaseMemory memory(context, c);
  TUNESMITH_RETURN_IF_ERROR(memory.Allocate());
  TUNESMITH_ASSIGN_OR_RETURN(const double forward_seconds, watch.Measure([&] {
    return FlashAttention(context, memory.forward());
  }));
  TUNESMITH_ASSIGN_OR_RETURN(const double backward_seconds, watch.Measure([&] {
    return FlashAttentionBackward(context, memory.backward());
  }));
  std::vector<Json> rows = {Row(c, "forward", 2, forward_seconds),
                            Row(c, "backward", 5, backward_seconds)};
  const auto cudnn = CudnnAttention::Create(
      *context.cuda, {.attention = ShapeOf(c), .rows = c.rows, .documents = c.document_length > 0});
  if (!cudnn.ok()) {
    for (Json& row : rows) row["cudnn"] = std::string(cudnn.status().message());
    return rows;
  }
  const CudnnAttention& engine = **cudnn;
  TUNESMITH_RETURN_IF_ERROR(memory.AllocateWorkspace(
      std::max(engine.forward_workspace_bytes(), engine.backward_workspace_bytes())));
  TUNESMITH_ASSIGN_OR_RETURN(const double cudnn_forward_seconds, watch.Measure([&] {
    return engine.Forward(*context.cuda, memory.forward());
  }));
  AddCudnn(rows[0], c, 2, cudnn_forward_seconds, engine.forward_workspace_bytes());
  TUNESMITH_ASSIGN_OR_RETURN(const double cudnn_backward_seconds, watch.Measure([&] {
    return engine.Backward(*context.cuda, memory.backward());
  }));
  AddCudnn(rows[1], c, 5, cudnn_backward_seconds, engine.backward_workspace_bytes());
  return rows;
}

}  // namespace

absl::Status CompareAttentionEngines(const OpContext& context, Stopwatch& watch,
                                     absl::FunctionRef<absl::Status(const Json& row)> told) {
  if (context.device != planner::BackendKind::kCuda) {
    return absl::InvalidArgumentError(
        "engines of attention are compared on a CUDA device; use --device cuda:0");
  }
  for (const EngineCase& c : kCases) {
    TUNESMITH_ASSIGN_OR_RETURN(const std::vector<Json> rows, Compare(context, watch, c));
    for (const Json& row : rows) {
      Print(row);
      TUNESMITH_RETURN_IF_ERROR(told(row));
    }
  }
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
