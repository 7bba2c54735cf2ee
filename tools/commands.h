// The subcommands of `gestalt`; each adds itself, and runs when the command line names it.
#pragma once

#include <CLI/CLI.hpp>

// Every subcommand, in the order of --help: add_NAME stands in tools/NAME.cpp.
#define GESTALT_COMMANDS(X) \
  X(pretrain) X(evaluate) X(embed) X(look) X(show) X(pack) X(tokenize) X(generate) X(list) X(info)

namespace gestalt::tools {

#define GESTALT_DECLARE(name) void add_##name(CLI::App& app);
GESTALT_COMMANDS(GESTALT_DECLARE)
#undef GESTALT_DECLARE

// Of `gestalt evaluate`.
void add_finetune(CLI::App& evaluate);
void add_text(CLI::App& evaluate);

}  // namespace gestalt::tools
