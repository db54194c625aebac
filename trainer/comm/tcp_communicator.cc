#include "trainer/comm/tcp_communicator.h"

#include <utility>

#include "common/status_macros.h"
#include "trainer/comm/message_communicator.h"
#include "trainer/comm/tcp_transport.h"

namespace tunesmith::trainer {

absl::StatusOr<std::unique_ptr<Communicator>> OpenTcpCommunicator(const TcpRank& self,
                                                                  const TimeLimits& limits) {
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<TcpLinks> links, MeetByTcp(self, limits));
  return MakeMessageCommunicator(MakeTcpTransport(self.rank, std::move(links)), self.rank,
                                 self.size, limits);
}

}  // namespace tunesmith::trainer
