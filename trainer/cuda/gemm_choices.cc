#include "trainer/cuda/gemm_choices.h"

#include <cstdlib>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

// "32 4096 ... : 1f 0 ...": a key in decimal, an algorithm in hexadecimal.
std::string LineOf(const GemmKey& key, const GemmAlgorithm& algorithm) {
  std::ostringstream line;
  for (const int64_t field : key) line << field << ' ';
  line << ':' << std::hex;
  for (const uint64_t word : algorithm) line << ' ' << word;
  line << '\n';
  return line.str();
}

bool ParseLine(const std::string& text, GemmKey& key, GemmAlgorithm& algorithm) {
  std::istringstream line(text);
  for (int64_t& field : key) line >> field;
  std::string colon, rest;
  line >> colon >> std::hex;
  for (uint64_t& word : algorithm) line >> word;
  return line && colon == ":" && !(line >> rest);
}

std::map<GemmKey, GemmAlgorithm> Read(const std::string& path) {
  std::map<GemmKey, GemmAlgorithm> known;
  if (path.empty()) return known;
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return known;  // not written yet, or not for us: products are measured anew
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    GemmKey key;
    GemmAlgorithm algorithm;
    if (ParseLine(line, key, algorithm)) known[key] = algorithm;
  }
  return known;
}

}  // namespace

GemmChoices::GemmChoices(std::string path) : path_(std::move(path)), known_(Read(path_)) {}

const GemmAlgorithm* GemmChoices::Find(const GemmKey& key) const {
  const auto found = known_.find(key);
  return found == known_.end() ? nullptr : &found->second;
}

void GemmChoices::Add(const GemmKey& key, const GemmAlgorithm& algorithm) {
  known_[key] = added_[key] = algorithm;
}

absl::Status GemmChoices::Save() {
  if (path_.empty() || added_.empty()) return absl::OkStatus();
  const size_t slash = path_.rfind('/');
  if (slash != std::string::npos)
    TUNESMITH_RETURN_IF_ERROR(MakeDirectories(path_.substr(0, slash)));
  std::map<GemmKey, GemmAlgorithm> all = Read(path_);
  for (const auto& [key, algorithm] : added_) all[key] = algorithm;
  std::string text;
  for (const auto& [key, algorithm] : all) text += LineOf(key, algorithm);
  TUNESMITH_RETURN_IF_ERROR(WriteFileAtomically(path_, text));
  added_.clear();
  return absl::OkStatus();
}

std::string GemmChoicesPath(std::string_view device_name, int64_t library_version) {
  std::string directory;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) {
    directory = cache;
  } else if (const char* home = std::getenv("HOME"); home && *home) {
    directory = StrCat(home, "/.cache");
  } else {
    return "";
  }
  std::string name(device_name);
  for (char& c : name) c = absl::ascii_isalnum(static_cast<unsigned char>(c)) ? c : '-';
  return StrCat(directory, "/tunesmith/products-", absl::AsciiStrToLower(name), "-",
                library_version, ".txt");
}

}  // namespace tunesmith::trainer
