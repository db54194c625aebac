#include "server/catalog.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/suggest.h"
#include "planner/model/catalog.h"
#include "planner/model/hardware.h"
#include "proto/convert/answer.h"
#include "proto/convert/model.h"
#include "server/error_info.h"
#include "server/job_requests.h"
#include "server/requests.h"

namespace tunesmith::server {
namespace {

constexpr size_t kMaxNameBytes = 96;
constexpr size_t kMaxAddedCount = 10000;

std::string Key(const std::string& name) { return absl::AsciiStrToLower(name); }

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
}

void CheckName(std::string_view field, const std::string& name, int slashes_allowed,
               convert::Violations& violations) {
  int slashes = 0;
  const bool good = std::all_of(name.begin(), name.end(), [&](char c) {
    return IsNameCharacter(c) || (c == '/' && ++slashes <= slashes_allowed);
  });
  if (name.empty() || name.size() > kMaxNameBytes || !good) {
    violations.Add(field, StrCat("is \"", name.substr(0, kMaxNameBytes), "\", must be 1 to ",
                                 kMaxNameBytes, " letters, digits, '.', '_' or '-'",
                                 slashes_allowed > 0 ? ", with one '/' at most" : ""));
  }
}

absl::Status NameTaken(const char* what, const std::string& name) {
  return WithReason(absl::AlreadyExistsError(StrCat("there is a ", what, " \"", name,
                                                    "\" already; choose another name")),
                    "NAME_TAKEN", {{"name", name}});
}

absl::Status TooMany() {
  return WithReason(absl::ResourceExhaustedError(StrCat("the catalog holds ", kMaxAddedCount,
                                                        " additions, which is all it takes")),
                    "CATALOG_FULL");
}

// One addition: the answer to the request is the row itself. `added` tells whether it is new.
template <typename Response>
absl::StatusOr<Response> Insert(DatabasePool& pool, const RequestKey& key, const char* sql,
                                const std::string& name, const std::string& bytes,
                                const Response& answer, bool* added) {
  return pool.Write([&](Database& database) -> absl::StatusOr<Response> {
    TUNESMITH_ASSIGN_OR_RETURN(const auto stored, StoredAnswer(database, key));
    *added = !stored.has_value();
    Response result;
    if (stored && result.ParseFromString(*stored)) return result;
    TUNESMITH_ASSIGN_OR_RETURN(Statement insert, database.Prepare(sql));
    TUNESMITH_RETURN_IF_ERROR(insert.BindText(name).BindBlob(bytes).Run());
    TUNESMITH_RETURN_IF_ERROR(StoreAnswer(database, key, answer));
    return answer;
  });
}

template <typename Message>
absl::Status LoadTable(DatabasePool& pool, const char* sql, std::map<std::string, Message>& into) {
  return pool.Read([&](Database& database) {
    TUNESMITH_ASSIGN_OR_RETURN(Statement statement, database.Prepare(sql));
    while (true) {
      TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) return absl::OkStatus();
      Message message;
      if (!message.ParseFromString(statement.Bytes(0)))
        return absl::DataLossError("a row of the catalog does not parse; restore a backup");
      into[Key(message.name())] = std::move(message);
    }
  });
}

}  // namespace

absl::Status Catalog::Load() {
  std::lock_guard lock(mutex_);
  TUNESMITH_RETURN_IF_ERROR(LoadTable(pool_, "SELECT model FROM models", models_));
  return LoadTable(pool_, "SELECT gpu FROM gpus", gpus_);
}

v1::ListModelsResponse Catalog::ListModels() const {
  v1::ListModelsResponse response = convert::AnswerListModels();
  std::lock_guard lock(mutex_);
  for (const auto& [key, model] : models_) *response.add_models() = model;
  return response;
}

v1::ListGpusResponse Catalog::ListGpus() const {
  v1::ListGpusResponse response = convert::AnswerListGpus();
  std::lock_guard lock(mutex_);
  for (const auto& [key, gpu] : gpus_) *response.add_gpus() = gpu;
  return response;
}

absl::StatusOr<v1::GetModelResponse> Catalog::GetModel(const std::string& name) const {
  v1::GetModelResponse response;
  {
    std::lock_guard lock(mutex_);
    const auto model = models_.find(Key(name));
    if (model != models_.end()) {
      *response.mutable_model() = model->second;
      return response;
    }
  }
  auto known = planner::FindModel(name);
  if (!known.ok()) return WithReason(known.status(), "MODEL_NOT_FOUND", {{"model", name}});
  *response.mutable_model() = convert::ToProto(*known);
  return response;
}

absl::StatusOr<v1::GetGpuResponse> Catalog::GetGpu(const std::string& name) const {
  v1::GetGpuResponse response;
  {
    std::lock_guard lock(mutex_);
    const auto gpu = gpus_.find(Key(name));
    if (gpu != gpus_.end()) {
      *response.mutable_gpu() = gpu->second;
      return response;
    }
  }
  const auto known = planner::FindHardware(name);
  if (!known.ok()) return WithReason(known.status(), "GPU_NOT_FOUND", {{"gpu", name}});
  *response.mutable_gpu() = convert::ToProto(*known);
  return response;
}

absl::StatusOr<v1::CreateModelResponse> Catalog::CreateModel(
    const v1::CreateModelRequest& request) {
  convert::Violations violations;
  CheckRequestId("request_id", request.request_id(), violations);
  CheckName("model.name", request.model().name(), 1, violations);
  (void)convert::ModelSpecFromProto(request.model(), "model", violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  const RequestKey key = KeyOf("CreateModel", request.request_id(), request);
  TUNESMITH_ASSIGN_OR_RETURN(const auto answer, AnswerBefore(pool_, key));
  if (!answer && GetModel(request.model().name()).ok())
    return NameTaken("model", request.model().name());
  v1::CreateModelResponse response;
  *response.mutable_model() = request.model();
  if (response.model().source().empty())
    response.mutable_model()->set_source("added by CreateModel");
  std::lock_guard lock(mutex_);
  if (models_.size() >= kMaxAddedCount) return TooMany();
  bool added = false;
  auto inserted =
      Insert(pool_, key, "INSERT INTO models (name, model) VALUES (?, ?)", request.model().name(),
             response.model().SerializeAsString(), response, &added);
  // Of two calls at once, the second meets the first one's row.
  if (absl::IsAlreadyExists(inserted.status()) &&
      !inserted.status().GetPayload(convert::kErrorInfoUrl))
    return NameTaken("model", request.model().name());
  if (!inserted.ok() || !added) return inserted;
  models_[Key(request.model().name())] = inserted->model();
  ++version_;
  return inserted;
}

absl::StatusOr<v1::CreateGpuResponse> Catalog::CreateGpu(const v1::CreateGpuRequest& request) {
  convert::Violations violations;
  CheckRequestId("request_id", request.request_id(), violations);
  const std::string& name = request.gpu().name();
  CheckName("gpu.name", name, 0, violations);
  if (const auto split = planner::SplitDevices(name); !split.ok() || split->name != name)
    violations.Add("gpu.name", StrCat("is \"", name, "\", which reads as a number of devices"));
  (void)convert::HardwareFromProto(request.gpu(), "gpu", violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  const RequestKey key = KeyOf("CreateGpu", request.request_id(), request);
  TUNESMITH_ASSIGN_OR_RETURN(const auto answer, AnswerBefore(pool_, key));
  if (!answer && GetGpu(name).ok()) return NameTaken("device", name);
  v1::CreateGpuResponse response;
  *response.mutable_gpu() = request.gpu();
  if (response.gpu().source().empty()) response.mutable_gpu()->set_source("added by CreateGpu");
  std::lock_guard lock(mutex_);
  if (gpus_.size() >= kMaxAddedCount) return TooMany();
  bool added = false;
  auto inserted = Insert(pool_, key, "INSERT INTO gpus (name, gpu) VALUES (?, ?)", name,
                         response.gpu().SerializeAsString(), response, &added);
  if (absl::IsAlreadyExists(inserted.status()) &&
      !inserted.status().GetPayload(convert::kErrorInfoUrl))
    return NameTaken("device", name);
  if (!inserted.ok() || !added) return inserted;
  gpus_[Key(name)] = inserted->gpu();
  ++version_;
  return inserted;
}

void Catalog::Resolve(v1::Question& question) const {
  std::lock_guard lock(mutex_);
  if (question.has_model_name()) {
    const auto model = models_.find(Key(question.model_name()));
    if (model != models_.end()) *question.mutable_model_spec() = model->second;
  }
  if (question.has_device_name()) {
    const auto devices = planner::SplitDevices(question.device_name());
    if (!devices.ok()) return;  // the answer says so
    const auto gpu = gpus_.find(Key(devices->name));
    if (gpu == gpus_.end()) return;
    v1::DeviceGroup& group = *question.mutable_device_group();
    *group.mutable_hardware() = gpu->second;
    group.set_device_count(std::max<int64_t>(devices->device_count, 1));
    group.set_node_count(devices->node_count);
    group.set_network_bytes_per_second(question.network_bytes_per_second());
  }
}

void Catalog::Resolve(v1::SizeRequest& request) const {
  Resolve(*request.mutable_question());
  if (!request.has_device_counts()) return;
  std::lock_guard lock(mutex_);
  for (v1::SizeKind& kind : *request.mutable_device_counts()->mutable_kinds()) {
    if (!kind.has_device_name()) continue;
    const auto gpu = gpus_.find(Key(kind.device_name()));
    if (gpu != gpus_.end()) *kind.mutable_hardware() = gpu->second;
  }
}

}  // namespace tunesmith::server
