#include "client/output.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "client/yaml.h"
#include "proto/convert/json.h"

namespace tunesmith::client {

void AddOutputFlags(CLI::App& app, Output& output) {
  static const std::map<std::string, Format> formats = {
      {"table", Format::kTable}, {"wide", Format::kWide}, {"json", Format::kJson},
      {"yaml", Format::kYaml},   {"csv", Format::kCsv},   {"name", Format::kName}};
  app.add_option_function<std::string>(
         "-o,--format", [&output](const std::string& name) { output.format = formats.at(name); },
         "How the answer is printed")
      ->check(CLI::IsMember({"table", "wide", "json", "yaml", "csv", "name"}))
      ->default_str("table");
  app.add_flag("!--no-headers", output.headers, "Tables and CSV without the line of titles");
}

std::string TextOf(const Output& output, const Listing& records) {
  return records.ToTable(output.format == Format::kWide, output.headers);
}

void PrintJson(const Output& output, const std::string& json, const Listing& records,
               const std::string& text) {
  switch (output.format) {
    case Format::kTable:
    case Format::kWide:
      return static_cast<void>(std::fputs(text.c_str(), stdout));
    case Format::kJson:
      return static_cast<void>(
          std::fputs(json.ends_with('\n') ? json.c_str() : (json + "\n").c_str(), stdout));
    case Format::kYaml:
      return static_cast<void>(std::fputs(YamlOfJson(json).c_str(), stdout));
    case Format::kCsv:
      return static_cast<void>(std::fputs(records.ToCsv(output.headers).c_str(), stdout));
    case Format::kName:
      return static_cast<void>(std::fputs(records.ToNames().c_str(), stdout));
  }
}

void Print(const Output& output, const google::protobuf::Message& answer, const Listing& records,
           const std::string& text) {
  const bool json = output.format == Format::kJson || output.format == Format::kYaml;
  PrintJson(output, json ? convert::ToJson(answer) : "", records, text);
}

void Print(const Output& output, const google::protobuf::Message& answer, const Listing& records) {
  Print(output, answer, records, output.IsText() ? TextOf(output, records) : "");
}

}  // namespace tunesmith::client
