#include "client/listings.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "client/show.h"
#include "common/str_cat.h"

namespace tunesmith::client {
namespace {

using google::protobuf::RepeatedPtrField;

Cell Mark(bool chosen) { return chosen ? Cell("*", "true") : Cell(" ", "false"); }

Cell TimeCell(const google::protobuf::Timestamp& time) {
  const std::string when = When(time);
  return {when, time.seconds() == 0 ? "" : when};
}

// "SIZE_VERDICT_TOO_LATE" as "too late".
std::string VerdictName(v1::SizeVerdict verdict) {
  std::string name = absl::AsciiStrToLower(
      v1::SizeVerdict_Name(verdict).substr(std::string_view("SIZE_VERDICT_").size()));
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

// "1.2 s of 1.1 s (1.09)", where both are known.
Cell Beside(const Cell& measured, const Cell& predicted, double ratio) {
  if (ratio <= 0) return {"-", measured.raw};
  return {StrCat(measured.shown, " of ", predicted.shown, absl::StrFormat(" (%.2f)", ratio)),
          measured.raw};
}

std::string Progress(const v1::Job& job) {
  if (!job.has_progress()) return "-";
  return StrCat(job.progress().step(), "/", job.progress().step_count());
}

Cell FreeOf(const Cell& free, const Cell& all) {
  return {StrCat(free.shown, " of ", all.shown), free.raw};
}

}  // namespace

Listing MixListing(const RepeatedPtrField<v1::RankedMix>& mixes, bool starred) {
  const bool priced = !mixes.empty() && mixes.Get(0).cost() > 0;
  Listing listing({{"chosen", " "},
                   {"rank", "#", true},
                   {"memory_bytes", "memory GiB", true},
                   {"step_seconds", "step", true},
                   {"low_seconds", "at least", true, true},
                   {"high_seconds", "at most", true, true},
                   {"tokens_per_second", "tokens/s", true},
                   {"total_hours", "hours", true},
                   {"device_hours", "device-hours", true, true},
                   {"cost", "cost", true, !priced},
                   {"host_bytes", "host GiB", true, true},
                   {"binding_instant", "binds at", false, true},
                   {"evidence", "times from", false, true},
                   {"mix", "mix"}},
                  "mix");
  for (int i = 0; i < mixes.size(); ++i) {
    const v1::RankedMix& mix = mixes.Get(i);
    const v1::TimePrediction& time = mix.prediction().time();
    const v1::MemoryPrediction& memory = mix.prediction().memory();
    listing.AddRow({Mark(starred && i == 0), CountCell(i + 1), BytesCell(memory.total_bytes()),
                    SecondsCell(time.step_seconds()), SecondsCell(time.low_seconds()),
                    SecondsCell(time.high_seconds()), NumberCell(time.tokens_per_second(), 0),
                    NumberCell(time.total_hours(), 2), NumberCell(mix.device_hours(), 2),
                    NumberCell(mix.cost(), 2), BytesCell(memory.host_bytes()),
                    memory.binding_instant(), EvidenceName(time.evidence()), mix.mix_line()});
    if (starred && i == 0) listing.EmphasizeLast();
  }
  return listing;
}

Listing RuntimeMixListing(const v1::RuntimeAnswer& answer) {
  Listing listing({{"chosen", " "},
                   {"rank", "#", true},
                   {"allocated_bytes", "allocated GiB", true},
                   {"reserved_bytes", "reserved GiB", true, true},
                   {"process_bytes", "process GiB", true},
                   {"host_bytes", "host GiB", true},
                   {"step_seconds", "step", true},
                   {"low_seconds", "at least", true, true},
                   {"high_seconds", "at most", true, true},
                   {"tokens_per_second", "tokens/s", true},
                   {"mix", "mix"}},
                  "mix");
  for (int i = 0; i < answer.ranked_size(); ++i) {
    const v1::RankedRuntimeMix& mix = answer.ranked(i);
    listing.AddRow({Mark(i == 0), CountCell(i + 1), BytesCell(mix.memory().allocated().bytes()),
                    BytesCell(mix.memory().reserved().bytes()),
                    BytesCell(mix.memory().process().bytes()), BytesCell(mix.memory().host_bytes()),
                    SecondsCell(mix.time().step_seconds()), SecondsCell(mix.time().low_seconds()),
                    SecondsCell(mix.time().high_seconds()),
                    NumberCell(mix.time().tokens_per_second(), 0), mix.mix_line()});
    if (i == 0) listing.EmphasizeLast();
  }
  return listing;
}

Listing DeviceCountListing(const v1::DeviceCountsAnswer& answer, bool impossible_too) {
  const bool priced = std::any_of(answer.tried().begin(), answer.tried().end(),
                                  [](const auto& sized) { return sized.best().cost() > 0; });
  Listing listing({{"chosen", " "},
                   {"rank", "#", true},
                   {"device", "device"},
                   {"count", "count", true},
                   {"devices", "devices", false, true},
                   {"node_count", "nodes", true},
                   {"memory_bytes", "memory GiB", true},
                   {"step_seconds", "step", true},
                   {"total_hours", "hours", true},
                   {"device_hours", "device-hours", true},
                   {"cost", "cost", true, !priced},
                   {"verdict", "answer"},
                   {"reason", "because"},
                   {"mix", "mix"}},
                  "devices");
  for (const v1::SizedDevices& sized : answer.tried()) {
    if (sized.verdict() == v1::SIZE_VERDICT_NOT_POSSIBLE && !impossible_too) continue;
    const v1::Prediction& p = sized.best().prediction();
    const double if_fits = p.fits() ? 1 : 0;
    listing.AddRow(
        {Mark(sized.rank() == 1), sized.rank() > 0 ? CountCell(sized.rank()) : Cell("-", ""),
         sized.device_name(), CountCell(sized.device_count()),
         StrCat(sized.device_count(), "x", sized.device_name()), CountCell(sized.node_count()),
         sized.has_best() ? BytesCell(p.memory().total_bytes()) : Cell("-", ""),
         SecondsCell(if_fits * p.time().step_seconds()),
         NumberCell(if_fits * p.time().total_hours(), 2),
         NumberCell(if_fits * sized.best().device_hours(), 2),
         NumberCell(if_fits * sized.best().cost(), 2), VerdictName(sized.verdict()),
         sized.sentence(), sized.has_best() ? Cell(sized.best().mix_line()) : Cell("-", "")});
    if (sized.rank() == 1) listing.EmphasizeLast();
  }
  return listing;
}

Listing ModelListing(const RepeatedPtrField<v1::ModelSpec>& models) {
  Listing listing({{"name", "model"},
                   {"family", "family"},
                   {"layer_count", "layers", true},
                   {"hidden_size", "hidden", true},
                   {"head_count", "heads", true},
                   {"kv_head_count", "kv heads", true},
                   {"vocab_size", "vocabulary", true},
                   {"context_limit", "context", true}},
                  "name");
  for (const v1::ModelSpec& model : models) {
    listing.AddRow({model.name(), model.family(), CountCell(model.layer_count()),
                    CountCell(model.hidden_size()), CountCell(model.head_count()),
                    CountCell(model.kv_head_count()), CountCell(model.vocab_size()),
                    CountCell(model.context_limit())});
  }
  return listing;
}

Listing GpuListing(const RepeatedPtrField<v1::Hardware>& gpus) {
  const auto scaled = [](double per_second, double unit, int decimals) {
    Cell cell = NumberCell(per_second / unit, decimals);
    if (per_second > 0) cell.raw = absl::StrFormat("%.9g", per_second);
    return cell;
  };
  Listing listing({{"name", "device"},
                   {"memory_bytes", "memory GiB", true},
                   {"memory_bytes_per_second", "GB/s", true},
                   {"bf16_dense_flops_per_second", "bf16 TFLOP/s", true},
                   {"fp32_dense_flops_per_second", "fp32 TFLOP/s", true},
                   {"trainer_runs", "trainer"},
                   {"description", "description"},
                   {"source", "source", false, true}},
                  "name");
  for (const v1::Hardware& gpu : gpus) {
    listing.AddRow({gpu.name(), BytesCell(gpu.memory_bytes()),
                    scaled(gpu.memory_bytes_per_second(), 1e9, 0),
                    scaled(gpu.bf16_dense_flops_per_second(), 1e12, 1),
                    scaled(gpu.fp32_dense_flops_per_second(), 1e12, 1),
                    gpu.trainer_runs() ? Cell("runs", "true") : Cell("no", "false"),
                    gpu.description(), gpu.source()});
  }
  return listing;
}

Listing JobListing(const RepeatedPtrField<v1::Job>& jobs) {
  Listing listing({{"name", "job"},
                   {"state", "state"},
                   {"step", "step", true},
                   {"attempt", "attempt", true},
                   {"create_time", "created"},
                   {"start_time", "started", false, true},
                   {"end_time", "ended", false, true},
                   {"loss", "loss", true, true},
                   {"launcher", "launcher", false, true},
                   {"reason", "reason", false, true},
                   {"run_directory", "run directory", false, true},
                   {"model", "model"}},
                  "name");
  for (const v1::Job& job : jobs) {
    listing.AddRow({job.name(), StateName(job.state()), Progress(job), CountCell(job.attempt()),
                    TimeCell(job.create_time()), TimeCell(job.start_time()),
                    TimeCell(job.end_time()),
                    job.has_progress() ? NumberCell(job.progress().loss(), 4) : Cell("-", ""),
                    job.launcher(), job.reason(), job.run_directory(), job.spec().model_path()});
  }
  return listing;
}

Listing MeasurementListing(const RepeatedPtrField<v1::Measurement>& measurements) {
  Listing listing({{"name", "measurement"},
                   {"job", "job"},
                   {"step_seconds", "step of predicted"},
                   {"peak_device_bytes", "memory GiB of predicted"},
                   {"device", "device", false, true},
                   {"model", "model", false, true},
                   {"source", "source"},
                   {"mix", "mix"}},
                  "name");
  for (const v1::Measurement& m : measurements) {
    listing.AddRow(
        {m.name(), m.job().empty() ? Cell("-", "") : Cell(m.job()),
         Beside(SecondsCell(m.measured().step_seconds()),
                SecondsCell(m.predicted().time().step_seconds()), m.step_seconds_ratio()),
         Beside(BytesCell(m.measured().peak_device_bytes()),
                BytesCell(m.predicted().memory().total_bytes()), m.device_memory_ratio()),
         m.device_name(), m.model_name(), m.source(), m.mix_line()});
  }
  return listing;
}

Listing ClusterListing(const RepeatedPtrField<v1::Cluster>& clusters) {
  Listing listing({{"name", "cluster"},
                   {"free_gpu_count", "GPUs free", true},
                   {"free_cpu_thread_count", "threads free", true},
                   {"free_host_memory_bytes", "memory free", true},
                   {"queued_job_count", "queued", true},
                   {"active_job_count", "active", true},
                   {"description", "description"}},
                  "name");
  for (const v1::Cluster& c : clusters) {
    Cell memory = FreeOf(BytesCell(c.free_host_memory_bytes()), BytesCell(c.host_memory_bytes()));
    memory.shown += " GiB";
    listing.AddRow({c.name(), FreeOf(CountCell(c.free_gpu_count()), CountCell(c.gpu_count())),
                    FreeOf(CountCell(c.free_cpu_thread_count()), CountCell(c.cpu_thread_count())),
                    std::move(memory), CountCell(c.queued_job_count()),
                    CountCell(c.active_job_count()), c.description()});
  }
  return listing;
}

}  // namespace tunesmith::client
