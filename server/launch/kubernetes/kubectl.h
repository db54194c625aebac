#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/command.h"
#include "nlohmann/json.hpp"

// The Kubernetes API through kubectl, which knows kubeconfig files, contexts, plugins that log in, proxies, and, in a pod, the service account with its token
// as it is now. Only its --raw calls: paths, queries and JSON as the API's reference has them, whatever kubectl's version.
namespace tunesmith::server {

// What a call that failed means. NOT_FOUND and ALREADY_EXISTS as the server says; FAILED_PRECONDITION: the server refuses it and always will, with its words; all
// else is UNAVAILABLE, since it may pass: no answer, no valid token, a server that is overloaded, a quota that is used up.
absl::Status StatusOfKubectl(const CommandResult& result);

// Thread-safe; each call blocks for at most `timeout`.
class Kubectl {
 public:
  // `context`: of the kubeconfig file; empty: its current one, or the pod's service account.
  Kubectl(std::string context, absl::Duration timeout)
      : context_(std::move(context)), timeout_(timeout) {}

  // Paths begin with "/api/v1/" or "/apis/" and may have a query. Errors as of StatusOfKubectl, and FAILED_PRECONDITION: there is no kubectl.
  absl::StatusOr<nlohmann::json> Get(const std::string& path) const;
  absl::StatusOr<nlohmann::json> Create(const std::string& path, const nlohmann::json& body) const;
  absl::Status Delete(const std::string& path) const;

 private:
  absl::StatusOr<std::string> Run(std::string_view verb, const std::string& path,
                                  const std::string& input) const;

  const std::string context_;
  const absl::Duration timeout_;
};

}  // namespace tunesmith::server
