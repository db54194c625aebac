// Writes valid inputs for those fuzz targets whose formats are not written by hand: fuzz_seeds DIRECTORY.
#include <iostream>
#include <string>

#include "common/file.h"
#include "common/safetensors.h"
#include "planner/answer/search.h"
#include "proto/convert/json.h"
#include "proto/convert/plan.h"
#include "proto/convert/prediction.h"
#include "tests/common/gguf_builder.h"
#include "tests/planner/program_fixture.h"
#include "trainer/model_io/tokenizer_json.h"
#include "tunesmith/v1/jobs.pb.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith {
namespace {

absl::Status WriteSafetensorsSeed(const std::string& path) {
  auto writer =
      SafetensorsWriter::Create(path, {{"a", DType::kF32, {2, 1}}, {"b", DType::kBF16, {1}}});
  if (!writer.ok()) return writer.status();
  absl::Status status = writer->Write("a", std::string(8, '\1'));
  status.Update(writer->Write("b", "xy"));
  status.Update(writer->Commit());
  return status;
}

std::string GgufSeed() {
  GgufBuilder builder;
  builder.String("general.architecture", "llama");
  builder.Unsigned32("llama.block_count", 1);
  builder.Unsigned32("llama.embedding_length", 8);
  builder.Unsigned32("llama.feed_forward_length", 16);
  builder.Unsigned32("llama.attention.head_count", 2);
  builder.Unsigned32("llama.context_length", 64);
  builder.Float("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  builder.String("tokenizer.ggml.model", "gpt2");
  builder.String("tokenizer.ggml.pre", "smollm");
  builder.Strings("tokenizer.ggml.tokens", {"a", "b", "ab", "<s>"});
  builder.Integers("tokenizer.ggml.token_type", {1, 1, 1, 3});
  builder.Strings("tokenizer.ggml.merges", {"a b"});
  builder.Unsigned32("tokenizer.ggml.bos_token_id", 3);
  builder.Bool("tokenizer.ggml.add_bos_token", true);
  builder.Float("ratio", 0.5f);
  builder.Tensor("token_embd.weight", {4, 8}, std::vector<float>(32, 0.5f));
  builder.Tensor("q", {32}, GgmlType::kQ4_1, std::string(20, '\1'));
  return builder.Build();
}

std::string TokenizerSeed() {
  trainer::TokenizerSpec spec;
  spec.tokens = {"a", "b", "ab", "<s>"};
  spec.merges = {{"a", "b"}};
  spec.added_tokens = {{.id = 3, .content = "<s>", .special = true}};
  spec.pre_tokenizer = {trainer::SplitStep{{"\\p{N}"}}, trainer::ByteLevelStep{.splits = true}};
  spec.decoder = {trainer::ByteLevelDecoder{}};
  spec.prefix_ids = {3};
  spec.normalizer = {trainer::UnicodeForm::kNfc};
  return trainer::TokenizerJsonFromSpec(spec);
}

// SentencePiece's style, with every kind of step.
std::string FallbackTokenizerSeed() {
  trainer::TokenizerSpec spec;
  spec.tokens = {"<unk>", "<0x0A>", "\u2581", "a", "b", "ab", "\u2581ab"};
  spec.merges = {{"a", "b"}, {"\u2581", "ab"}};
  spec.added_tokens = {{.id = 7, .content = "<s>", .special = true, .rstrip = true},
                       {.id = 8, .content = "x y", .single_word = true, .normalized = true}};
  spec.normalizer = {trainer::UnicodeForm::kNfkc, trainer::LowercaseStep{},
                     trainer::StripStep{.left = false}, trainer::PrependStep{"\u2581"},
                     trainer::ReplaceStep{{" ", true}, "\u2581"}};
  spec.pre_tokenizer = {trainer::MetaspaceStep{.prepends = trainer::PrependScheme::kFirst},
                        trainer::SplitStep{{"[a[b&&[^c]]]{1,2}+"}}};
  spec.decoder = {trainer::ReplaceStep{{"\u2581", true}, " "}, trainer::ByteFallbackDecoder{},
                  trainer::FuseDecoder{}, trainer::StripDecoder{" ", 1, 0},
                  trainer::MetaspaceDecoder{}};
  spec.falls_back_to_bytes = spec.fuses_unknown = true;
  spec.unknown_id = 0;
  spec.suffix_ids = {7};
  return trainer::TokenizerJsonFromSpec(spec);
}

// A plan for a toy model; LoRA and full, eager and flash.
absl::StatusOr<std::string> PlanSeed(planner::Method method, planner::AttentionKernel attention) {
  const auto cpu = planner::FindHardware("cpu");
  if (!cpu.ok()) return cpu.status();
  planner::Question question{.model = planner::ToyModel(2, method == planner::Method::kFull),
                             .workload = {.context = 16, .rows_per_step = 6},
                             .devices = {.hardware = *cpu},
                             .lora = {.rank = 3}};
  question.devices.hardware.memory_bytes = int64_t{1} << 34;  // the same on every host
  const planner::Mix mix{.method = method,
                         .lora = question.lora,
                         .recompute = {1, 0, 0, 0, 1, 0},
                         .attention = attention,
                         .micro_batch = 2,
                         .accumulation_count = 3};
  const auto prediction = planner::Estimate(question, mix);
  if (!prediction.ok()) return prediction.status();
  return convert::PlanToJson(convert::MakePlan(question, *prediction));
}

std::string CalibrationSeed() {
  const planner::Calibration calibration{
      .id = "seed",
      .device_name = "cpu",
      .measured_at = "2026-01-01T00:00:00Z",
      .gemm = {{"linear", 64, 64, 64, 1e11}, {"linear_backward_weight", 64, 128, 64, 9e10}},
      .attention = {{"flash_attention", 512, 64, 5e10}},
      .rates = {{"rms_norm", 4096, 1e10}, {"rms_norm", 1 << 20, 5e9}, {"adamw", 1 << 20, 4e9}},
      .launch_seconds = 1e-6,
      .step_factor = 1.05,
      .relative_error = 0.1,
      .outside_arena_bytes = 1 << 28};
  return convert::ToJson(convert::ToProto(calibration));
}

absl::Status WritePlanSeeds(const std::string& directory) {
  const auto full = PlanSeed(planner::Method::kFull, planner::AttentionKernel::kEager);
  const auto lora = PlanSeed(planner::Method::kLora, planner::AttentionKernel::kFlash);
  if (!full.ok()) return full.status();
  if (!lora.ok()) return lora.status();
  absl::Status status = WriteFileAtomically(directory + "/full.json", *full);
  status.Update(WriteFileAtomically(directory + "/lora.json", *lora));
  return status;
}

// The first byte chooses the method; see request_fuzz.cc.
absl::Status WriteRequestSeeds(const std::string& directory) {
  const auto json = PlanSeed(planner::Method::kLora, planner::AttentionKernel::kFlash);
  if (!json.ok()) return json.status();
  v1::CreateJobRequest create;
  absl::Status status = convert::FromJson(*json, "the seed", create.mutable_plan());
  create.mutable_spec()->set_model_path("/");
  create.mutable_spec()->set_dataset_path("/");
  create.set_request_id("id");
  v1::RecommendRequest recommend;
  recommend.mutable_question()->set_model_name("7B");
  recommend.mutable_question()->set_device_name("2xA100-80GB");
  recommend.mutable_question()->mutable_workload()->set_context(128);
  recommend.mutable_question()->mutable_workload()->set_rows_per_step(4);
  v1::EstimateRequest estimate;
  *estimate.mutable_mix() = create.plan().mix();
  const std::string zero(1, '\0');
  status.Update(WriteFileAtomically(directory + "/create_job", zero + create.SerializeAsString()));
  status.Update(
      WriteFileAtomically(directory + "/recommend", "\x01" + recommend.SerializeAsString()));
  status.Update(
      WriteFileAtomically(directory + "/estimate", "\x02" + estimate.SerializeAsString()));
  status.Update(WriteFileAtomically(directory + "/filter",
                                    "\x03state = FAILED AND model != \"a\" AND create_time < "
                                    "\"2026-01-01T00:00:00Z\""));
  return status;
}

absl::Status WriteSeeds(const std::string& directory) {
  absl::Status status;
  for (const char* name : {"safetensors", "gguf", "tokenizer_json", "jsonl", "plan_json",
                           "calibration_json", "request"}) {
    status.Update(MakeDirectories(directory + "/" + name));
  }
  status.Update(WriteRequestSeeds(directory + "/request"));
  status.Update(WriteSafetensorsSeed(directory + "/safetensors/seed"));
  status.Update(WriteFileAtomically(directory + "/gguf/seed", GgufSeed()));
  status.Update(WriteFileAtomically(directory + "/tokenizer_json/seed", TokenizerSeed()));
  status.Update(
      WriteFileAtomically(directory + "/tokenizer_json/fallback", FallbackTokenizerSeed()));
  status.Update(WriteFileAtomically(directory + "/jsonl/text",
                                    "{\"text\": \"a\"}\n{\"text\": \"b\\u00e9\"}\n"));
  status.Update(WriteFileAtomically(directory + "/jsonl/pair",
                                    "{\"prompt\": \"a\", \"completion\": \"b\"}\n"));
  status.Update(WritePlanSeeds(directory + "/plan_json"));
  status.Update(WriteFileAtomically(directory + "/calibration_json/cpu.json", CalibrationSeed()));
  return status;
}

}  // namespace
}  // namespace tunesmith

int main(int argc, char** argv) {
  const absl::Status status = argc == 2 ? tunesmith::WriteSeeds(argv[1])
                                        : absl::InvalidArgumentError("usage: fuzz_seeds DIRECTORY");
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
