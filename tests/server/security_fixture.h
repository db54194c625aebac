#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/grpcpp.h"
#include "nlohmann/json.hpp"
#include "tests/server/server_process.h"

// What those have who try to get in, and a server to try it on.
namespace tunesmith::server {

inline constexpr char kReaderMethod[] = "/tunesmith.v1.RecommenderService/ListModels";
inline constexpr char kAdminMethod[] = "/tunesmith.v1.RecommenderService/CreateModel";

using Headers = std::vector<std::pair<std::string, std::string>>;

Headers Bearer(const std::string& token);

// A call of any method, with a body of so many bytes that no message has.
grpc::Status CallAny(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                     const Headers& headers = {}, size_t body_bytes = 0);

// Flags of a server with a certificate of that name.
std::vector<std::string> Tls(const std::string& server = "server");

// Of a client with a certificate, unless `client` is empty, that trusts `authority`.
std::shared_ptr<grpc::ChannelCredentials> TlsClient(const std::string& client = "",
                                                    const std::string& authority = "ca");

// Each has a connection of its own, made anew.
std::shared_ptr<grpc::Channel> NewChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials);

// The first call of gRPC 1.51 may fail by itself, see Connect: two tries.
grpc::Status FirstCall(const std::string& address,
                       const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                       const Headers& headers = {});

// Of a log whose lines are JSON.
std::vector<nlohmann::json> Lines(const std::string& path);

class SecurityTest : public ::testing::Test {
 protected:
  std::string DataDirectory() const { return scratch_.path() + "/data"; }

  // The access file, with a token of each role and a certificate.
  std::string AccessFile();

  ScratchDirectory scratch_;
  std::map<std::string, std::string> tokens_;  // by role
};

}  // namespace tunesmith::server
