#include "tests/server/security_fixture.h"

#include <sys/stat.h>

#include <chrono>
#include <fstream>

#include "grpcpp/generic/generic_stub.h"
#include "server/security/token.h"
#include "tests/server/certificates.h"

namespace tunesmith::server {

Headers Bearer(const std::string& token) { return {{"authorization", "Bearer " + token}}; }

grpc::Status CallAny(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                     const Headers& headers, size_t body_bytes) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  for (const auto& [key, value] : headers) context.AddMetadata(key, value);
  const grpc::Slice slice(std::string(body_bytes, '\n'));
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
  call->StartCall();
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return status;
}

std::vector<std::string> Tls(const std::string& server) {
  return {"--tls-cert", Certificate(server + ".crt"), "--tls-key", Certificate(server + ".key")};
}

std::shared_ptr<grpc::ChannelCredentials> TlsClient(const std::string& client,
                                                    const std::string& authority) {
  grpc::SslCredentialsOptions options{.pem_root_certs = Slurp(Certificate(authority + ".crt")),
                                      .pem_private_key = {},
                                      .pem_cert_chain = {}};
  if (!client.empty()) options.pem_private_key = Slurp(Certificate(client + ".key"));
  if (!client.empty()) options.pem_cert_chain = Slurp(Certificate(client + ".crt"));
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> NewChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  static int number = 100;
  grpc::ChannelArguments arguments;
  arguments.SetInt("channel_number", ++number);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

grpc::Status FirstCall(const std::string& address,
                       const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                       const Headers& headers) {
  grpc::Status status;
  for (int tries = 0; tries < 2; ++tries) {
    status = CallAny(NewChannel(address, credentials), kReaderMethod, headers);
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return status;
  }
  return status;
}

std::vector<nlohmann::json> Lines(const std::string& path) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::string SecurityTest::AccessFile() {
  const std::string path = scratch_.path() + "/access";
  std::string text = "certificate alice submitter\ncertificate bob submitter\n";
  for (const char* role : {"reader", "submitter", "admin"}) {
    tokens_[role] = NewToken().value();
    text += std::string("token ") + role + "-token " + role + " " +
            HashText(HashToken(tokens_[role])) + "\n";
  }
  std::ofstream(path) << text;
  chmod(path.c_str(), 0600);
  return path;
}

}  // namespace tunesmith::server
