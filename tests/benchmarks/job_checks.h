#pragma once

#include <string>

#include "tests/server/server_process.h"

// Whether a job that has ended, whose trainers were stand-ins, was carried out as it should have been. Empty: it was.
namespace tunesmith::server {

// Two trainers ran at once, or an attempt was started twice.
std::string DoubleStartOf(const v1::Job& job);

// Its events have a hole or a repetition, or differ from those that its trainers wrote.
std::string EventFaultOf(ServerProcess& server, const v1::Job& job);

}  // namespace tunesmith::server
