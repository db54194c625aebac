#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "trainer/comm/message_transport.h"
#include "trainer/comm/tcp_mesh.h"

namespace tunesmith::trainer {

// Messages by the connections of MeetByTcp, to the other ranks by their numbers.
//
// A message is cut into equal parts for the streams, where it is long enough; each part has a head that says how many bytes follow. What nobody has begun to receive stays in the kernel's
// buffers, so that bytes are copied once on each side.
std::unique_ptr<MessageTransport> MakeTcpTransport(int64_t rank, std::vector<TcpLinks> links);

}  // namespace tunesmith::trainer
