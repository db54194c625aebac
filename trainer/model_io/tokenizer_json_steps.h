#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/json.h"
#include "trainer/model_io/tokenizer_spec.h"

// The parts of a tokenizer.json around its model. `part` is the value of the field, null where there is none; `what` names the file in
// messages. INVALID_ARGUMENT names a missing or wrong field, UNIMPLEMENTED a kind of part or an option that is not known here, and what is.
namespace tunesmith::trainer {

constexpr int64_t kMaxTokenId = 1 << 21;  // a larger id is a damaged file, not a vocabulary

// "t.json: PART FOUND is not known here; KNOWN".
absl::Status NotKnown(std::string_view what, std::string_view part, std::string_view found,
                      std::string_view known);

absl::StatusOr<int32_t> CheckedTokenId(int64_t id, std::string_view what);

absl::StatusOr<std::vector<NormalizerStep>> NormalizerFromJson(const nlohmann::json& part,
                                                               std::string_view what);
absl::StatusOr<std::vector<PreTokenizerStep>> PreTokenizerFromJson(const nlohmann::json& part,
                                                                   std::string_view what);
absl::StatusOr<std::vector<DecoderStep>> DecoderFromJson(const nlohmann::json& part,
                                                         std::string_view what);

// What "post_processor" puts around a text.
struct TextFrame {
  std::vector<int32_t> prefix_ids;
  std::vector<int32_t> suffix_ids;
};
absl::StatusOr<TextFrame> FrameFromJson(const nlohmann::json& part, std::string_view what);

}  // namespace tunesmith::trainer
