#pragma once

#include <string>

#include "tests/server/server_process.h"

// What a server says over HTTP.
namespace tunesmith::server {

// The port of --http-listen 127.0.0.1:0, once the server has told it; 0 after five seconds without.
int HttpPortOf(const ServerProcess& server);

// The body; nothing when there is no answer, whose status is then 0.
std::string HttpGet(int port, const std::string& path, int* status = nullptr);

// Of a text of metrics the figure of this name, with its labels as they stand there; NaN when there is none.
double MetricOf(const std::string& text, const std::string& name);

}  // namespace tunesmith::server
