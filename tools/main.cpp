// The program `gestalt`: chooses the subcommand, and is the only place that catches.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <new>

#include "kernels/check.h"
#include "kernels/cpu/team.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace {

// The exit status: 0 done, 1 a failure that the message explains, 2 a wrong command line, 3 a defect of the program. A
// command that a signal stopped after saving leaves with 128 + signal through CLI::RuntimeError.
int run(CLI::App& app, int argc, char** argv) {
  const auto complain = [](const std::string& text) { fmt::print(stderr, "gestalt: {}\n", text); };
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::Success& request) {
    return app.exit(request);  // --help and --version
  } catch (const CLI::RuntimeError& status) { return status.get_exit_code(); } catch (const CLI::ParseError& error) {
    complain(gestalt::tools::explain(app, error));
    return 2;
  } catch (const gestalt::Error& error) {
    complain(error.what());
    return 1;
  } catch (const std::bad_alloc&) {
    complain("out of memory; a smaller --batch needs less");
    return 1;
  } catch (const std::exception& error) {
    complain(fmt::format("internal error: {}", error.what()));
    return 3;
  }
}

}  // namespace

int main(int argc, char** argv) {
  gestalt::kernels::cpu::wait_without_spinning(argv);
  CLI::App app{"Gestalt pretrains encoders without labels, and says how good they are.", "gestalt"};
  app.set_version_flag("--version", GESTALT_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
#define GESTALT_ADD(name) gestalt::tools::add_##name(app);
  GESTALT_COMMANDS(GESTALT_ADD)
#undef GESTALT_ADD
  return run(app, argc, argv);
}
