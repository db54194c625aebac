#pragma once

#include <string>

#include "client/listing.h"

namespace CLI {
class App;
}
namespace google::protobuf {
class Message;
}

// How commands print what they answer: data on stdout, all else on stderr.
namespace tunesmith::client {

enum class Format { kTable, kWide, kJson, kYaml, kCsv, kName };

struct Output {
  Format format = Format::kTable;
  bool headers = true;
  bool pictures = false;  // bars and plots also where stdout is no terminal

  // For people: notes may stand among the data.
  bool IsText() const { return format == Format::kTable || format == Format::kWide; }
};

// -o, --format, --no-headers.
void AddOutputFlags(CLI::App& app, Output& output);

// What is printed in text. By default the listing itself.
std::string TextOf(const Output& output, const Listing& records);

// Prints an answer: as `text` where people read it, else the message as JSON or YAML, or its records.
void Print(const Output& output, const google::protobuf::Message& answer, const Listing& records,
           const std::string& text);

// The same, where the text is the table of the records.
void Print(const Output& output, const google::protobuf::Message& answer, const Listing& records);

// The same for an answer that is no message.
void PrintJson(const Output& output, const std::string& json, const Listing& records,
               const std::string& text);

}  // namespace tunesmith::client
