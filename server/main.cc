// tunesmithd: the server. Exit status 0: stopped by SIGTERM or SIGINT; 1: it could not start, the
// reason is on stderr; 2: bad usage.

#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include "common/str_cat.h"
#include "common/version.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/run_directory.h"
#include "server/backup.h"
#include "server/configuration.h"
#include "server/flags.h"
#include "server/log.h"
#include "server/operations/notify.h"
#include "server/security/access_file.h"
#include "server/security/connections.h"
#include "server/server.h"

namespace {

using tunesmith::StrCat;
using tunesmith::server::Flags;

constexpr int kUsageError = 2;
// Calls take milliseconds and streams are ended; a client that keeps an idle connection open is waited for as long.
constexpr absl::Duration kShutdownPatience = absl::Seconds(1);

// REQUIRES: called before any thread is started, so that all threads inherit the mask.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

int Report(const absl::Status& status, const std::string& done) {
  if (status.ok()) std::printf("%s\n", done.c_str());
  if (!status.ok()) std::fprintf(stderr, "tunesmithd: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}

int BackUp(const Flags& flags) {
  const std::string database = tunesmith::convert::InDirectory(flags.server.data_directory,
                                                               tunesmith::convert::kDatabaseFile);
  return Report(tunesmith::server::BackUpDatabase(database, flags.backup),
                StrCat("the database was copied to ", flags.backup));
}

int Restore(const Flags& flags) {
  return Report(tunesmith::server::RestoreDatabase(flags.restore, flags.server.data_directory),
                StrCat("the database is now ", flags.restore, "'s copy; the one before is kept"));
}

int AddToken(const Flags& flags) {
  if (flags.server.front.access_path.empty())
    return Report(
        absl::InvalidArgumentError("--add-token needs --access-file, the file to add it to"), "");
  const auto token =
      tunesmith::server::AddToken(flags.server.front.access_path, flags.add_token, flags.role);
  return Report(token.status(), token.ok() ? *token : "");
}

void SetLogLevel(spdlog::logger& logger, const std::string& level) {
  logger.set_level(spdlog::level::from_str(level));
}

// A level that the command line or the environment gives is not taken back by the file.
void TakeUpLogLevel(const Flags& flags, spdlog::logger& logger) {
  const std::string level = tunesmith::server::ValueInFile(flags.config, "log-level");
  const bool known = spdlog::level::from_str(level) != spdlog::level::off;
  if (known && !flags.log_level_is_fixed) SetLogLevel(logger, level);
  tunesmith::server::LogLine(
      logger, spdlog::level::warn,
      StrCat("SIGHUP: the log's level is ", spdlog::level::to_string_view(logger.level()).data()));
}

// The signal that asks the server to stop.
int WaitForStop(const sigset_t& signals, const Flags& flags, spdlog::logger& logger) {
  const absl::Duration watchdog = tunesmith::server::WatchdogInterval();
  const timespec patience = absl::ToTimespec(std::min(watchdog, absl::Hours(1)));
  while (true) {
    const int signal = sigtimedwait(&signals, nullptr, &patience);
    if (signal == SIGHUP) TakeUpLogLevel(flags, logger);
    if (signal > 0 && signal != SIGHUP) return signal;
    if (watchdog < absl::InfiniteDuration()) tunesmith::server::NotifySystemd("WATCHDOG=1");
  }
}

int Run(Flags& flags) {
  const sigset_t signals = BlockStopSignals();
  if (!flags.backup.empty()) return BackUp(flags);
  if (!flags.restore.empty()) return Restore(flags);
  if (!flags.add_token.empty()) return AddToken(flags);
  tunesmith::server::RaiseOpenFileLimit();
  const auto logger = tunesmith::server::MakeLogger();
  SetLogLevel(*logger, flags.log_level);
  tunesmith::server::TakeGrpcLog(logger);
  auto server = tunesmith::server::Server::Start(flags.server, logger);
  if (!server.ok()) {
    std::fprintf(stderr, "tunesmithd: %s\n", std::string(server.status().message()).c_str());
    return 1;
  }
  tunesmith::server::LogLine(*logger, spdlog::level::info,
                             StrCat("tunesmithd ", tunesmith::Version(), " listens on ",
                                    (*server)->Where(), "; data in ", flags.server.data_directory));
  tunesmith::server::NotifySystemd("READY=1");
  const int signal = WaitForStop(signals, flags, *logger);
  tunesmith::server::NotifySystemd("STOPPING=1");
  tunesmith::server::LogLine(*logger, spdlog::level::info,
                             StrCat("signal ", signal, ": shutting down; jobs go on"));
  (*server)->Shutdown(kShutdownPatience);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Tunesmith's server: recommends mixes of optimizations and runs fine-tuning jobs.");
  Flags flags;
  tunesmith::server::AddFlags(app, flags);
  tunesmith::server::NameVariables(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  const auto settings = tunesmith::server::Configure(app, flags.config);
  if (!settings.ok()) {
    std::fprintf(stderr, "tunesmithd: %s\n", std::string(settings.status().message()).c_str());
    return kUsageError;
  }
  if (flags.print_config) {
    std::fputs(tunesmith::server::Show(*settings).c_str(), stdout);
    return 0;
  }
  tunesmith::server::Finish(*settings, flags);
  return Run(flags);
}
