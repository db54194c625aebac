#include "tests/benchmarks/published/model_names.h"

namespace tunesmith::published {
namespace {

struct Alias {
  std::string_view published, known;
};
constexpr Alias kAliases[] = {
    {"Llama-2-7B", "Llama-2-7b-hf"},
    {"LLAMA2-7B", "Llama-2-7b-hf"},
    {"llama-2-7b", "Llama-2-7b-hf"},
    {"Llama 2 7 B", "Llama-2-7b-hf"},
    {"Llama-2-13B", "Llama-2-13b-hf"},
    {"LLAMA2-13B", "Llama-2-13b-hf"},
    {"Llama 2 13 B", "Llama-2-13b-hf"},
    {"Llama 2 13B", "Llama-2-13b-hf"},
    {"Llama-2-70B", "Llama-2-70b-hf"},
    {"LLAMA2-70B", "Llama-2-70b-hf"},
    {"TheBloke/Llama-2-70B-GPTQ", "Llama-2-70b-hf"},
    {"CodeLlama-34B", "CodeLlama-34b-hf"},
    {"Llama3 8B", "Meta-Llama-3-8B"},
    {"Llama-3-8B", "Meta-Llama-3-8B"},
    {"LLAMA3-8B", "Meta-Llama-3-8B"},
    {"LLAMA3_8B", "Meta-Llama-3-8B"},
    {"Llama 3 8B", "Meta-Llama-3-8B"},
    {"llama-3-8b", "Meta-Llama-3-8B"},
    {"TechxGenus/Meta-Llama-3-8B-GPTQ", "Meta-Llama-3-8B"},
    {"Llama3 70B", "Llama-3-70B"},
    {"LLAMA3-70B", "Llama-3-70B"},
    {"LLAMA3_70B", "Llama-3-70B"},
    {"Llama 3.1 8B", "Llama-3.1-8B"},
    {"Llama-3.3-70B-Instruct", "Llama-3.1-70B"},
    {"Llama 3.1 70B", "Llama-3.1-70B"},
    {"LLAMA3.1_405B", "Llama-3.1-405B"},
    {"mistral-7b", "Mistral-7B-v0.1"},
    {"Mistral-7B", "Mistral-7B-v0.1"},
    {"TheBloke/Mistral-7B-v0.1-GPTQ", "Mistral-7B-v0.1"},
    {"tiny-llama", "tiny-llama-1.1b"},
    {"TinyLlama-1.1B-Chat-v1.0", "tiny-llama-1.1b"},
    {"Falcon 40 B", "falcon-40b"},
    {"Gemma 7B", "Gemma-7b"},
    {"Gemma 2 9B", "Gemma-2-9b"},
    {"phi-1.5 1.3 B", "phi-1_5"},
    {"Phi3-mini (3.8B)", "Phi-3-mini-4k-instruct"},
    {"StableLM Alpha 3 B", "stablelm-base-alpha-3b"},
    {"Qwen2.5-Coder-1.5B-Instruct", "Qwen2.5-1.5B"},
    {"Qwen2.5 7B", "Qwen2.5-7B"},
    {"Qwen2.5 32B", "Qwen2.5-32B"},
    {"Qwen 3 8B", "Qwen3-8B"},
    {"Qwen-1_8B-Chat-Int4", "Qwen-1_8B"},
    {"Qwen-7B-Chat-Int4", "Qwen-7B"},
    {"Qwen-14B-Chat-Int4", "Qwen-14B"},
    {"Qwen-72B-Chat-Int4", "Qwen-72B"},
    {"Yi-34B-200K", "Yi-34B"},
    {"GLM-4-9B-0414", "GLM-4-9B-Chat"},
};

}  // namespace

std::string_view KnownModelName(std::string_view published) {
  for (const Alias& alias : kAliases) {
    if (alias.published == published) return alias.known;
  }
  return published;
}

}  // namespace tunesmith::published
