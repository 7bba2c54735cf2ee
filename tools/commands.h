// The subcommands of `gestalt`; each adds itself, and runs when the command line names it.
#pragma once

#include <CLI/CLI.hpp>

namespace gestalt::tools {

void add_pretrain(CLI::App& app);
void add_evaluate(CLI::App& app);
void add_finetune(CLI::App& evaluate);
void add_text(CLI::App& evaluate);
void add_show(CLI::App& app);
void add_pack(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_generate(CLI::App& app);
void add_list(CLI::App& app);
void add_info(CLI::App& app);

}  // namespace gestalt::tools
