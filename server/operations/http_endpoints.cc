#include "server/operations/http_endpoints.h"

#include <httplib.h>

#include <functional>
#include <semaphore>
#include <thread>
#include <utility>

#include "common/host_port.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

constexpr int kThreadCount = 2;
constexpr int kMostConnections = 64;
constexpr time_t kPatienceSeconds = 2;
constexpr size_t kMostRequestBytes = 1024;
constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";

// A pool that accepts no further connection while as many as it may have wait or are answered; the kernel's own queue of them is short.
class BoundedPool final : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> answer) override {
    places_.acquire();
    pool_.enqueue([this, answer = std::move(answer)] {
      answer();
      places_.release();
    });
  }
  void shutdown() override { pool_.shutdown(); }

 private:
  std::counting_semaphore<kMostConnections> places_{kMostConnections};
  httplib::ThreadPool pool_{kThreadCount};
};

void Bound(httplib::Server& server) {
  server.new_task_queue = [] { return new BoundedPool(); };
  server.set_read_timeout(kPatienceSeconds);
  server.set_write_timeout(kPatienceSeconds);
  server.set_keep_alive_max_count(1);
  server.set_payload_max_length(kMostRequestBytes);
  // The library's default would let a second server have the same port in silence.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
}

}  // namespace

struct HttpEndpoints::Server {
  httplib::Server http;
  Answers answers;
  int port = 0;
  std::thread thread;
};

HttpEndpoints::HttpEndpoints(std::unique_ptr<Server> server) : server_(std::move(server)) {}

HttpEndpoints::~HttpEndpoints() {
  server_->http.stop();
  if (server_->thread.joinable()) server_->thread.join();
}

int HttpEndpoints::port() const { return server_->port; }

absl::StatusOr<std::unique_ptr<HttpEndpoints>> HttpEndpoints::Start(const std::string& address,
                                                                    Answers answers) {
  auto server = std::make_unique<Server>();
  server->answers = std::move(answers);
  const Answers& asked = server->answers;
  Bound(server->http);
  server->http.Get("/metrics", [&asked](const httplib::Request&, httplib::Response& response) {
    response.set_content(asked.metrics(), kMetricsType);
  });
  server->http.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", "text/plain");
  });
  server->http.Get("/readyz", [&asked](const httplib::Request&, httplib::Response& response) {
    const absl::Status status = asked.ready();
    response.status = status.ok() ? 200 : 503;
    response.set_content(status.ok() ? "ok\n" : StrCat(status.message(), "\n"), "text/plain");
  });
  const auto parts = ParseHostPort(address);
  if (!parts.ok())
    return absl::InvalidArgumentError(StrCat("--http-listen: ", parts.status().message()));
  const int port = parts->port;
  if (port > 0 && server->http.bind_to_port(parts->host.c_str(), port)) server->port = port;
  if (port == 0) server->port = server->http.bind_to_any_port(parts->host.c_str());
  if (server->port <= 0) {
    return absl::UnavailableError(
        StrCat("cannot listen on ", address,
               " for HTTP; another process may have the port, or the address is none of "
               "this host: choose another --http-listen"));
  }
  server->thread = std::thread([raw = server.get()] { raw->http.listen_after_bind(); });
  return std::unique_ptr<HttpEndpoints>(new HttpEndpoints(std::move(server)));
}

}  // namespace tunesmith::server
