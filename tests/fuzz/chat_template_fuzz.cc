#include <cstdint>
#include <string_view>

#include "tests/fuzz/require.h"
#include "trainer/data/chat_template.h"

namespace {

using tunesmith::trainer::ChatVariables;

ChatVariables Conversation() {
  static const auto* const value = new tunesmith::trainer::jinja::Value(
      tunesmith::trainer::jinja::FromJson(nlohmann::ordered_json::parse(
          R"({"messages": [{"role": "user", "content": " a\u00e9 "}, {"role": "assistant", "content": "b\n"}], "tools": [{"x": [1, 2.5, null]}]})")));
  return *value->dict();
}

}  // namespace

// A template that is read ends; what it writes the first time it writes again, and learned parts lie in order within the text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto made =
      tunesmith::trainer::ChatTemplate::Create(source, "input", {{"bos_token", "<s>"}});
  if (!made.ok()) return 0;
  const ChatVariables chat = Conversation();
  const auto text = made->Render(chat, false);
  const auto masked = made->RenderMasked(chat);
  if (!masked.ok()) return 0;
  tunesmith::Require(text.ok() && *text == masked->text);
  int64_t end = 0;
  for (const auto& span : masked->learned) {
    tunesmith::Require(end <= span.begin && span.begin < span.end);
    end = span.end;
  }
  tunesmith::Require(end <= static_cast<int64_t>(masked->text.size()));
  return 0;
}
