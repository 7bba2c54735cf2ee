// What may follow on a command line that is being typed, and the scripts by which shells ask for it.
#pragma once

#include <string>
#include <vector>

#include "tools/command_tree.h"

namespace gestalt::tools {

struct Completion {
  std::string word, help;
};

struct Completions {
  std::vector<Completion> words;
  bool files = false;        // names of files too,
  std::string before_files;  // behind this, as in "images:photos"

  std::string text() const;  // a line each: the word, a tab, the help; then ":files BEFORE" where files are wanted
};

// Of the program's commands; the last of `words` is the one to complete, "" if it is not begun.
Completions complete(const CommandEntry& program, const Words& words);

struct CompletionScript {
  const char *shell, *help, *text;
};
const std::vector<CompletionScript>& completion_scripts();

}  // namespace gestalt::tools
