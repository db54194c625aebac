#include "planner/model/catalog.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "common/suggest.h"
#include "common/text.h"
#include "planner/model/catalog_rows.h"
#include "planner/model/family.h"

namespace tunesmith::planner {
namespace {

std::vector<ModelSpec> Specs() {
  std::vector<ModelSpec> specs;
  for (const CatalogRow& row : CatalogRows()) specs.push_back(row.spec);
  return specs;
}

std::vector<std::string> KnownNames() {
  std::vector<std::string> names;
  for (const ModelSpec& spec : ModelCatalog()) names.push_back(spec.name);
  return names;
}

const ModelSpec* FindExact(std::string_view name) {
  for (const ModelSpec& spec : ModelCatalog()) {
    if (EqualsIgnoreCase(spec.name, name)) return &spec;
  }
  return nullptr;
}

// Llama's makers put their own name before some of its models.
std::string_view WithoutMaker(std::string_view name) {
  constexpr std::string_view kMaker = "meta-";
  return EqualsIgnoreCase(name.substr(0, kMaker.size()), kMaker) ? name.substr(kMaker.size())
                                                                 : name;
}
std::string_view WithoutTuning(std::string_view name) {
  for (const std::string_view suffix : {"-hf", "-instruct", "-chat", "-it", "-base"}) {
    if (EndsWithIgnoreCase(name, suffix)) name.remove_suffix(suffix.size());
  }
  return name;
}
std::string_view ShapeName(std::string_view name) {
  return WithoutTuning(WithoutMaker(WithoutOrganization(name)));
}

const ModelSpec* FindShapeOf(std::string_view name) {
  for (const ModelSpec& spec : ModelCatalog()) {
    if (EqualsIgnoreCase(ShapeName(spec.name), ShapeName(name))) return &spec;
  }
  return nullptr;
}

constexpr std::string_view kTaken = "taken to have the shape of ";

// A row by its name, else by what of its name tells its shape.
std::optional<ModelSpec> FindRow(std::string_view name) {
  if (const ModelSpec* row = FindExact(name)) return *row;
  const ModelSpec* row = FindExact(WithoutOrganization(name));
  if (row == nullptr) row = FindShapeOf(name);
  if (row == nullptr) return std::nullopt;
  ModelSpec spec = *row;
  spec.name = name;
  spec.source += StrCat("; ", kTaken, row->name);
  return spec;
}

const UnplannedModel* FindUnplanned(std::string_view name) {
  for (const UnplannedModel& model : UnplannedModels()) {
    if (EqualsIgnoreCase(model.name, name) ||
        EqualsIgnoreCase(WithoutOrganization(model.name), WithoutOrganization(name))) {
      return &model;
    }
  }
  return nullptr;
}

// Digits, a point or a sign, then one unit letter: meant as a size even if it is a wrong one.
bool LooksLikeSize(std::string_view name) {
  if (name.size() < 2) return false;
  const char unit = absl::ascii_tolower(name.back());
  const std::string_view number = name.substr(0, name.size() - 1);
  return (unit == 'b' || unit == 'm') &&
         number.find_first_not_of("+-.0123456789") == std::string_view::npos;
}

}  // namespace

std::string_view WithoutOrganization(std::string_view name) {
  return name.substr(name.rfind('/') + 1);  // npos + 1 == 0
}

const std::vector<ModelSpec>& ModelCatalog() {
  static const auto* const specs = new std::vector<ModelSpec>(Specs());
  return *specs;
}

absl::StatusOr<ModelSpec> FindModel(std::string_view name) {
  if (std::optional<ModelSpec> row = FindRow(name)) return *std::move(row);
  if (LooksLikeSize(name)) return ModelSpecFromParameterCount(name);
  if (const UnplannedModel* model = FindUnplanned(name)) {
    return absl::UnimplementedError(StrCat("model '", model->name,
                                           "' is known but not planned yet (", model->why,
                                           "); planned: ", KnownFamilies()));
  }
  return absl::NotFoundError(
      StrCat("no model '", name,
             "' in the catalog (a size such as 7B or a directory with a config.json works too); ",
             DidYouMean(WithoutOrganization(name), KnownNames())));
}

std::string NoteOnShape(std::string_view name, std::string_view source) {
  const size_t taken = source.rfind(kTaken);
  if (taken != std::string_view::npos)
    return StrCat("Model ", name, " is ", source.substr(taken), ".");
  return source.starts_with(kAssumedFromSize) ? StrCat("Model ", name, " is ", source, ".") : "";
}

}  // namespace tunesmith::planner
