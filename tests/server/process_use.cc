#include "tests/server/process_use.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace tunesmith::server {
namespace {

int64_t EntryCount(const std::string& directory) {
  std::error_code error;
  const std::filesystem::directory_iterator entries(directory, error);
  return error ? 0 : std::distance(begin(entries), end(entries));
}

}  // namespace

ProcessUse UseOf(pid_t pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  std::ifstream statm(process + "/statm");
  int64_t size_pages = 0, resident_pages = 0;
  statm >> size_pages >> resident_pages;
  return {.resident_bytes = resident_pages * sysconf(_SC_PAGESIZE),
          .open_file_count = EntryCount(process + "/fd"),
          .thread_count = EntryCount(process + "/task")};
}

}  // namespace tunesmith::server
