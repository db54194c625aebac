#pragma once

#include <string>

#include "client/command_tree.h"

// The command line as documents. Both are functions of the tree alone, so that what is committed can be compared with what the binary knows.
namespace tunesmith::client {

// A manual page of section 1 in man(7)'s macros, for one command: "tunesmith-jobs-list.1".
std::string ManPage(const CommandNode& node, const std::string& version);

// "tunesmith-jobs-list".
std::string ManPageName(const CommandNode& node);

// All commands with their flags, in Markdown.
std::string Reference(const CommandNode& root);

}  // namespace tunesmith::client
