// Finding one's way in the tree of commands.
#include "tools/command_tree.h"

#include <algorithm>
#include <set>

#include "engine/run/csv.h"

namespace gestalt::tools {

Words FlagEntry::choices() const {
  if (!kind.starts_with('{') || !kind.ends_with('}')) return {};
  return split(std::string_view(kind).substr(1, kind.size() - 2), '|');
}

const CommandEntry* CommandEntry::find(const std::string& word) const {
  for (const CommandEntry& command : commands)
    if (std::find(command.names.begin(), command.names.end(), word) != command.names.end()) return &command;
  return nullptr;
}

std::vector<FlagEntry> CommandEntry::usable_flags() const {
  std::vector<FlagEntry> all = flags;
  if (!when_unnamed) return all;
  std::set<std::string> seen;
  for (const FlagEntry& flag : all) seen.insert(flag.name);
  for (const CommandEntry& command : commands)
    for (const FlagEntry& flag : command.flags)
      if (seen.insert(flag.name).second) all.push_back(flag);
  return all;
}

void put_in_unnamed(const CommandEntry& root, Words& words) {
  const CommandEntry* at = &root;
  auto word = words.begin();
  for (const CommandEntry* next = nullptr; word != words.end() && (next = at->find(*word)); ++word) at = next;
  if (!at->when_unnamed || (word != words.end() && !word->starts_with('-'))) return;
  const auto asks = [](const std::string& flag) { return flag == "-h" || flag == "--help"; };
  if (std::any_of(word, words.end(), asks)) return;
  const Words put = at->when_unnamed(Words(word, words.end()));
  words.insert(word, put.begin(), put.end());
}

}  // namespace gestalt::tools
