// `gestalt list completion`: what a shell may complete, which the program itself says: a shell's script asks it.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "engine/data/images/image_set.h"
#include "engine/data/text/token_sets.h"
#include "models/encoder.h"
#include "tasks/training/recipe.h"
#include "tools/commands.h"
#include "tools/completion.h"

namespace gestalt::tools {
namespace {

// Of a help, what comes first.
std::string short_help(const std::string& text) { return text.substr(0, text.find_first_of(";\n")); }

// What a source is called on the command line, without the place that follows: "images:", "shapes".
std::vector<Completion> sources(const std::string&) {
  std::vector<Completion> all;
  const auto add = [&](const std::string& usage, const std::string& help) {
    const size_t end = usage.find_first_of(":[");  // "images:DIR", "shapes[:N]"
    all.push_back({usage.substr(0, end == std::string::npos || usage[end] == '[' ? end : end + 1), short_help(help)});
  };
  for (const ImageSource& source : image_sources()) add(source.usage, source.help);
  for (const TextSource& source : text_sources()) add(source.usage, source.help);
  return all;
}

std::vector<Completion> models(const std::string&) {
  std::vector<Completion> all;
  for (const EncoderEntry& model : list_encoders()) all.push_back({model.name, short_help(model.summary)});
  return all;
}

std::vector<Completion> presets(const std::string& method) {
  std::vector<Completion> all;
  for (const Recipe& recipe : list_recipes())
    if (recipe.method == method || method == "pretrain") all.push_back({recipe.name, short_help(recipe.source)});
  return all;
}

// Flags and arguments whose text is one of the names that the library lists; `command` is the last one typed.
using Names = std::vector<Completion> (*)(const std::string& command);
const std::map<std::string, Names> names_for{
    {"data", sources}, {"spec", sources}, {"model", models}, {"preset", presets}};

// What may stand for the value that begins with `begun`, put behind `before`.
Completions values(const FlagEntry& flag, const std::string& command, const std::string& begun,
                   const std::string& before) {
  Completions found;
  const auto offer = [&](const std::string& word, const std::string& help, const std::string& stem) {
    if (word.starts_with(begun.substr(stem.size()))) found.words.push_back({before + stem + word, help});
  };
  for (const std::string& choice : flag.choices()) offer(choice, "", "");
  if (!flag.choices().empty() || flag.kind == "INT" || flag.kind == "NUMBER") return found;
  const auto names = names_for.find(flag.name);
  const bool of_sources = names != names_for.end() && names->second == sources;
  const size_t comma = of_sources ? begun.rfind(',') + 1 : 0;  // 0 where there is none
  const size_t colon = of_sources ? begun.find(':', comma) : std::string::npos;
  if (colon != std::string::npos) return {{}, true, before + begun.substr(0, colon + 1)};
  if (names != names_for.end())
    for (const Completion& name : names->second(command)) offer(name.word, name.help, begun.substr(0, comma));
  else
    found.files = true, found.before_files = before;
  return found;
}

}  // namespace

Completions complete(const CommandEntry& program, const Words& words) {
  const CommandEntry* command = &program;
  const std::string begun = words.empty() ? "" : words.back();
  std::vector<FlagEntry> flags = command->usable_flags();
  const auto flag_of = [&](const std::string& word) {
    const std::string name = word.starts_with("--") ? word.substr(2, word.find('=') - 2) : "";
    return std::find_if(flags.begin(), flags.end(), [&](const FlagEntry& flag) { return flag.name == name; });
  };
  Words given;
  size_t arguments = 0;
  auto waiting = flags.end();  // for its value
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (waiting != flags.end()) {
      waiting = flags.end();
    } else if (const auto flag = flag_of(words[i]); flag != flags.end()) {
      given.push_back(flag->name);
      if (flag->takes_value && words[i].find('=') == std::string::npos) waiting = flag;
    } else if (const CommandEntry* next = command->find(words[i])) {
      command = next, flags = command->usable_flags(), waiting = flags.end();
    } else {
      arguments += !words[i].starts_with('-');
    }
  }
  if (waiting != flags.end()) return values(*waiting, command->name, begun, "");
  if (const size_t equals = begun.find('='); equals != std::string::npos && flag_of(begun) != flags.end())
    return values(*flag_of(begun), command->name, begun.substr(equals + 1), begun.substr(0, equals + 1));

  Completions found;
  const auto offer = [&](const std::string& word, const std::string& help) {
    if (word.starts_with(begun)) found.words.push_back({word, short_help(help)});
  };
  if (begun.starts_with('-')) {
    for (const FlagEntry& flag : flags)
      if ((!flag.title.empty() || begun.starts_with("--no-")) &&
          std::find(given.begin(), given.end(), flag.name) == given.end())
        offer("--" + flag.name, flag.help);
    return found;
  }
  for (const CommandEntry& next : command->commands)
    if (!next.title.empty()) offer(next.name, next.help);
  const std::vector<FlagEntry>& takes = command->arguments;
  if (!takes.empty() && (arguments < takes.size() || takes.back().several))
    return values(takes[std::min(arguments, takes.size() - 1)], command->name, begun, "");
  return found;
}

std::string Completions::text() const {
  std::string lines;
  for (const Completion& word : words) lines += word.word + (word.help.empty() ? "" : "\t" + word.help) + "\n";
  return lines + (files ? ":files " + before_files + "\n" : "");
}

void add_completion(Command list) {
  const Command scripts = list.add("completion", "a script that lets a shell complete what is typed");
  for (const CompletionScript& script : completion_scripts()) {
    const Command command = scripts.add(script.shell, script.help);
    command.on_run([&script] { fmt::print("{}", script.text); });
  }
  const Command asked = list.add("words", "what may follow on the command line, for those scripts");
  asked.hide();
  const auto words = std::make_shared<Words>();
  asked.arguments("words", *words, "after --: what is typed so far; the last word is to be completed");
  asked.on_run([asked, words] { fmt::print("{}", complete(asked.root().entry(), *words).text()); });
}

}  // namespace gestalt::tools
