#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/server/server_process.h"

// A Kubernetes of this process's own: the test API server of kubernetes/api_server.py, whose pods are processes of this host, and a kubeconfig file for kubectl.
namespace tunesmith::server {

class KubernetesCluster {
 public:
  // Why there is none: empty where kubectl and what the server needs are installed, else what installs it.
  static std::string WhyAbsent();

  // Starts it and sets KUBECONFIG in this process's environment. Fails the test where that cannot be done. `trainer`: the one that pods have; empty: the fake one.
  explicit KubernetesCluster(const std::string& trainer = "");
  // Ends the server and the pods' processes.
  ~KubernetesCluster();

  // What tunesmithd must be told, beside --launchers. Pods see the folder `shared`.
  std::vector<std::string> Flags(const std::string& shared) const;
  // Where shim and trainer are in pods.
  std::string BinaryDirectory() const { return scratch_.path() + "/bin"; }

  // Has the server do something: a method of Control in kubernetes/api_server.py, and its arguments.
  nlohmann::json Do(const std::string& what, nlohmann::json arguments = nlohmann::json::object());

  // Objects of a kind ("Job", "Pod") as the server has them.
  std::vector<nlohmann::json> Objects(const std::string& kind);

  // The requests that were made so far, "GET /apis/...".
  std::vector<std::string> Requests() const;

  // The tokens that the server takes, and the one that kubectl shows.
  void TakeTokens(const std::string& tokens) const;
  void ShowToken(const std::string& token) const;

  // A server that does not answer (SIGSTOP), and one that does again.
  void Pause() const;
  void Resume() const;

 private:
  ScratchDirectory scratch_;
  pid_t pid_ = 0;
  int port_ = 0;
};

}  // namespace tunesmith::server
