#include "common/unfinished_files.h"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

namespace tunesmith {
namespace {

namespace fs = std::filesystem;

bool TakeBack(std::string_view* text, std::string_view end) {
  if (!text->ends_with(end)) return false;
  text->remove_suffix(end.size());
  return true;
}

bool TakeBackNumber(std::string_view* text) {
  const size_t last = text->find_last_not_of("0123456789");
  const size_t begin = last == std::string_view::npos ? 0 : last + 1;
  const bool found = begin < text->size();
  text->remove_suffix(text->size() - begin);
  return found;
}

// As AtomicFileWriter names them: "name.<process>-<number>.tmp".
bool IsUnfinished(std::string_view name) {
  return TakeBack(&name, ".tmp") && TakeBackNumber(&name) && TakeBack(&name, "-") &&
         TakeBackNumber(&name) && TakeBack(&name, ".") && !name.empty();
}

}  // namespace

void RemoveUnfinishedFiles(const std::string& directory) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error))
    if (IsUnfinished(entry->path().filename().string())) found.push_back(entry->path());
  for (const fs::path& path : found) fs::remove(path, error);
}

}  // namespace tunesmith
