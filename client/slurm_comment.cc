#include "client/slurm_comment.h"

#include <algorithm>
#include <functional>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::client {
namespace {

constexpr std::string_view kPrefix = "tunesmith:";
constexpr size_t kLongest = 200;
constexpr char kExample[] = "tunesmith:model=Llama-2-7b-hf,context=4096";

absl::Status Wrong(const std::string& what) {
  return absl::InvalidArgumentError(StrCat("the job's comment ", what, "; ", kExample,
                                           " is one, and method, batch, dataset_tokens and epochs "
                                           "may follow"));
}

bool IsHarmless(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("_.-=,:").find(c) != std::string_view::npos;
}

absl::Status ParseCount(const std::string& text, int64_t& count) {
  if (absl::SimpleAtoi(text, &count) && count > 0 && count <= int64_t{1} << 50)
    return absl::OkStatus();
  return Wrong(StrCat("has \"", text, "\" where a count from 1 on belongs"));
}

absl::Status ParseEpochs(const std::string& text, double& epochs) {
  if (absl::SimpleAtod(text, &epochs) && epochs > 0 && epochs <= 1e6) return absl::OkStatus();
  return Wrong(StrCat("has \"", text, "\" for epochs"));
}

absl::Status ParseMethod(const std::string& text, std::string& method) {
  if (text != "any" && text != "full" && text != "lora" && text != "qlora")
    return Wrong(StrCat("has the method \"", text, "\", which is none of any, full, lora, qlora"));
  method = text;
  return absl::OkStatus();
}

// Names of models, not paths: files of a user are nothing that a hook reads.
absl::Status ParseModel(const std::string& text, std::string& model) {
  model = text;
  return text.empty() || text.front() == '-' || text.front() == '.' ? Wrong("names no model")
                                                                    : absl::OkStatus();
}

absl::Status SetField(const std::string& name, const std::string& value, QuestionFlags& flags) {
  if (name == "model") return ParseModel(value, flags.model);
  if (name == "context") return ParseCount(value, flags.context);
  if (name == "batch") return ParseCount(value, flags.batch);
  if (name == "dataset_tokens") return ParseCount(value, flags.dataset_tokens);
  if (name == "epochs") return ParseEpochs(value, flags.epochs);
  if (name == "method") return ParseMethod(value, flags.method);
  return Wrong(StrCat("has \"", name, "\", which is not known"));
}

}  // namespace

absl::StatusOr<QuestionFlags> ParseSlurmComment(std::string_view comment) {
  if (!comment.starts_with(kPrefix)) return Wrong("does not begin with \"tunesmith:\"");
  if (comment.size() > kLongest) return Wrong(StrCat("has more than ", kLongest, " characters"));
  if (!std::all_of(comment.begin(), comment.end(), IsHarmless))
    return Wrong("has a character that is no letter, no digit and none of _ . - = , :");
  QuestionFlags flags;
  const absl::string_view fields = ToAbsl(comment.substr(kPrefix.size()));
  for (const absl::string_view field : absl::StrSplit(fields, ',')) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(field, absl::MaxSplits('=', 1));
    TUNESMITH_RETURN_IF_ERROR(SetField(pair.first, pair.second, flags));
  }
  if (flags.model.empty()) return Wrong("names no model");
  if (flags.context == 0) return Wrong("names no context");
  return flags;
}

}  // namespace tunesmith::client
