#include "server/security/path_roots.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

namespace fs = std::filesystem;

constexpr char kModelRoot[] = "--model-root";
constexpr char kDataRoot[] = "--data-root";
constexpr char kOutputRoot[] = "--output-root";

bool IsBelow(const std::string& path, const std::string& root) {
  return root == "/" || path == root || path.starts_with(StrCat(root, "/"));
}

absl::Status Outside(const std::string& path, const std::vector<std::string>& roots,
                     const std::string& flag) {
  if (roots.empty())
    return absl::InvalidArgumentError(StrCat(
        "is \"", path, "\", and this server takes no such path: it was started without ", flag));
  return absl::InvalidArgumentError(StrCat("is \"", path, "\", which does not lead below ",
                                           absl::StrJoin(roots, " or "),
                                           ", where this server allows it (", flag, ")"));
}

// The files that a model's directory holds are opened by name, and what an output's directory holds is replaced: each must lead below the roots too. One that cannot be listed may hold any.
absl::Status CheckEntries(const std::string& directory, const std::vector<std::string>& roots,
                          const std::string& flag) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    std::error_code unknown;
    if (entry->is_symlink(unknown) || unknown)
      TUNESMITH_RETURN_IF_ERROR(ResolveBelow(entry->path().string(), roots, flag).status());
  }
  const bool is_no_directory =
      error == std::errc::not_a_directory || error == std::errc::no_such_file_or_directory;
  if (!error || is_no_directory) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("is \"", directory,
                                           "\", whose files this server cannot list (", flag,
                                           "); let its user read the directory"));
}

// Of a file, or of a directory with what it holds.
absl::StatusOr<std::string> ResolveWithEntries(const std::string& path,
                                               const std::vector<std::string>& roots,
                                               const std::string& flag) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string real, ResolveBelow(path, roots, flag));
  TUNESMITH_RETURN_IF_ERROR(CheckEntries(real, roots, flag));
  return real;
}

absl::Status Resolve(std::vector<std::string>& roots, const char* flag) {
  for (std::string& root : roots) {
    std::error_code error;
    const fs::path real = fs::canonical(root, error);
    if (error || !fs::is_directory(real, error))
      return absl::NotFoundError(
          StrCat(flag, " ", root, " is no directory; make it, or name another"));
    root = real.string();
  }
  return absl::OkStatus();
}

struct ConfinedField {
  const char* name;
  std::string* path;
  const std::vector<std::string>* roots;
  const char* flag;
  bool is_directory = false;  // it may be, and what it holds is opened by name
};

std::vector<ConfinedField> FieldsOf(const PathRoots& roots, v1::JobSpec& spec) {
  return {{"spec.model_path", spec.mutable_model_path(), &roots.models, kModelRoot, true},
          {"spec.dataset_path", spec.mutable_dataset_path(), &roots.data, kDataRoot},
          {"spec.evaluation_path", spec.mutable_evaluation_path(), &roots.data, kDataRoot},
          {"spec.chat_template_path", spec.mutable_chat_template_path(), &roots.data, kDataRoot},
          {"spec.output_dir", spec.mutable_output_dir(), &roots.outputs, kOutputRoot, true}};
}

}  // namespace

absl::StatusOr<PathRoots> ResolveRoots(PathRoots roots) {
  TUNESMITH_RETURN_IF_ERROR(Resolve(roots.models, kModelRoot));
  TUNESMITH_RETURN_IF_ERROR(Resolve(roots.data, kDataRoot));
  TUNESMITH_RETURN_IF_ERROR(Resolve(roots.outputs, kOutputRoot));
  return roots;
}

absl::StatusOr<std::string> ResolveBelow(const std::string& path,
                                         const std::vector<std::string>& roots,
                                         const std::string& flag) {
  std::error_code error;
  const std::string real = fs::weakly_canonical(path, error).string();
  const bool below = !error && path.find('\0') == std::string::npos &&
                     std::any_of(roots.begin(), roots.end(),
                                 [&](const std::string& root) { return IsBelow(real, root); });
  if (!below) return Outside(path, roots, flag);
  return real;
}

absl::StatusOr<std::string> ConfineModel(const PathRoots& roots, const std::string& path) {
  if (!roots.confines) return path;
  return ResolveWithEntries(path, roots.models, kModelRoot);
}

void ConfinePaths(const PathRoots& roots, v1::JobSpec& spec, convert::Violations& violations) {
  if (!roots.confines) return;
  for (const ConfinedField& field : FieldsOf(roots, spec)) {
    if (!field.path->starts_with('/')) continue;  // absent, or refused already
    absl::StatusOr<std::string> real =
        field.is_directory ? ResolveWithEntries(*field.path, *field.roots, field.flag)
                           : ResolveBelow(*field.path, *field.roots, field.flag);
    violations.AddStatus(field.name, real.status());
    if (real.ok()) *field.path = *std::move(real);
  }
}

absl::Status CheckStillConfined(const PathRoots& roots, const v1::JobSpec& spec) {
  v1::JobSpec now = spec;
  convert::Violations violations;
  ConfinePaths(roots, now, violations);
  if (const absl::Status status = violations.ToStatus(); !status.ok())
    return absl::FailedPreconditionError(status.message());
  if (now.SerializeAsString() == spec.SerializeAsString()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "a path of the job leads elsewhere than when it was created; create the job anew");
}

}  // namespace tunesmith::server
