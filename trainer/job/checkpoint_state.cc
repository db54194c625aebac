#include "trainer/job/checkpoint_state.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

constexpr char kDataDigest[] = "data_digest";
constexpr char kHeldOutLossBefore[] = "held_out_loss_before";
constexpr char kLastLoss[] = "last_loss";

void AddIfKnown(const char* field, const std::optional<double>& number, json& object) {
  if (number) object[field] = *number;
}

absl::StatusOr<std::optional<double>> NumberIfKnown(const json& object, const char* field,
                                                    std::string_view what) {
  if (!object.contains(field)) return std::nullopt;
  TUNESMITH_ASSIGN_OR_RETURN(const double number, JsonField<double>(object, field, what));
  return number;
}

absl::StatusOr<uint64_t> SeedFrom(const json& object, std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const json* seed, JsonMember(object, "seed", what));
  if (seed->is_number_unsigned()) return seed->get<uint64_t>();
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t number, JsonField<int64_t>(object, "seed", what));
  return static_cast<uint64_t>(number);
}

absl::StatusOr<std::optional<uint64_t>> DigestFrom(const json& object, std::string_view what) {
  if (!object.contains(kDataDigest)) return std::nullopt;
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text,
                             JsonField<std::string>(object, kDataDigest, what));
  uint64_t digest = 0;
  if (absl::SimpleHexAtoi(text, &digest)) return digest;
  return absl::InvalidArgumentError(
      StrCat(what, ": \"", kDataDigest, "\" must be a hexadecimal number, found \"", text, "\""));
}

}  // namespace

json ToJson(const CheckpointState& state) {
  json object = {{"step", state.step},
                 {"epoch", state.loader.epoch},
                 {"next_row", state.loader.next_row},
                 {"seed", static_cast<int64_t>(state.loader.seed)},
                 {"token_count", state.token_count},
                 {"history", state.history.ToJson()}};
  if (state.data_digest) object[kDataDigest] = absl::StrFormat("%016x", *state.data_digest);
  AddIfKnown(kHeldOutLossBefore, state.held_out_loss_before, object);
  AddIfKnown(kLastLoss, state.last_loss, object);
  return object;
}

absl::StatusOr<CheckpointState> CheckpointStateFromJson(const json& object, std::string_view what) {
  CheckpointState state;
  TUNESMITH_ASSIGN_OR_RETURN(state.step, JsonField<int64_t>(object, "step", what));
  TUNESMITH_ASSIGN_OR_RETURN(state.loader.epoch, JsonField<int64_t>(object, "epoch", what));
  TUNESMITH_ASSIGN_OR_RETURN(state.loader.next_row, JsonField<int64_t>(object, "next_row", what));
  TUNESMITH_ASSIGN_OR_RETURN(state.loader.seed, SeedFrom(object, what));
  TUNESMITH_ASSIGN_OR_RETURN(state.token_count, JsonField<int64_t>(object, "token_count", what));
  if (object.contains("history")) {
    TUNESMITH_ASSIGN_OR_RETURN(const json* history, JsonObject(object, "history", what));
    TUNESMITH_ASSIGN_OR_RETURN(state.history, RunHistory::FromJson(*history, what));
  }
  TUNESMITH_ASSIGN_OR_RETURN(state.data_digest, DigestFrom(object, what));
  TUNESMITH_ASSIGN_OR_RETURN(state.held_out_loss_before,
                             NumberIfKnown(object, kHeldOutLossBefore, what));
  TUNESMITH_ASSIGN_OR_RETURN(state.last_loss, NumberIfKnown(object, kLastLoss, what));
  return state;
}

}  // namespace tunesmith::trainer
