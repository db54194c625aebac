#pragma once

#include <string>

#include "tests/server/server_process.h"

namespace tunesmith::server {

// Commands of a folder that is first on this process's PATH while the object lives: shell scripts that say what a test wants, and that count.
class StandInCommands {
 public:
  StandInCommands();
  ~StandInCommands();

  // From now on the command runs this script.
  void Say(const std::string& command, const std::string& script) const;

  // How often the command was run.
  int CountOf(const std::string& command) const;

  // The words of its last run, joined by blanks; empty: it was not run.
  std::string LastOf(const std::string& command) const;

 private:
  ScratchDirectory scratch_;
  std::string path_;  // as PATH was
};

}  // namespace tunesmith::server
