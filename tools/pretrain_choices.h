// What `gestalt pretrain METHOD` is given beside the method's own fields, and the method that comes of it all.
#pragma once

#include <memory>
#include <string>

#include "tasks/training/run.h"
#include "tools/command_line.h"

namespace gestalt::tools {

struct PretrainChoices {
  PretrainSettings settings;
  std::string preset, config, profile;
  bool report = false, no_html = false, choose = false, dry_run = false;
};

struct ChosenMethod {
  std::unique_ptr<Method> method;
  std::string chosen;  // what --choose chose, in words
};
// The method with what is chosen, its preset, the config file and the flags applied, in that order; or, with --resume,
// as it was.
ChosenMethod configure(const MethodEntry& entry, Command command, const PretrainChoices& choices);

}  // namespace gestalt::tools
