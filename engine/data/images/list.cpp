// `list:FILE`: image files that a text names, a path a line, a label after a tab where there are labels.
#include <algorithm>
#include <filesystem>
#include <sstream>
#include <unordered_set>

#include "engine/data/images/file_set.h"
#include "engine/run/files.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r"), end = text.find_last_not_of(" \t\r");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

// Lists of other programs have labels after a blank or a comma.
void check_separator(const std::string& list, const std::filesystem::path& folder, const std::string& line) {
  std::error_code none;
  if (std::filesystem::exists(folder / expand_home(line), none)) return;
  for (const char* separator : {" ", ",", ";"})
    for (const size_t at : {line.find(separator), line.rfind(separator)})
      check(at == std::string::npos || at == 0 ||
                !std::filesystem::exists(folder / expand_home(line.substr(0, at)), none),
            "[data] {} has a line '{}', and a file of that name is not there, but '{}' is; a label stands after a tab, "
            "as sed 's/{}\\([^{}]*\\)$/\\t\\1/' makes it",
            list, line, line.substr(0, at), separator, separator);
}

struct Listed {
  std::vector<std::string> files, labels;  // of the latter none, or one a file
};

Listed read_list(const std::string& path) {
  Listed list;
  const Bytes bytes = read_file(path);
  std::string text(bytes.begin(), bytes.end());
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  std::istringstream lines(text);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::unordered_set<std::string> seen;
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (trimmed(line).empty() || line == "#" || line.starts_with("# ")) continue;
    const size_t tab = line.find('\t');
    const std::string file = line.substr(0, tab), label = tab == std::string::npos ? "" : trimmed(line.substr(tab + 1));
    check(!file.empty(), "[data] line {} of {} names no file", number, path);
    check(seen.insert(file).second, "[data] line {} of {} names {} again", number, path, file);
    check(list.files.empty() || label.empty() == list.labels.empty(),
          "[data] line {} of {} has {} label, unlike those before it; give every file one, after a tab, or none",
          number, path, label.empty() ? "no" : "a");
    if (list.files.empty() && label.empty()) check_separator(path, folder, file);
    list.files.push_back(file);
    if (!label.empty()) list.labels.push_back(label);
  }
  check(!list.files.empty(), "[data] {} names no file; give a path a line", path);
  return list;
}

}  // namespace

SetPointer open_list(const std::string& path, const OpenOptions& options) {
  const Listed list = read_list(path);
  ImageFiles files;
  files.name = "list:" + path;
  files.class_names = list.labels;
  std::sort(files.class_names.begin(), files.class_names.end());
  files.class_names.erase(std::unique(files.class_names.begin(), files.class_names.end()), files.class_names.end());
  std::vector<int32_t> labels;
  for (const std::string& label : list.labels)
    labels.push_back(static_cast<int32_t>(std::lower_bound(files.class_names.begin(), files.class_names.end(), label) -
                                          files.class_names.begin()));
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const auto paths = std::make_shared<std::vector<std::string>>();
  for (int64_t i : held_out_split(std::ssize(list.files), labels, options)) {
    files.names.push_back(list.files[static_cast<size_t>(i)]);
    if (!labels.empty()) files.labels.push_back(labels[static_cast<size_t>(i)]);
    paths->push_back((folder / expand_home(files.names.back())).string());
  }
  if (options.hold_out && !labels.empty())
    files.note = "held out: every 10th image of a class, the last of a smaller one";
  files.path = [paths](int64_t i) { return (*paths)[static_cast<size_t>(i)]; };
  files.identity = [names = files.names](int64_t i) { return names[static_cast<size_t>(i)]; };
  files.read = [paths](int64_t i, int64_t most) { return read_file((*paths)[static_cast<size_t>(i)], most); };
  files.bytes = [paths](int64_t i) {
    std::error_code broken;
    return uint64_t{std::filesystem::file_size((*paths)[static_cast<size_t>(i)], broken)};
  };
  return open_files(std::move(files), options);
}

}  // namespace gestalt
