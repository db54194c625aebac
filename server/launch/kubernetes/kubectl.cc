#include "server/launch/kubernetes/kubectl.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"

// kubectl writes "Error from server (AlreadyExists): jobs.batch \"x\" already exists", with the reason that the server gave; of an object that is not valid,
// "The Job \"x\" is invalid: ..." (before 1.24 without saying why, where the server gives no details).
namespace tunesmith::server {
namespace {

// Reasons of refusals that a repetition does not cure (k8s.io/apimachinery, meta/v1 StatusReason).
constexpr std::string_view kFinal[] = {"Forbidden",     "Invalid",
                                       "BadRequest",    "MethodNotAllowed",
                                       "NotAcceptable", "RequestEntityTooLarge",
                                       "Gone",          "UnsupportedMediaType"};

// "AlreadyExists"; empty where the server gave none.
std::string_view ReasonOf(std::string_view text) {
  constexpr std::string_view kMark = "Error from server (";
  const size_t at = text.find(kMark);
  if (at != std::string_view::npos) {
    const std::string_view rest = text.substr(at + kMark.size());
    return rest.substr(0, rest.find(')'));
  }
  return text.starts_with("The ") && text.find(" is invalid") != std::string_view::npos ? "Invalid"
                                                                                        : "";
}

bool IsFinal(std::string_view reason, std::string_view text) {
  // A quota has room again when others have ended.
  if (reason == "Forbidden" && text.find("exceeded quota") != std::string_view::npos) return false;
  return std::find(std::begin(kFinal), std::end(kFinal), reason) != std::end(kFinal);
}

}  // namespace

absl::Status StatusOfKubectl(const CommandResult& result) {
  if (result.status == 0) return absl::OkStatus();
  const std::string_view reason = ReasonOf(result.errors);
  const std::string text = StrCat("kubectl: ", FirstLine(result.errors));
  if (reason == "NotFound") return absl::NotFoundError(text);
  if (reason == "AlreadyExists") return absl::AlreadyExistsError(text);
  if (reason == "Forbidden" && IsFinal(reason, result.errors)) {
    return absl::FailedPreconditionError(
        StrCat(text, "; deploy/kubernetes/rbac.json has the rights that are needed"));
  }
  return IsFinal(reason, result.errors) ? absl::FailedPreconditionError(text)
                                        : absl::UnavailableError(text);
}

absl::StatusOr<std::string> Kubectl::Run(std::string_view verb, const std::string& path,
                                         const std::string& input) const {
  std::vector<std::string> words = {"kubectl", std::string(verb), "--raw", path};
  if (!input.empty()) words.insert(words.end(), {"-f", "-"});
  if (!context_.empty()) words.insert(words.end(), {"--context", context_});
  auto result = RunCommand({.arguments = std::move(words),
                            .input = input,
                            .directory = {},
                            .hidden_prefixes = {},
                            .timeout = timeout_});
  if (absl::IsNotFound(result.status())) {
    return absl::FailedPreconditionError(
        StrCat(result.status().message(), "; install kubectl on the server's host"));
  }
  TUNESMITH_RETURN_IF_ERROR(result.status());
  TUNESMITH_RETURN_IF_ERROR(StatusOfKubectl(*result));
  return std::move(result->output);
}

absl::StatusOr<nlohmann::json> Kubectl::Get(const std::string& path) const {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, Run("get", path, ""));
  auto answer = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (answer.is_object()) return answer;
  return absl::UnavailableError(StrCat("kubectl get --raw ", path, " gave no JSON object"));
}

absl::StatusOr<nlohmann::json> Kubectl::Create(const std::string& path,
                                               const nlohmann::json& body) const {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, Run("create", path, body.dump()));
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

absl::Status Kubectl::Delete(const std::string& path) const {
  return Run("delete", path, "").status();
}

}  // namespace tunesmith::server
