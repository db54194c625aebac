#include "tests/server/stand_in_commands.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

namespace tunesmith::server {
namespace {

std::vector<std::string> Lines(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

}  // namespace

StandInCommands::StandInCommands() : path_(std::getenv("PATH")) {
  setenv("PATH", (scratch_.path() + ":" + path_).c_str(), 1);
}

StandInCommands::~StandInCommands() { setenv("PATH", path_.c_str(), 1); }

void StandInCommands::Say(const std::string& command, const std::string& script) const {
  const std::string log = scratch_.path() + "/" + command + ".log";
  const std::string path =
      scratch_.File(command, "#!/bin/sh\necho \"$*\" >>'" + log + "'\n" + script + "\n");
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
}

int StandInCommands::CountOf(const std::string& command) const {
  return static_cast<int>(Lines(scratch_.path() + "/" + command + ".log").size());
}

std::string StandInCommands::LastOf(const std::string& command) const {
  const std::vector<std::string> lines = Lines(scratch_.path() + "/" + command + ".log");
  return lines.empty() ? "" : lines.back();
}

}  // namespace tunesmith::server
