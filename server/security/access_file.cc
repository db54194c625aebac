#include "server/security/access_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/private_file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/text.h"
#include "server/security/token.h"

namespace tunesmith::server {
namespace {

constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxHashQuoteBytes = 12;
constexpr std::string_view kExpires = "expires=";

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && name.find('#') == name.npos &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
}

absl::Status NotAName() {
  return absl::InvalidArgumentError(
      StrCat("names are 1 to ", kMaxNameBytes,
             " printable ASCII characters without blanks and #; choose another name"));
}

std::optional<AccessKind> ParseKind(std::string_view word) {
  if (word == "token") return AccessKind::kToken;
  if (word == "certificate") return AccessKind::kCertificate;
  if (word == "subject") return AccessKind::kSubject;
  return std::nullopt;
}

std::string NotARole(std::string_view role) {
  return StrCat("\"", role, "\" is no role; there are reader, submitter and admin");
}

absl::Status ReadExpiry(std::string_view word, AccessEntry& entry) {
  std::string problem;
  if (word.starts_with(kExpires) &&
      absl::ParseTime(absl::RFC3339_full, ToAbsl(word.substr(kExpires.size())), &entry.expires,
                      &problem))
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("\"", word, "\" is not understood; write expires=2027-01-31T00:00:00Z, or nothing"));
}

absl::Status ReadHash(std::string_view word, AccessEntry& entry) {
  const std::optional<std::string> hash = ParseHash(word);
  if (hash) {
    entry.hash = *hash;
    return absl::OkStatus();
  }
  // Somebody may have pasted the token itself: only its beginning is repeated.
  return absl::InvalidArgumentError(StrCat(
      "\"", word.substr(0, kMaxHashQuoteBytes),
      "...\" is no hash; write sha256: and 64 hexadecimal digits, as tunesmithd --add-token does"));
}

absl::StatusOr<AccessEntry> ReadLine(const std::vector<std::string_view>& words) {
  const std::optional<AccessKind> kind = ParseKind(words[0]);
  if (!kind) {
    return absl::InvalidArgumentError(StrCat("begins with \"",
                                             words[0].substr(0, kMaxHashQuoteBytes),
                                             "\"; begin it with token, certificate or subject"));
  }
  AccessEntry entry{.kind = *kind, .name = {}, .hash = {}};
  const size_t fixed_count = entry.kind == AccessKind::kToken ? 4 : 3;
  if (words.size() < fixed_count || words.size() > fixed_count + 1)
    return absl::InvalidArgumentError(
        "has too few or too many words; write: token NAME ROLE sha256:..., or: certificate NAME "
        "ROLE, or: subject NAME ROLE");
  if (!IsName(words[1])) return NotAName();
  entry.name = words[1];
  const std::optional<Role> role = ParseRole(words[2]);
  if (!role) return absl::InvalidArgumentError(NotARole(words[2]));
  entry.role = *role;
  if (entry.kind == AccessKind::kToken) TUNESMITH_RETURN_IF_ERROR(ReadHash(words[3], entry));
  if (words.size() > fixed_count) TUNESMITH_RETURN_IF_ERROR(ReadExpiry(words[fixed_count], entry));
  return entry;
}

// The file is opened for appending and created with a mode that keeps others out, before anything is in it.
absl::Status AppendPrivateLine(const std::string& path, const std::string& line) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor >= 0) close(descriptor);
  return AppendLine(path, line);
}

}  // namespace

absl::StatusOr<std::vector<AccessEntry>> ParseAccessFile(const std::string& text) {
  std::vector<AccessEntry> entries;
  std::vector<std::string> problems;
  std::set<std::pair<AccessKind, std::string>> names;
  int64_t number = 0;
  for (const std::string_view line : StrSplit(text, "\n")) {
    ++number;
    const std::vector<std::string_view> words =
        StrSplitSkipEmpty(line.substr(0, line.find('#')), " \t\r");
    if (words.empty()) continue;
    absl::StatusOr<AccessEntry> entry = ReadLine(words);
    if (entry.ok() && !names.emplace(entry->kind, entry->name).second)
      entry =
          absl::InvalidArgumentError(StrCat("names ", entry->name, " again; choose another name"));
    if (!entry.ok()) {
      problems.push_back(StrCat("line ", number, " ", entry.status().message()));
      continue;
    }
    entries.push_back(*std::move(entry));
  }
  if (problems.empty()) return entries;
  return absl::InvalidArgumentError(absl::StrJoin(problems, "; "));
}

absl::StatusOr<std::string> AddToken(const std::string& path, const std::string& name,
                                     const std::string& role) {
  absl::StatusOr<std::string> text = ReadPrivateFile(path);
  if (absl::IsNotFound(text.status())) text = "";
  TUNESMITH_RETURN_IF_ERROR(text.status());
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<AccessEntry> entries, ParseAccessFile(*text));
  if (!IsName(name)) return NotAName();
  if (!ParseRole(role)) return absl::InvalidArgumentError(NotARole(role));
  for (const AccessEntry& entry : entries) {
    if (entry.kind == AccessKind::kToken && entry.name == name)
      return absl::AlreadyExistsError(StrCat(path, " has a token of ", name,
                                             "; choose another name, or take its line out first"));
  }
  const std::optional<std::string> token = NewToken();
  if (!token) return absl::UnavailableError("the system gives no random numbers");
  const std::string newline = text->empty() || text->ends_with('\n') ? "" : "\n";
  TUNESMITH_RETURN_IF_ERROR(AppendPrivateLine(
      path, StrCat(newline, "token ", name, " ", role, " ", HashText(HashToken(*token)))));
  return *token;
}

}  // namespace tunesmith::server
