// How far the CPU kernels are from what the machine can do, at the shapes of SmolLM2-135M: GFLOP/s of products and attention, GB/s of ops
// that only pass over memory (bytes that must move at least once, read or written). The first rows give the yardsticks: one large product,
// and one large copy.
//
//   cpu_ops_bench [threads] [context ...]      default: all processors, contexts 512 and 2048
//
// The last line of stdout is one JSON object from "op/context" to its figure.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/str_cat.h"
#include "planner/program/workspace.h"
#include "trainer/ops/adamw.h"
#include "trainer/ops/attention.h"
#include "trainer/ops/cross_entropy.h"
#include "trainer/ops/decode.h"
#include "trainer/ops/elementwise.h"
#include "trainer/ops/embedding.h"
#include "trainer/ops/flash_attention.h"
#include "trainer/ops/gradient_norm.h"
#include "trainer/ops/linear.h"
#include "trainer/ops/rms_norm.h"
#include "trainer/ops/rope.h"
#include "trainer/ops/swiglu.h"
#include "trainer/thread_pool.h"

namespace tunesmith::trainer {
namespace {

constexpr int64_t kC = 576, kF = 1536, kV = 49152, kH = 9, kK = 3, kD = 64;

// Owns the storage of the tensors of one benchmark, filled with noise: zeros would draw less power.
class Storage {
 public:
  Tensor Floats(std::vector<int64_t> dims) {
    Tensor tensor = Shape(dims, DType::kF32);
    floats_.emplace_back(tensor.element_count());
    for (float& value : floats_.back())
      value = static_cast<float>(generator_() % 2001) * 1e-3f - 1.0f;
    tensor.data = floats_.back().data();
    return tensor;
  }
  Tensor Ints(int64_t count, const std::function<int64_t(int64_t)>& value) {
    Tensor tensor = Shape({count}, DType::kI32);
    ints_.emplace_back(count);
    for (int64_t i = 0; i < count; ++i) ints_.back()[i] = static_cast<int32_t>(value(i));
    tensor.data = ints_.back().data();
    return tensor;
  }
  Tensor Double() {
    Tensor tensor = Shape({1}, DType::kF64);
    doubles_.emplace_back(1);
    tensor.data = doubles_.back().data();
    return tensor;
  }

 private:
  static Tensor Shape(const std::vector<int64_t>& dims, DType dtype) {
    Tensor tensor;
    tensor.dtype = dtype;
    tensor.rank = static_cast<int>(dims.size());
    std::copy(dims.begin(), dims.end(), tensor.dims.begin());
    return tensor;
  }

  std::minstd_rand generator_;
  std::vector<std::vector<float>> floats_;
  std::vector<std::vector<int32_t>> ints_;
  std::vector<std::vector<double>> doubles_;
};

class Bench {
 public:
  explicit Bench(int thread_count) : threads_(thread_count) {}

  // The best of several runs within a quarter of a second: what other processes take is not the kernel's.
  void Run(const std::string& name, double work, const char* unit,
           const std::function<absl::Status(const OpContext&)>& op) {
    const OpContext context = {.threads = &threads_};
    double best = 1e9, total = 0;
    for (int run = 0; run < 3 || (total < 0.25 && run < 200); ++run) {
      const double start = Now();
      if (const absl::Status status = op(context); !status.ok()) {
        std::fprintf(stderr, "%s: %s\n", name.c_str(), std::string(status.message()).c_str());
        std::exit(1);
      }
      const double seconds = Now() - start;
      best = std::min(best, seconds);
      total += seconds;
    }
    const double rate = work / best * 1e-9;
    std::printf("%-36s %10.3f ms %9.1f %s\n", name.c_str(), best * 1e3, rate, unit);
    std::fflush(stdout);
    char entry[128];
    std::snprintf(entry, sizeof(entry), "%s\"%s\": %.1f", json_.empty() ? "" : ", ", name.c_str(),
                  rate);
    json_ += entry;
  }
  void Flops(const std::string& name, double flops,
             const std::function<absl::Status(const OpContext&)>& op) {
    Run(name, flops, "GFLOP/s", op);
  }
  void Floats(const std::string& name, double floats,
              const std::function<absl::Status(const OpContext&)>& op) {
    Run(name, floats * sizeof(float), "GB/s", op);
  }
  const std::string& json() const { return json_; }

 private:
  // With one thread its own processor time, which other processes do not take from.
  double Now() const {
    timespec time;
    clock_gettime(threads_.thread_count() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }

  ThreadPool threads_;
  std::string json_;
};

void Yardsticks(Bench& bench) {
  Storage storage;
  const Tensor a = storage.Floats({2048, 2048}), b = storage.Floats({2048, 2048}),
               c = storage.Floats({2048, 2048});
  bench.Flops("product 2048x2048x2048", 2.0 * 2048 * 2048 * 2048, [&](const OpContext& context) {
    return Linear(context, {.x = a, .weight = b, .y = c});
  });
  const Tensor x = storage.Floats({64 << 20}), y = storage.Floats({64 << 20});
  bench.Floats("copy 256 MiB", 2.0 * (64 << 20),
               [&](const OpContext& context) { return Copy(context, {.x = x, .y = y}); });
}

void Products(Bench& bench, int64_t T, const std::string& suffix) {
  Storage storage;
  struct Layer {
    const char* name;
    int64_t I, O;
  };
  for (const Layer& layer : {Layer{"linear q", kC, kC},
                             {"linear kv", kC, kK * kD},
                             {"linear gate", kC, kF},
                             {"linear down", kF, kC},
                             {"linear lora a", kC, 16},
                             {"linear lora b", 16, kC}}) {
    const double flops = 2.0 * static_cast<double>(T * layer.I * layer.O);
    const Tensor x = storage.Floats({T, layer.I}), weight = storage.Floats({layer.O, layer.I});
    const Tensor y = storage.Floats({T, layer.O});
    const std::string name = layer.name;
    bench.Flops(name + suffix, flops, [&](const OpContext& context) {
      return Linear(context, {.x = x, .weight = weight, .y = y});
    });
    bench.Flops(name + " input gradient" + suffix, flops, [&](const OpContext& context) {
      return LinearBackwardInput(context, {.dy = y, .weight = weight, .dx = x});
    });
    bench.Flops(name + " weight gradient" + suffix, flops, [&](const OpContext& context) {
      return LinearBackwardWeight(context,
                                  {.dy = y, .x = x, .dweight = weight, .accumulate = true});
    });
  }
}

void Head(Bench& bench, int64_t T, const std::string& suffix) {
  Storage storage;
  const int64_t N = std::min<int64_t>(T, 512);
  const double flops = 2.0 * static_cast<double>(N * kC * kV);
  const Tensor x = storage.Floats({N, kC}), weight = storage.Floats({kV, kC}),
               logits = storage.Floats({N, kV});
  const Tensor labels = storage.Ints(N, [](int64_t i) { return i * 97 % kV; });
  const Tensor loss_scale = storage.Floats({1}), loss_sum = storage.Double();
  bench.Flops("linear head" + suffix, flops, [&](const OpContext& context) {
    return Linear(context, {.x = x, .weight = weight, .y = logits});
  });
  bench.Flops("linear head input gradient" + suffix, flops, [&](const OpContext& context) {
    return LinearBackwardInput(context, {.dy = logits, .weight = weight, .dx = x});
  });
  bench.Floats(
      "cross_entropy" + suffix, static_cast<double>(N * kV), [&](const OpContext& context) {
        return CrossEntropy(context, {.logits = logits, .labels = labels, .loss_sum = loss_sum});
      });
  bench.Floats(
      "cross_entropy_in_place" + suffix, 2.0 * static_cast<double>(N * kV),
      [&](const OpContext& context) {
        return CrossEntropyInPlace(
            context,
            {.logits = logits, .labels = labels, .loss_scale = loss_scale, .loss_sum = loss_sum});
      });
}

// Work is counted as the causal half of the matrices, so that the two kernels compare.
void AttentionKernels(Bench& bench, int64_t T, const std::string& suffix) {
  Storage storage;
  const AttentionShape shape = {
      .context = T, .head_count = kH, .kv_head_count = kK, .head_size = kD, .scale = 0.125};
  const Tensor q = storage.Floats({T, kC}), k = storage.Floats({T, kK * kD}),
               v = storage.Floats({T, kK * kD});
  const Tensor o = storage.Floats({T, kC}), d_o = storage.Floats({T, kC});
  const Tensor dq = storage.Floats({T, kC}), dk = storage.Floats({T, kK * kD}),
               dv = storage.Floats({T, kK * kD});
  const Tensor starts = storage.Ints(T, [](int64_t) { return 0; });
  const Tensor log_sum_exp = storage.Floats({kH, T}), probabilities = storage.Floats({kH, T, T});
  const Tensor scratch = storage.Floats({planner::FlashAttentionWorkspaceElements(kD, 16)});
  const Tensor matrices = storage.Floats({2, T, T});
  const double flops = 2.0 * static_cast<double>(T * T * kH * kD);  // two products, half of each
  bench.Flops("attention" + suffix, flops, [&](const OpContext& context) {
    return Attention(context, {.q = q,
                               .k = k,
                               .v = v,
                               .document_starts = starts,
                               .o = o,
                               .probabilities = probabilities,
                               .shape = shape});
  });
  bench.Flops("attention_backward" + suffix, 2.5 * flops, [&](const OpContext& context) {
    return AttentionBackward(context, {.d_o = d_o,
                                       .q = q,
                                       .k = k,
                                       .v = v,
                                       .probabilities = probabilities,
                                       .document_starts = starts,
                                       .dq = dq,
                                       .dk = dk,
                                       .dv = dv,
                                       .workspace = matrices,
                                       .shape = shape});
  });
  bench.Flops("flash_attention" + suffix, flops, [&](const OpContext& context) {
    return FlashAttention(context, {.q = q,
                                    .k = k,
                                    .v = v,
                                    .document_starts = starts,
                                    .o = o,
                                    .log_sum_exp = log_sum_exp,
                                    .workspace = scratch,
                                    .shape = shape});
  });
  bench.Flops("flash_attention_backward" + suffix, 2.5 * flops, [&](const OpContext& context) {
    return FlashAttentionBackward(context, {.d_o = d_o,
                                            .q = q,
                                            .k = k,
                                            .v = v,
                                            .o = o,
                                            .log_sum_exp = log_sum_exp,
                                            .document_starts = starts,
                                            .dq = dq,
                                            .dk = dk,
                                            .dv = dv,
                                            .workspace = scratch,
                                            .shape = shape});
  });
}

void PassesOverMemory(Bench& bench, int64_t T, const std::string& suffix) {
  Storage storage;
  const double TC = static_cast<double>(T * kC), TF = static_cast<double>(T * kF);
  const Tensor x = storage.Floats({T, kC}), y = storage.Floats({T, kC}),
               dy = storage.Floats({T, kC});
  const Tensor weight = storage.Floats({kC}), rstd = storage.Floats({T});
  const Tensor gate = storage.Floats({T, kF}), up = storage.Floats({T, kF}),
               product = storage.Floats({T, kF});
  const Tensor dgate = storage.Floats({T, kF}), dup = storage.Floats({T, kF});
  const Tensor positions = storage.Ints(T, [](int64_t i) { return i; });
  const Tensor tokens = storage.Ints(T, [](int64_t i) { return i * 97 % kV; });
  const Tensor table = storage.Floats({kV, kC}), sum = storage.Double();
  bench.Floats("rms_norm" + suffix, 2 * TC, [&](const OpContext& context) {
    return RmsNorm(context, {.x = x, .weight = weight, .y = y, .rstd = rstd, .epsilon = 1e-5});
  });
  bench.Floats("rms_norm_backward" + suffix, 4 * TC, [&](const OpContext& context) {
    return RmsNormBackward(
        context, {.dy = dy, .x = x, .weight = weight, .rstd = rstd, .dx = y, .accumulate = true});
  });
  bench.Floats("rms_norm_backward_weight" + suffix, 2 * TC, [&](const OpContext& context) {
    return RmsNormBackwardWeight(
        context, {.dy = dy, .x = x, .rstd = rstd, .dweight = weight, .accumulate = true});
  });
  bench.Floats("rope" + suffix, 2 * TC, [&](const OpContext& context) {
    return Rope(context,
                {.x = x, .positions = positions, .head_count = kH, .head_size = kD, .theta = 1e5});
  });
  bench.Floats("swiglu" + suffix, 3 * TF, [&](const OpContext& context) {
    return SwiGlu(context, {.gate = gate, .up = up, .y = product});
  });
  bench.Floats("swiglu_backward" + suffix, 5 * TF, [&](const OpContext& context) {
    return SwiGluBackward(context,
                          {.dy = product, .gate = gate, .up = up, .dgate = dgate, .dup = dup});
  });
  bench.Floats("add" + suffix, 3 * TC,
               [&](const OpContext& context) { return Add(context, {.x = x, .y = y}); });
  bench.Floats("embedding" + suffix, 2 * TC, [&](const OpContext& context) {
    return Embedding(context, {.tokens = tokens, .weight = table, .y = y});
  });
  bench.Floats("embedding_backward" + suffix, 3 * TC, [&](const OpContext& context) {
    return EmbeddingBackward(context,
                             {.tokens = tokens, .dy = dy, .dweight = table, .accumulate = true});
  });
  bench.Floats("sum_squares" + suffix, TF, [&](const OpContext& context) {
    return SumSquares(context, {.x = gate, .sum = sum});
  });
}

void OptimizerAndGeneration(Bench& bench) {
  Storage storage;
  constexpr int64_t kCount = 16 << 20;
  const Tensor p = storage.Floats({kCount}), g = storage.Floats({kCount}),
               m = storage.Floats({kCount}), v = storage.Floats({kCount});
  for (int64_t i = 0; i < kCount; ++i) v.as<float>()[i] *= v.as<float>()[i];
  const Tensor clip = storage.Floats({1}), scalars = storage.Floats({planner::kStepScalarCount});
  std::fill_n(scalars.as<float>(), planner::kStepScalarCount, 0.5f);
  bench.Floats("adamw 16 Mi", 7.0 * kCount, [&](const OpContext& context) {
    return AdamW(context, {.gradient = g,
                           .clip_factor = clip,
                           .step_scalars = scalars,
                           .parameter = p,
                           .moment1 = m,
                           .moment2 = v,
                           .decays = true});
  });
  bench.Floats("clear 64 MiB", static_cast<double>(kCount),
               [&](const OpContext& context) { return Clear(context, {.y = g}); });
  const Tensor x = storage.Floats({1, kC}), weight = storage.Floats({kV, kC}),
               logits = storage.Floats({1, kV});
  bench.Floats("linear head, one row", static_cast<double>(kV * kC), [&](const OpContext& context) {
    return Linear(context, {.x = x, .weight = weight, .y = logits});
  });
  const Tensor token = storage.Ints(1, [](int64_t) { return 0; });
  bench.Floats("arg_max", static_cast<double>(kV), [&](const OpContext& context) {
    return ArgMax(context, {.logits = logits, .token = token});
  });
  const AttentionShape shape = {
      .context = 2048, .head_count = kH, .kv_head_count = kK, .head_size = kD, .scale = 0.125};
  const Tensor cache = storage.Floats({2048, kK * kD}), scores = storage.Floats({kH, 2048});
  const Tensor q = storage.Floats({1, kC}), o = storage.Floats({1, kC}),
               last = storage.Ints(1, [](int64_t) { return 2047; });
  bench.Floats("decode_attention 2048", 2.0 * 2048 * kK * kD, [&](const OpContext& context) {
    return DecodeAttention(context, {.q = q,
                                     .k_cache = cache,
                                     .v_cache = cache,
                                     .positions = last,
                                     .o = o,
                                     .scores = scores,
                                     .shape = shape});
  });
}

void RunAll(int thread_count, const std::vector<int64_t>& contexts) {
  Bench bench(thread_count);
  Yardsticks(bench);
  for (int64_t T : contexts) {
    const std::string suffix = StrCat("/", T);
    Products(bench, T, suffix);
    AttentionKernels(bench, T, suffix);
    PassesOverMemory(bench, T, suffix);
    Head(bench, T, suffix);
  }
  OptimizerAndGeneration(bench);
  std::printf("{\"threads\": %d, %s}\n", thread_count, bench.json().c_str());
}

}  // namespace
}  // namespace tunesmith::trainer

int main(int argc, char** argv) {
  const int thread_count =
      argc > 1 ? std::atoi(argv[1]) : static_cast<int>(std::thread::hardware_concurrency());
  std::vector<int64_t> contexts;
  for (int i = 2; i < argc; ++i) contexts.push_back(std::max(1, std::atoi(argv[i])));
  if (contexts.empty()) contexts = {512, 2048};
  tunesmith::trainer::RunAll(thread_count, contexts);
  return 0;
}
