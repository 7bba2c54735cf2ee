// Reading texts, and making sure that they are UTF-8.
#include "engine/data/text/text_files.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "engine/data/archive.h"
#include "engine/run/json.h"
#include "engine/run/utf8.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;

bool has_text_name(fs::path path) {
  if (is_compressed(path.string())) path = path.stem();
  return path.extension() == ".txt" || path.extension() == ".md";
}

std::vector<std::string> texts_in(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied))
    if (entry.is_regular_file() && has_text_name(entry.path()) && !entry.path().filename().string().starts_with('.'))
      files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  check(!files.empty(), "[data] {} holds no text (.txt or .md, also as .gz, .bz2, .xz or .zst)", folder);
  return files;
}

std::string from_latin1(std::string_view text) {
  std::string all;
  all.reserve(text.size());
  for (char c : text) append_utf8(all, static_cast<unsigned char>(c));
  return all;
}

void check_utf8(std::string_view text, const std::string& path) {
  if (is_utf8(text)) return;
  size_t at = 0;
  for (CodePoint c; (c = first_code_point(text.substr(at))).valid;) at += static_cast<size_t>(c.bytes);
  fail("[data] {} is no UTF-8: byte {} is {:#04x}; if it is Latin-1, give --encoding latin-1, else convert it", path,
       at, static_cast<unsigned char>(text[at]));
}

// One file.
Text read_one(const std::string& path, const std::string& encoding) {
  Text text = is_compressed(path) ? Text(read_compressed(path)) : Text(std::make_shared<const MappedFile>(path));
  if (encoding == "latin-1") return Text(from_latin1(text.view()));
  if (encoding == "utf-8") check_utf8(text.view(), path);
  return text;
}

void append(std::string& all, std::string_view text) {
  all += text;
  if (!text.ends_with('\n')) all += '\n';
}

}  // namespace

Text open_text(const std::string& path, const std::string& encoding) {
  if (!fs::is_directory(path)) return read_one(path, encoding);
  std::string all;
  for (const std::string& file : texts_in(path)) append(all, read_one(file, encoding).view());
  return Text(std::move(all));
}

Text open_json_lines(const std::string& file_and_field) {
  const size_t hash = file_and_field.rfind('#');
  const std::string field = hash == std::string::npos ? "text" : file_and_field.substr(hash + 1);
  std::string all;
  for (const std::string& path : files_of(file_and_field.substr(0, hash))) {
    const Text text = read_one(path, "utf-8");
    std::string_view rest = text.view();
    for (int64_t number = 1; !rest.empty(); ++number) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      const Json json = json_or_null(line);
      check(json.is_object(), "[data] line {} of {} is no JSON object", number, path);
      check(json.contains(field) && json.at(field).is_string(),
            "[data] line {} of {} has no text '{}'; name the field as jsonl:FILE#field", number, path, field);
      append(all, json.at(field).text());
    }
  }
  return Text(std::move(all));
}

int64_t approximate_text_bytes(const std::string& path) {
  constexpr int64_t usual_compression = 3;
  const std::string place = path.substr(0, path.rfind('#'));
  int64_t bytes = 0;
  for (const std::string& file : fs::is_directory(place) ? texts_in(place) : files_of(place))
    bytes += static_cast<int64_t>(fs::file_size(file)) * (is_compressed(file) ? usual_compression : 1);
  return bytes;
}

}  // namespace gestalt
