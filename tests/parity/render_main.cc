// Renders chat templates, for comparison with others. A JSON object per line in, {"template", "variables", "special_tokens", "unix_seconds",
// "add_generation_prompt", "masks"}; a JSON array per line out: [text], with masks [text, [[begin, end] ...]] in bytes, or [null, message] where it fails.
#include <iostream>
#include <string>

#include "common/json.h"
#include "common/str_cat.h"
#include "trainer/data/chat_template.h"

namespace {

using nlohmann::ordered_json;
using tunesmith::trainer::ChatTemplate;

ordered_json Failure(const absl::Status& status) {
  return {nullptr, std::string(status.message())};
}

ordered_json Render(const ordered_json& request) {
  const auto special = tunesmith::trainer::jinja::FromJson(request["special_tokens"]);
  auto chat_template =
      ChatTemplate::Create(request["template"].get<std::string>(), "template", *special.dict());
  if (!chat_template.ok()) return Failure(chat_template.status());
  chat_template->set_unix_seconds(request["unix_seconds"].get<int64_t>());
  const auto variables = tunesmith::trainer::jinja::FromJson(request["variables"]);
  if (!request["masks"].get<bool>()) {
    const auto text =
        chat_template->Render(*variables.dict(), request["add_generation_prompt"].get<bool>());
    if (!text.ok()) return Failure(text.status());
    return ordered_json::array({*text});
  }
  const auto masked = chat_template->RenderMasked(*variables.dict());
  if (!masked.ok()) return Failure(masked.status());
  ordered_json spans = ordered_json::array();
  for (const auto& span : masked->learned) spans.push_back({span.begin, span.end});
  return {masked->text, spans};
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const ordered_json request = ordered_json::parse(line, nullptr, false);
    if (request.is_discarded()) {
      std::cerr << "not JSON: " << line << "\n";
      return 1;
    }
    std::cout << Render(request).dump() << "\n";
  }
  return 0;
}
