#pragma once

#include <optional>
#include <string>
#include <string_view>

// Who may call what. Each role may do what those before it may.
namespace tunesmith::server {

enum class Role {
  kOpen,       // anybody: for probes
  kReader,     // ask, and look at jobs and their logs
  kSubmitter,  // make, stop and resume jobs; report measurements
  kAdmin,      // change what everybody is answered
};

// "reader", "submitter", "admin".
std::string_view RoleName(Role role);

// None for another word; nobody has the role "open".
std::optional<Role> ParseRole(std::string_view name);

// What a method ("/tunesmith.v1.JobService/GetJob") needs. A method that the table does not have needs an admin.
Role RoleFor(std::string_view method);

// Whether the table has the method.
bool HasRole(std::string_view method);

}  // namespace tunesmith::server
