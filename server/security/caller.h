#pragma once

#include <string>

#include "server/security/roles.h"

namespace tunesmith::server {

// Who makes a call, and by what they are known.
struct Caller {
  std::string name;
  Role role = Role::kAdmin;
  std::string
      known_by;  // "token", "certificate", "socket" (its file lets only some in), "nothing" (a server without an access file)
};

}  // namespace tunesmith::server
