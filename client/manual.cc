#include "client/manual.h"

#include <utility>

#include "common/str_cat.h"
#include "common/text.h"

namespace tunesmith::client {
namespace {

// A leading dot or apostrophe would be a request of roff, a backslash an escape, a plain hyphen may be broken at.
std::string Roff(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else {
      escaped += c;
    }
  }
  const bool is_request = escaped.starts_with('.') || escaped.starts_with('\'');
  return StrCat(is_request ? "\\&" : "", escaped);
}

std::string ValueText(const CommandFlag& flag) {
  return flag.choices.empty() ? flag.value_name : StrJoin(flag.choices, "|");
}

std::string FlagHead(const CommandFlag& flag) {
  const std::string value = ValueText(flag);
  return StrCat(StrJoin(flag.names, ", "), flag.IsPositional() || value.empty() ? "" : " ", value);
}

// The sentence, and what a reader must know beside it.
std::string FlagBody(const CommandFlag& flag) {
  std::string text = flag.description;
  if (flag.is_required) text += "; required";
  if (flag.may_repeat) text += "; may be repeated";
  if (!flag.default_text.empty()) text += StrCat("; default ", flag.default_text);
  if (!flag.environment.empty()) text += StrCat("; environment ", flag.environment);
  return text;
}

std::string Synopsis(const CommandNode& node) {
  std::string text = node.Name();
  if (!node.commands.empty()) text += " COMMAND";
  if (!node.flags.empty()) text += " [OPTIONS]";
  for (const CommandFlag& flag : node.flags) {
    if (flag.IsPositional())
      absl::StrAppend(&text, flag.is_required ? " " : " [", flag.value_name,
                      flag.is_required ? "" : "]");
  }
  return text;
}

// Every command has it.
bool IsHelp(const CommandFlag& flag) {
  return !flag.names.empty() && flag.names.back() == "--help";
}

std::string TableCell(const std::string& text) { return StrJoin(StrSplit(text, "|"), "\\|"); }

void AppendMarkdown(const CommandNode& node, std::string& text) {
  absl::StrAppend(&text, "\n## ", node.Name(), "\n\n", node.description, ".\n\n```\n",
                  Synopsis(node), "\n```\n");
  std::string rows;
  for (const CommandFlag& flag : node.flags) {
    if (!IsHelp(flag))
      absl::StrAppend(&rows, "| `", TableCell(FlagHead(flag)), "` | ", TableCell(FlagBody(flag)),
                      " |\n");
  }
  if (!rows.empty()) absl::StrAppend(&text, "\n| | |\n|---|---|\n", rows);
  for (const CommandNode& command : node.commands) AppendMarkdown(command, text);
}

}  // namespace

std::string ManPageName(const CommandNode& node) { return StrJoin(node.path, "-"); }

std::string ManPage(const CommandNode& node, const std::string& version) {
  std::string text =
      StrCat(".TH \"", ManPageName(node), "\" 1 \"\" \"tunesmith ", version, "\" \"Tunesmith\"\n",
             ".SH NAME\n", Roff(ManPageName(node)), " \\- ", Roff(node.description), "\n",
             ".SH SYNOPSIS\n.B ", Roff(Synopsis(node)), "\n");
  if (!node.commands.empty()) text += ".SH COMMANDS\n";
  for (const CommandNode& command : node.commands)
    absl::StrAppend(&text, ".TP\n.BR ", Roff(ManPageName(command)), " (1)\n",
                    Roff(command.description), "\n");
  if (!node.flags.empty()) text += ".SH OPTIONS\n";
  for (const CommandFlag& flag : node.flags)
    absl::StrAppend(&text, ".TP\n.B ", Roff(FlagHead(flag)), "\n", Roff(FlagBody(flag)), "\n");
  if (!node.footer.empty()) absl::StrAppend(&text, ".SH NOTES\n", Roff(node.footer), "\n");
  if (node.path.size() > 1)
    absl::StrAppend(&text, ".SH SEE ALSO\n.BR ", Roff(node.path.front()), " (1)\n");
  return text;
}

std::string Reference(const CommandNode& root) {
  std::string text = StrCat(
      "# The command line\n\nWritten by `tunesmith __reference`; a test compares it with "
      "what the binary knows.\n\n",
      root.footer, "\n");
  AppendMarkdown(root, text);
  return text;
}

}  // namespace tunesmith::client
