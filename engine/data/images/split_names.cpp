// Taking the names of folders apart, and pairing training with test splits.
#include "engine/data/images/split_names.h"

#include <algorithm>
#include <cctype>
#include <set>

namespace gestalt {
namespace {

using Kind = SplitName::Kind;

struct Word {
  const char* text;
  Kind kind;
};
// Test splits in the order in which they are chosen where a tree has several.
constexpr Word words[] = {{"train", Kind::train},    {"training", Kind::train}, {"trn", Kind::train},
                          {"trainval", Kind::train}, {"test", Kind::test},      {"testing", Kind::test},
                          {"tst", Kind::test},       {"val", Kind::test},       {"validation", Kind::test},
                          {"valid", Kind::test},     {"eval", Kind::test},      {"dev", Kind::test},
                          {"holdout", Kind::test}};
constexpr const char* fillers[] = {"",      "set",    "sets", "data", "dataset", "split",
                                   "image", "images", "img",  "imgs", "folder"};

bool is_filler(const std::string& text) {
  return std::find(std::begin(fillers), std::end(fillers), text) != std::end(fillers);
}

// The place in `words` of the one that a run of letters is, or begins with before a filler; their number for none.
size_t word_in(const std::string& letters) {
  const auto found = std::find_if(std::begin(words), std::end(words), [&](const Word& word) {
    const std::string text = word.text;
    return letters.starts_with(text) && is_filler(letters.substr(text.size()));
  });
  return static_cast<size_t>(found - std::begin(words));
}

// Runs of letters, in lower case. A byte of a longer character is a letter.
std::vector<std::string> letters_of(const std::string& name) {
  std::vector<std::string> runs{""};
  for (const char character : name) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte >= 0x80 || std::isalpha(byte))
      runs.back() += static_cast<char>(std::tolower(byte));
    else if (!runs.back().empty())
      runs.emplace_back();
  }
  return runs;
}

}  // namespace

SplitName split_name(const std::string& folder) {
  SplitName name;
  for (const std::string& run : letters_of(folder)) {
    const size_t word = word_in(run);
    if (word < std::size(words)) {
      if (name) return {};  // two in one name are no split
      name.kind = words[word].kind, name.rank = word, name.bare = folder.size() == std::string(words[word].text).size();
    } else if (!is_filler(run)) {
      name.of_what += run + " ";
    }
  }
  return name ? name : SplitName();
}

SplitFolders split_folders(const std::vector<std::string>& folders) {
  const auto of = [&](const std::string& what, Kind kind) {
    std::vector<std::string> found;
    for (const std::string& folder : folders)
      if (const SplitName name = split_name(folder); name.kind == kind && name.of_what == what) found.push_back(folder);
    return found;
  };
  std::set<std::string> things;
  for (const std::string& folder : folders)
    if (const SplitName name = split_name(folder);
        name.kind == Kind::train && (name.of_what.empty() || !of(name.of_what, Kind::test).empty()))
      things.insert(name.of_what);
  if (things.contains("")) return {of("", Kind::train), of("", Kind::test)};
  if (things.size() != 1) return {};
  return {of(*things.begin(), Kind::train), of(*things.begin(), Kind::test)};
}

}  // namespace gestalt
