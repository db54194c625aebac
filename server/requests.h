#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message_lite.h"
#include "server/database_pool.h"

// Calls that change something and carry a request_id are answered once: who calls again with the
// same id and the same request gets the stored answer. The answer is stored in the transaction that
// made the change, so that there is never one without the other.
namespace tunesmith::server {

inline constexpr int kRequestIdDays = 30;

struct RequestKey {
  std::string method;  // "CreateJob"
  std::string id;      // empty: the call is not to be recognized
  std::string body;    // the request, serialized
};

RequestKey KeyOf(std::string method, const std::string& id,
                 const google::protobuf::MessageLite& request);

// The serialized answer that was given; none for a new id. ALREADY_EXISTS when the id was used with
// another request.
absl::StatusOr<std::optional<std::string>> StoredAnswer(Database& database, const RequestKey& key);

// The same, on a connection that only reads.
absl::StatusOr<std::optional<std::string>> AnswerBefore(DatabasePool& pool, const RequestKey& key);

// Keeps an answer. Does nothing for a key without id. REQUIRES: in a transaction.
absl::Status StoreAnswer(Database& database, const RequestKey& key,
                         const google::protobuf::MessageLite& answer);

}  // namespace tunesmith::server
