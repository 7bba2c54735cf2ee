// The subcommands of `gestalt`; each adds itself, and runs when the command line names it.
#pragma once

#include "tools/command_line.h"

// Every subcommand, in the order of --help: add_NAME stands in tools/NAME.cpp.
#define GESTALT_COMMANDS(X) \
  X(pretrain)               \
  X(evaluate)               \
  X(embed)                  \
  X(look) X(cluster) X(report) X(runs) X(sweep) X(show) X(pack) X(tokenize) X(generate) X(export) X(list) X(info)

namespace gestalt::tools {

#define GESTALT_DECLARE(name) void add_##name(Command program);
GESTALT_COMMANDS(GESTALT_DECLARE)
#undef GESTALT_DECLARE

// Of `gestalt evaluate`.
void add_finetune(Command evaluate);
void add_text(Command evaluate);

// Of `gestalt list`.
void add_completion(Command list);
void add_manual(Command list);

}  // namespace gestalt::tools
