#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "client/commands.h"
#include "client/doctor.h"
#include "client/exit_codes.h"

namespace tunesmith::client {

void AddDoctor(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "doctor",
      "Look at this host for what a fine-tune needs, and say the cure for what is not right");
  auto output = std::make_shared<Output>();
  AddOutputFlags(*command, *output);
  command->callback([&globals, output] {
    globals.run = [&globals, output] {
      const std::vector<Finding> findings = ExamineHost(globals.Options());
      PrintJson(*output, FindingsJson(findings), FindingListing(findings), ShowFindings(findings));
      const bool problem = std::any_of(findings.begin(), findings.end(), [](const Finding& f) {
        return f.health == Health::kProblem;
      });
      return static_cast<int>(problem ? kExitError : kExitOk);
    };
  });
}

}  // namespace tunesmith::client
