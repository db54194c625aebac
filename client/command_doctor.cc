#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "client/commands.h"
#include "client/doctor.h"
#include "client/exit_codes.h"

namespace tunesmith::client {

void AddDoctor(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "doctor",
      "Look at this host for what a fine-tune needs, and say the cure for what is not right");
  auto format = std::make_shared<Format>(Format::kTable);
  AddFormatFlag(*command, *format);
  command->callback([&globals, format] {
    globals.run = [&globals, format] {
      const std::vector<Finding> findings = ExamineHost(globals.Options());
      std::fputs(*format == Format::kJson ? (FindingsJson(findings) + "\n").c_str()
                                          : ShowFindings(findings).c_str(),
                 stdout);
      const bool problem = std::any_of(findings.begin(), findings.end(), [](const Finding& f) {
        return f.health == Health::kProblem;
      });
      return static_cast<int>(problem ? kExitError : kExitOk);
    };
  });
}

}  // namespace tunesmith::client
