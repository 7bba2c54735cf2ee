// Texts as they lie on disk: one file or a folder of them, compressed or not, or a field of lines of JSON.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/data/mapped_file.h"

namespace gestalt {

// A text in memory: a file that is mapped, or a string.
class Text {
 public:
  explicit Text(std::string text) : own_(std::move(text)) {}
  explicit Text(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {}
  std::string_view view() const {
    if (!file_) return own_;
    return {reinterpret_cast<const char*>(file_->bytes().data()), file_->bytes().size()};
  }

 private:
  std::string own_;
  std::shared_ptr<const MappedFile> file_;
};

// A file, or of a folder all .txt and .md files below it in order of path, each ending in a line break. Those of .gz,
// .bz2, .xz and .zst are decompressed. `encoding` is "utf-8", "latin-1", which is turned into UTF-8, or "bytes", which
// takes any. Throws Error for a text that is no UTF-8 where it has to be.
Text open_text(const std::string& path, const std::string& encoding = "utf-8");

// The strings in `field` of each line of "FILE#field" (without #field: "text"), each ending in a line break. FILE may
// be compressed, or a pattern as in files_of(). Throws Error, naming the line, where there is no such string.
Text open_json_lines(const std::string& file_and_field);

// About how many bytes of text open_text() or open_json_lines() would give, from the sizes of the files.
int64_t approximate_text_bytes(const std::string& path);

}  // namespace gestalt
