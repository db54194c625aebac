#include "planner/model/catalog_rows.h"

namespace tunesmith::planner {
namespace {

constexpr UnplannedModel kUnplanned[] = {
    {"Mixtral-8x7B-v0.1", "mixtral: mixture of experts"},
    {"falcon-7b", "falcon: parallel blocks with LayerNorm"},
    {"falcon-40b", "falcon: parallel blocks with LayerNorm"},
    {"falcon-180B", "falcon: parallel blocks with LayerNorm"},
    {"Gemma-2b", "gemma: GeGLU and scaled embeddings"},
    {"Gemma-7b", "gemma: GeGLU and scaled embeddings"},
    {"Gemma-2-2b", "gemma2: four norms and soft-capped logits"},
    {"Gemma-2-9b", "gemma2: four norms and soft-capped logits"},
    {"phi-1_5", "phi: parallel blocks with LayerNorm and biases"},
    {"phi-2", "phi: parallel blocks with LayerNorm and biases"},
    {"Phi-3-mini-4k-instruct", "phi3: fused projections"},
    {"stablelm-base-alpha-3b", "stablelm_alpha: parallel blocks with LayerNorm"},
    {"Qwen3-0.6B", "qwen3: norms on q and k"},
    {"Qwen3-1.7B", "qwen3: norms on q and k"},
    {"Qwen3-4B", "qwen3: norms on q and k"},
    {"Qwen3-8B", "qwen3: norms on q and k"},
    {"Qwen3-14B", "qwen3: norms on q and k"},
    {"Qwen3-32B", "qwen3: norms on q and k"},
    {"Qwen3-30B-A3B", "qwen3_moe: mixture of experts"},
    {"MPT-125m", "mpt: learned positions or ALiBi with LayerNorm"},
    {"MPT-350m", "mpt: learned positions or ALiBi with LayerNorm"},
    {"MPT-760m", "mpt: learned positions or ALiBi with LayerNorm"},
    {"MPT-1b", "mpt: learned positions or ALiBi with LayerNorm"},
    {"MPT-3b", "mpt: learned positions or ALiBi with LayerNorm"},
    {"MPT-7b", "mpt: learned positions or ALiBi with LayerNorm"},
    {"MPT-13b", "mpt: learned positions or ALiBi with LayerNorm"},
    {"MPT-30b", "mpt: learned positions or ALiBi with LayerNorm"},
    {"MPT-70b", "mpt: learned positions or ALiBi with LayerNorm"},
    {"Qwen-1_8B", "qwen: fused attention projection"},
    {"Qwen-7B", "qwen: fused attention projection"},
    {"Qwen-14B", "qwen: fused attention projection"},
    {"Qwen-72B", "qwen: fused attention projection"},
    {"ChatGLM2-6B", "chatglm: partial rotary positions and fused projections"},
    {"chatglm3-6b", "chatglm: partial rotary positions and fused projections"},
    {"chatglm3-6b-32k", "chatglm: partial rotary positions and fused projections"},
    {"baichuan2-7b-chat", "baichuan: fused projection and a normalized head"},
    {"baichuan2-13b-chat", "baichuan: ALiBi and a normalized head"},
    {"bigcode/gpt_bigcode-santacoder", "gpt_bigcode: learned positions with LayerNorm"},
    {"ibm/PowerLM-3b", "granite: scaled residuals"},
    {"InternLM-7B", "internlm: biases on all attention projections"},
    {"InternLM-20B", "internlm: biases on all attention projections"},
    {"ibm-granite/granite-3.0-3b-a800m-instruct", "granitemoe: mixture of experts"},
    {"openai/gpt-oss-20B", "gpt_oss: mixture of experts"},
    {"bigscience/bloomz-7b1", "bloom: ALiBi with LayerNorm"},
    {"GLM-4-9B-Chat", "glm: partial rotary positions and fused projections"},
    {"stablelm-2-1.6b", "stablelm: LayerNorm"},
    {"bigscience/T0_3B", "t5: encoder and decoder"},
    {"bigscience/mt0-xxl", "t5: encoder and decoder"},
};

}  // namespace

std::span<const UnplannedModel> UnplannedModels() { return kUnplanned; }

}  // namespace tunesmith::planner
