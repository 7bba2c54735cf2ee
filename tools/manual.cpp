// `gestalt list manual`: the manual page, from the same flags and words as --help.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/run/csv.h"
#include "tools/commands.h"
#include "tools/output.h"

namespace gestalt::tools {
namespace {

// Text for troff: no line is taken for a request, and - stays what it is.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
    out += c == '\\' ? "\\e" : c == '-' ? "\\-" : std::string(1, c);
  }
  return out;
}

void paragraphs(const std::vector<std::string>& all) {
  for (const std::string& paragraph : all) {
    fmt::print(".PP\n");
    for (const std::string& line : split(paragraph, '\n'))
      if (!line.empty()) fmt::print("{}{}\n", line.starts_with(' ') ? ".br\n" : "", roff(line));
  }
}

// What follows a command's --help, less what is said once for all commands.
std::vector<std::string> footer_of(const CommandEntry& command) {
  std::vector<std::string> all;
  std::string rest = command.footer;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find("\n\n"), rest.size());
    std::string paragraph = rest.substr(0, end);
    paragraph.erase(0, paragraph.find_first_not_of('\n'));
    if (!paragraph.empty() && paragraph != exit_statuses) all.push_back(paragraph);
    rest.erase(0, std::min(end + 2, rest.size()));
  }
  return all;
}

std::string with_default(const FlagEntry& flag) {
  std::string text = flag.help;
  if (!flag.shown_default.empty()) text += fmt::format(" (default: {})", flag.shown_default);
  return text;
}

void print_flag(const FlagEntry& flag, const std::string& note) {
  std::string kind = flag.kind;
  std::replace(kind.begin(), kind.end(), '\n', ' ');
  fmt::print(".TP\n.B \\-\\-{}{}\n{}\n", roff(flag.name), kind.empty() ? "" : " \\fR" + roff(kind), roff(note));
}

void print_arguments(const CommandEntry& command) {
  for (const FlagEntry& argument : command.arguments)
    fmt::print(".TP\n.I {}{}\n{}\n", roff(argument.name), argument.several ? " ..." : "", roff(argument.help));
}

bool is_shown(const FlagEntry& flag) { return !flag.title.empty() && flag.name != "help"; }

// Flags that several commands have alike are said once, with the commands that have them where not all do, then each
// command with what is its own.
void print_family(const CommandEntry& family, const std::string& words) {
  using Key = std::pair<std::string, std::string>;  // name and help
  std::vector<Key> order;
  std::map<Key, std::vector<const CommandEntry*>> having;
  std::map<Key, std::map<std::string, size_t>> defaults;
  std::map<Key, FlagEntry> entries;
  for (const CommandEntry& command : family.commands)
    for (const FlagEntry& flag : command.flags) {
      if (!is_shown(flag)) continue;
      const Key key{flag.name, flag.help};
      if (having[key].empty()) order.push_back(key);
      having[key].push_back(&command), ++defaults[key][flag.shown_default], entries[key] = flag;
    }
  std::map<std::string, size_t> said;  // paragraphs that end the help of several
  for (const CommandEntry& command : family.commands)
    for (const std::string& paragraph : footer_of(command)) ++said[paragraph];

  fmt::print(".SS {} \\fICOMMAND\\fR\n{}.\n", roff(words), roff(family.help));
  paragraphs(footer_of(family));
  for (const Key& key : order) {
    if (having[key].size() < 2) continue;
    FlagEntry& flag = entries[key];
    const auto by_count = [](const auto& a, const auto& b) { return a.second < b.second; };
    flag.shown_default = std::max_element(defaults[key].begin(), defaults[key].end(), by_count)->first;
    std::vector<std::string> with, without;
    for (const CommandEntry& command : family.commands)
      (std::count(having[key].begin(), having[key].end(), &command) ? with : without).push_back(command.name);
    std::string of;
    if (!without.empty())
      of = without.size() < with.size() ? fmt::format("; all but {}", fmt::join(without, ", "))
                                        : fmt::format("; {}", fmt::join(with, ", "));
    print_flag(flag, with_default(flag) + of);
  }
  for (const auto& [paragraph, count] : said)
    if (count > 1) paragraphs({paragraph});

  for (const CommandEntry& command : family.commands) {
    if (command.title.empty()) continue;
    fmt::print(".SS {} {}\n{}.\n", roff(words), roff(command.name), roff(command.help));
    print_arguments(command);
    std::vector<std::string> differing;
    for (const FlagEntry& flag : command.flags) {
      if (!is_shown(flag)) continue;
      const Key key{flag.name, flag.help};
      if (having[key].size() < 2)
        print_flag(flag, with_default(flag));
      else if (flag.shown_default != entries[key].shown_default)
        differing.push_back(fmt::format("--{} {}", flag.name, flag.shown_default));
    }
    if (!differing.empty()) paragraphs({fmt::format("Defaults of its own: {}.", fmt::join(differing, ", "))});
    for (const std::string& paragraph : footer_of(command))
      if (said[paragraph] == 1) paragraphs({paragraph});
  }
}

void print_manual(const CommandEntry& program) {
  fmt::print(".TH GESTALT 1 \"\" \"gestalt {}\" \"User Commands\"\n", GESTALT_VERSION);
  fmt::print(".SH NAME\ngestalt \\- pretrains encoders without labels, and says how good they are\n");
  fmt::print(".SH SYNOPSIS\n.B gestalt\n.I COMMAND\n[\\fIflags\\fR]\n.SH COMMANDS\n");
  for (const CommandEntry& command : program.commands) {
    if (!command.commands.empty()) {
      print_family(command, "gestalt " + command.name);
      continue;
    }
    fmt::print(".SS gestalt {}\n{}.\n", roff(command.name), roff(command.help));
    print_arguments(command);
    for (const FlagEntry& flag : command.flags)
      if (is_shown(flag)) print_flag(flag, with_default(flag));
    paragraphs(footer_of(command));
  }
  fmt::print(".SH EXIT STATUS\n{}\n", roff(std::string(exit_statuses).substr(std::string("Exit status: ").size())));
}

}  // namespace

void add_manual(Command list) {
  const Command command = list.add("manual", "the manual page, for man");
  command.on_run([command] { print_manual(command.root().entry()); });
}

}  // namespace gestalt::tools
