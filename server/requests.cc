#include "server/requests.h"

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "server/error_info.h"

namespace tunesmith::server {

RequestKey KeyOf(std::string method, const std::string& id,
                 const google::protobuf::MessageLite& request) {
  RequestKey key{.method = std::move(method), .id = id, .body = {}};
  google::protobuf::io::StringOutputStream stream(&key.body);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  request.SerializeToCodedStream(&coded);
  return key;
}

absl::StatusOr<std::optional<std::string>> StoredAnswer(Database& database, const RequestKey& key) {
  if (key.id.empty()) return std::nullopt;
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement statement,
      database.Prepare("SELECT request, answer FROM requests WHERE method = ? AND request_id = ?"));
  TUNESMITH_ASSIGN_OR_RETURN(const bool found,
                             statement.BindText(key.method).BindText(key.id).Step());
  if (!found) return std::nullopt;
  // Requests of schema 1 were stored in another form and are not compared.
  const std::string body = statement.Bytes(0);
  if (body.empty() || body == key.body) return statement.Bytes(1);
  return WithReason(absl::AlreadyExistsError(StrCat("request_id \"", key.id,
                                                    "\" was used with another request of ",
                                                    key.method, "; choose a new one")),
                    "REQUEST_ID_REUSED", {{"request_id", key.id}, {"method", key.method}});
}

absl::StatusOr<std::optional<std::string>> AnswerBefore(DatabasePool& pool, const RequestKey& key) {
  if (key.id.empty()) return std::nullopt;
  return pool.Read([&](Database& database) { return StoredAnswer(database, key); });
}

absl::Status StoreAnswer(Database& database, const RequestKey& key,
                         const google::protobuf::MessageLite& answer) {
  if (key.id.empty()) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement insert,
      database.Prepare("INSERT INTO requests (method, request_id, time_micros, request, answer) "
                       "VALUES (?, ?, ?, ?, ?)"));
  return insert.BindText(key.method)
      .BindText(key.id)
      .Bind(absl::ToUnixMicros(absl::Now()))
      .BindBlob(key.body)
      .BindBlob(answer.SerializeAsString())
      .Run();
}

}  // namespace tunesmith::server
