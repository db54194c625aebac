// Models of the families beyond Llama's, in a table of their own: what a family fixes is in family.cc, so that a row is sizes and what is left. Sizes and
// parameter totals: the source of each row; constants (bases, windows, caps): the model's public config.json.
#include <utility>

#include "planner/model/catalog_rows.h"
#include "planner/model/family.h"

namespace tunesmith::planner {
namespace {

constexpr char kLitgpt[] =
    "Lightning-AI/litgpt litgpt/config.py @26857050fe3f; tying from the public config.json";
constexpr char kFoundry[] =
    "mosaicml/llm-foundry scripts/train/yamls/pretrain @8c8dd48f7216 and its benchmark table";
constexpr char kInternEvo[] = "InternLM/InternEvo configs/7B_sft.py and the model card";
constexpr char kCalculon[] = "calculon-ai/calculon models";
constexpr char kSimuMax[] = "MooreThreads/SimuMax simu_tools/megatron";
constexpr char kBloom[] = "bigscience-workshop/bigscience chronicles-prequel.md";
constexpr char kConfigJson[] = "the model's public config.json and model card";

void Qwen3(ModelSpec& s) {
  s.norm_epsilon = 1e-6;
  s.rope_theta = 1e6;
}
void Qwen3Experts(ModelSpec& s) {
  Qwen3(s);
  s.expert_count = 128;
  s.active_expert_count = 8;
}
void Mixtral(ModelSpec& s) {
  s.rope_theta = 1e6;
  s.expert_count = 8;
  s.active_expert_count = 2;
}
void Falcon7(ModelSpec& s) {
  s.parallel_blocks = s.shared_norm = true;
  s.activation = Activation::kGelu;
}
void Falcon40(ModelSpec& s) {
  s.parallel_blocks = true;
  s.activation = Activation::kGelu;
}
void Gemma(ModelSpec& s) {
  s.norm_epsilon = 1e-6;
  s.activation = Activation::kGeluTanh;
}
void Gemma2(ModelSpec& s) {
  Gemma(s);
  s.sliding_window = 4096;
  s.full_layers = {.period = 2, .bits = 0b10};
  s.attention_soft_cap = 50;
  s.logit_soft_cap = 30;
}
void Phi(ModelSpec& s) {
  s.rotary_size = 32;
  s.activation = Activation::kGeluTanh;
}
void Phi3(ModelSpec& s) { s.sliding_window = 2047; }
void AllBiases(ModelSpec& s) { s.norm_bias = s.qkv_bias = s.output_bias = s.mlp_bias = true; }
void Mpt(ModelSpec& s) {
  AllBiases(s);
  s.positions = Positions::kLearned;
  s.activation = Activation::kGelu;
}
void QkvBias(ModelSpec& s) { s.qkv_bias = true; }
void ChatGlm(ModelSpec& s) {
  s.qkv_bias = true;
  s.rotary_size = s.head_size / 2;
}
void Alibi(ModelSpec& s) {
  s.positions = Positions::kAlibi;
  s.alibi_bias_max = 8;
}
void Gpt(ModelSpec& s) {
  AllBiases(s);
  s.norm = NormKind::kLayer;
  s.plain_mlp = true;
  s.positions = Positions::kLearned;
  s.activation = Activation::kGeluTanh;
}
void AttentionBias(ModelSpec& s) { s.qkv_bias = s.output_bias = true; }
void Experts(ModelSpec& s) {
  s.expert_count = 40;
  s.active_expert_count = 8;
}
void GptOss(ModelSpec& s) {
  AttentionBias(s);
  s.expert_count = 32;
  s.active_expert_count = 4;
  s.sliding_window = 128;
  s.full_layers = {.period = 2, .bits = 0b10};
}
void StableLm2(ModelSpec& s) {
  s.norm = NormKind::kLayer;
  s.norm_bias = s.qkv_bias = true;
  s.rotary_size = 16;
}
void StableLmAlpha(ModelSpec& s) {
  AllBiases(s);
  s.norm = NormKind::kLayer;
  s.plain_mlp = s.parallel_blocks = true;
  s.rotary_size = 32;
  s.activation = Activation::kGelu;
}
void Llama3(ModelSpec& s) { s.rope_theta = 500000; }

struct Row {
  const char* name;
  const char* family;
  int64_t layer_count, hidden_size, intermediate_size, head_count, kv_head_count, head_size;
  int64_t vocab_size, context_limit;
  bool tied_head;
  int64_t parameter_count;
  void (*adjust)(ModelSpec& spec);
  const char* source;
};
constexpr Row kRows[] = {
    // clang-format off
    {"Qwen3-0.6B", "qwen3", 28, 1024, 3072, 16, 8, 128, 151936, 40960, true, 596049920, Qwen3, kLitgpt},
    {"Qwen3-1.7B", "qwen3", 28, 2048, 6144, 16, 8, 128, 151936, 40960, true, 1720574976, Qwen3, kLitgpt},
    {"Qwen3-4B", "qwen3", 36, 2560, 9728, 32, 8, 128, 151936, 40960, true, 4022468096, Qwen3, kLitgpt},
    {"Qwen3-8B", "qwen3", 36, 4096, 12288, 32, 8, 128, 151936, 40960, false, 8190735360, Qwen3, kLitgpt},
    {"Qwen3-14B", "qwen3", 40, 5120, 17408, 40, 8, 128, 151936, 40960, false, 14768307200, Qwen3, kLitgpt},
    {"Qwen3-32B", "qwen3", 64, 5120, 25600, 64, 8, 128, 151936, 40960, false, 32762123264, Qwen3, kLitgpt},
    {"Qwen3-30B-A3B", "qwen3_moe", 48, 2048, 768, 32, 4, 128, 151936, 40960, false, 30532122624, Qwen3Experts, kLitgpt},
    {"Mixtral-8x7B-v0.1", "mixtral", 32, 4096, 14336, 32, 8, 128, 32000, 32768, false, 46702792704, Mixtral, kLitgpt},
    {"falcon-7b", "falcon", 32, 4544, 18176, 71, 1, 64, 65024, 2048, true, 6921720704, Falcon7, kLitgpt},
    {"falcon-40b", "falcon", 60, 8192, 32768, 128, 8, 64, 65024, 2048, true, 41303293952, Falcon40, kLitgpt},
    {"falcon-180B", "falcon", 80, 14848, 59392, 232, 8, 64, 65024, 2048, true, 178557088768, Falcon40, kLitgpt},
    {"Gemma-2b", "gemma", 18, 2048, 16384, 8, 1, 256, 256000, 8192, true, 2506172416, Gemma, kLitgpt},
    {"Gemma-7b", "gemma", 28, 3072, 24576, 16, 16, 256, 256000, 8192, true, 8537680896, Gemma, kLitgpt},
    {"Gemma-2-2b", "gemma2", 26, 2304, 9216, 8, 4, 256, 256000, 8192, true, 2614341888, Gemma2, kLitgpt},
    {"Gemma-2-9b", "gemma2", 42, 3584, 14336, 16, 8, 256, 256000, 8192, true, 9241705984, Gemma2, kLitgpt},
    {"phi-1_5", "phi", 24, 2048, 8192, 32, 32, 64, 51200, 2048, false, 1418270720, Phi, kLitgpt},
    {"phi-2", "phi", 32, 2560, 10240, 32, 32, 80, 51200, 2048, false, 2779683840, Phi, kLitgpt},
    {"Phi-3-mini-4k-instruct", "phi3", 32, 3072, 8192, 32, 32, 96, 32064, 4096, false, 3821079552, Phi3, kLitgpt},
    {"MPT-125m", "mpt", 12, 768, 3072, 12, 12, 64, 50368, 2048, true, 125311488, Mpt, kFoundry},
    {"MPT-350m", "mpt", 24, 1024, 4096, 16, 16, 64, 50368, 2048, true, 355985408, Mpt, kFoundry},
    {"MPT-760m", "mpt", 24, 1536, 6144, 12, 12, 128, 50368, 2048, true, 760470528, Mpt, kFoundry},
    {"MPT-1b", "mpt", 24, 2048, 8192, 16, 16, 128, 50368, 2048, true, 1315950592, Mpt, kFoundry},
    {"MPT-3b", "mpt", 32, 2560, 10240, 20, 20, 128, 50368, 2048, true, 2651837440, Mpt, kFoundry},
    {"MPT-7b", "mpt", 32, 4096, 16384, 32, 32, 128, 50368, 2048, true, 6658859008, Mpt, kFoundry},
    {"MPT-13b", "mpt", 40, 5120, 20480, 40, 40, 128, 50368, 2048, true, 12853954560, Mpt, kFoundry},
    {"MPT-30b", "mpt", 48, 7168, 28672, 56, 56, 128, 50368, 2048, true, 29975214080, Mpt, kFoundry},
    {"MPT-70b", "mpt", 80, 8192, 32768, 64, 64, 128, 50368, 2048, true, 64862437376, Mpt, kFoundry},
    {"Qwen-1_8B", "qwen", 24, 2048, 5504, 16, 16, 128, 151936, 8192, false, 1836828672, QkvBias, kConfigJson},
    {"Qwen-7B", "qwen", 32, 4096, 11008, 32, 32, 128, 151936, 8192, false, 7721324544, QkvBias, kConfigJson},
    {"Qwen-14B", "qwen", 40, 5120, 13696, 40, 40, 128, 152064, 8192, false, 14167290880, QkvBias, kConfigJson},
    {"Qwen-72B", "qwen", 80, 8192, 24576, 64, 64, 128, 152064, 32768, false, 72287920128, QkvBias, kConfigJson},
    {"ChatGLM2-6B", "chatglm", 28, 4096, 13696, 32, 2, 128, 65024, 32768, false, 6243584000, ChatGlm, kConfigJson},
    {"chatglm3-6b", "chatglm", 28, 4096, 13696, 32, 2, 128, 65024, 8192, false, 6243584000, ChatGlm, kConfigJson},
    {"chatglm3-6b-32k", "chatglm", 28, 4096, 13696, 32, 2, 128, 65024, 32768, false, 6243584000, ChatGlm, kConfigJson},
    {"GLM-4-9B-Chat", "chatglm", 40, 4096, 13696, 32, 2, 128, 151552, 131072, false, 9399951360, ChatGlm, kConfigJson},
    {"baichuan2-7b-chat", "baichuan", 32, 4096, 11008, 32, 32, 128, 125696, 4096, false, 7505973248, nullptr, kConfigJson},
    {"baichuan2-13b-chat", "baichuan", 40, 5120, 13696, 40, 40, 128, 125696, 4096, false, 13896668160, Alibi, kConfigJson},
    {"bigcode/gpt_bigcode-santacoder", "gpt_bigcode", 24, 2048, 8192, 16, 1, 128, 49280, 2048, true, 1124886528, Gpt, kConfigJson},
    {"ibm/PowerLM-3b", "granite", 40, 2304, 9216, 36, 36, 64, 49152, 4096, true, 3510819072, nullptr, kConfigJson},
    {"InternLM-7B", "internlm", 32, 4096, 11008, 32, 32, 128, 103168, 2048, false, 7321948160, AttentionBias, kInternEvo},
    {"InternLM-20B", "internlm", 60, 5120, 13824, 40, 40, 128, 103168, 4096, false, 20088714240, nullptr, kConfigJson},
    {"ibm-granite/granite-3.0-3b-a800m-instruct", "granitemoe", 32, 1536, 512, 24, 8, 64, 49155, 4096, true, 3298793472, Experts, kConfigJson},
    {"openai/gpt-oss-20B", "gpt_oss", 24, 2880, 2880, 64, 8, 64, 201088, 131072, false, 20908119360, GptOss, kConfigJson},
    {"stablelm-2-1.6b", "stablelm", 24, 2048, 5632, 32, 32, 64, 100352, 4096, false, 1644515328, StableLm2, kConfigJson},
    {"stablelm-base-alpha-3b", "stablelm", 16, 4096, 16384, 32, 32, 128, 50688, 4096, false, 3637321728, StableLmAlpha, kLitgpt},
    {"megatron-22B", "megatron", 48, 6144, 24576, 64, 64, 96, 51200, 2048, true, 22074273792, Gpt, kCalculon},
    {"gpt3-175B", "megatron", 96, 12288, 49152, 96, 96, 128, 51200, 2048, true, 174615846912, Gpt, kCalculon},
    {"turing-530B", "megatron", 105, 20480, 81920, 128, 128, 160, 51200, 2048, true, 529600819200, Gpt, kCalculon},
    {"megatron-1T", "megatron", 128, 25600, 102400, 160, 160, 160, 51200, 2048, true, 1008038758400, Gpt, kCalculon},
    {"GPT-20B (BLOOM prequel, Best TFLOPs)", "megatron", 8, 14400, 57600, 32, 32, 450, 250880, 2048, true, 23550249600, Gpt, kBloom},
    {"GPT-200B (BLOOM prequel, Best TFLOPs)", "megatron", 80, 14400, 57600, 96, 96, 150, 250880, 2048, true, 202722768000, Gpt, kBloom},
    {"Llama3-70B-12-layer", "llama", 12, 8192, 28672, 64, 8, 128, 128256, 4096, false, 12369207296, Llama3, kSimuMax},
    {"Llama3-405B-4-layer", "llama", 4, 16384, 53248, 128, 16, 128, 128256, 4096, false, 17087741952, Llama3, kSimuMax},
    // clang-format on
};

CatalogRow Expand(const Row& row) {
  ModelSpec spec = {.name = row.name,
                    .family = row.family,
                    .layer_count = row.layer_count,
                    .hidden_size = row.hidden_size,
                    .intermediate_size = row.intermediate_size,
                    .head_count = row.head_count,
                    .kv_head_count = row.kv_head_count,
                    .head_size = row.head_size,
                    .vocab_size = row.vocab_size,
                    .context_limit = row.context_limit,
                    .tied_head = row.tied_head,
                    .source = row.source};
  if (row.adjust != nullptr) row.adjust(spec);
  SetFamilyStructure(&spec);
  return {.spec = std::move(spec), .published_parameter_count = row.parameter_count};
}

}  // namespace

void AddFamilyRows(std::vector<CatalogRow>* rows) {
  for (const Row& row : kRows) rows->push_back(Expand(row));
}

}  // namespace tunesmith::planner
