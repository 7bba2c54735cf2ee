// The program `gestalt`: chooses the subcommand, and is the only place that catches.
#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>

#include "engine/data/mapped_file.h"
#include "kernels/check.h"
#include "kernels/cpu/level.h"
#include "tools/commands.h"
#include "tools/output.h"

namespace {

int run(gestalt::tools::CommandLine& line, int argc, char** argv) {
  const auto complain = [](const std::string& text) { gestalt::tools::note("gestalt: " + text); };
  try {
    gestalt::report_cut_files();
    gestalt::kernels::cpu::level();  // what is wrong with GESTALT_ISA is said at once
    const int status = line.run(argc, argv);
    gestalt::tools::flush_output();
    return status;
  } catch (const gestalt::tools::WrongCommandLine& error) {
    complain(error.what());
    return 2;
  } catch (const gestalt::tools::NobodyReads&) { return 128 + SIGPIPE; } catch (const gestalt::Error& error) {
    complain(error.what());
    return 1;
  } catch (const std::bad_alloc&) {
    complain("out of memory; a smaller --batch needs less");
    return 1;
  } catch (const std::length_error&) {  // of a container that would be larger than any memory
    complain("out of memory; a smaller --batch needs less");
    return 1;
  } catch (const std::filesystem::filesystem_error& error) {
    complain(fmt::format("[file] '{}': {}", error.path1().string(), error.code().message()));
    return 1;
  } catch (const std::system_error& error) {
    if (error.code().value() == EPIPE) return 128 + SIGPIPE;
    complain(std::ferror(stdout) ? fmt::format("cannot write the output: {}", error.code().message()) : error.what());
    return 1;
  } catch (const std::exception& error) {
    complain(fmt::format("internal error: {}", error.what()));
    return 3;
  }
}

}  // namespace

int main(int argc, char** argv) {
  gestalt::tools::prepare_files();
  gestalt::tools::CommandLine line("gestalt", "Gestalt pretrains encoders without labels, and says how good they are.",
                                   GESTALT_VERSION);
  line.root().footer(gestalt::tools::exit_statuses);
#define GESTALT_ADD(name) gestalt::tools::add_##name(line.root());
  GESTALT_COMMANDS(GESTALT_ADD)
#undef GESTALT_ADD
  return run(line, argc, argv);
}
