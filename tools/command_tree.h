// The commands, flags and arguments that there are, as completion, the manual page and complaints see them.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace gestalt::tools {

using Words = std::vector<std::string>;

// A flag, or an argument that is known by its place.
struct FlagEntry {
  std::string name;                 // without dashes
  std::string kind, shown_default;  // "INT", "{a|b}", "" of a flag that takes no value
  std::string help, title;          // the title is empty where --help does not show the flag
  bool takes_value = false, required = false, several = false;

  Words choices() const;  // those of a kind such as {a|b}
};

struct CommandEntry {
  std::string name, help, footer, title;            // the title is empty where --help does not show the command
  Words names;                                      // all that it may be called by, and
  Words known_as;                                   // words that others call it by
  std::function<Words(const Words&)> when_unnamed;  // see Command::when_unnamed()
  std::vector<FlagEntry> flags, arguments;
  std::vector<CommandEntry> commands;

  // The command below this one that `word` names; null for none.
  const CommandEntry* find(const std::string& word) const;
  // Its flags, and where it may stand without one of its commands, theirs: each name once.
  std::vector<FlagEntry> usable_flags() const;
};

// Puts in what has to stand where no command is named.
void put_in_unnamed(const CommandEntry& root, Words& words);

}  // namespace gestalt::tools
