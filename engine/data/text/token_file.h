// A text as token ids on disk: written in one pass, mapped when read, and describing itself.
//
// Layout, little-endian: 16 bytes of magic and version; the ids, 2 or 4 bytes each; the tokenizer's record (JSON); a
// 64-byte trailer with sizes and CRC-32. The description stands last so that a text of any length is written as it is
// tokenized, and a file that was cut short has none.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/data/text/tokenizer.h"
#include "engine/run/files.h"

namespace gestalt {

class TokenFileWriter {
 public:
  TokenFileWriter(const std::string& path, const Tokenizer& tokenizer);

  // Throws Error for an id outside the vocabulary.
  void append(std::span<const int32_t> ids);
  // The file takes its name; without commit() nothing is left. `text_bytes`: what the ids were made from.
  void commit(int64_t text_bytes);

 private:
  AtomicFile file_;
  int64_t vocabulary_;
  std::string record_;
  int64_t count_ = 0;
};

// Opening checks the description and the sizes, not each id; read() checks the ids that it reads. Both throw Error with
// "damaged token file" and the path.
class TokenFile {
 public:
  explicit TokenFile(const std::string& path);
  // Ids that are in no file; `name` stands for the path. Throws Error for an id outside the vocabulary.
  TokenFile(std::string name, std::vector<int32_t> ids, const Tokenizer& tokenizer, int64_t text_bytes);

  const std::string& path() const { return path_; }
  int64_t count() const { return count_; }                  // of ids
  int64_t vocabulary() const { return vocabulary_; }        // ids are in [0, vocabulary)
  int64_t text_bytes() const { return text_bytes_; }        // of the text, for bits per byte
  const std::string& tokenizer() const { return record_; }  // for tokenizer_from_record()

  // Copies the ids from place `begin` on. Throws Error unless [begin, begin + ids.size()) is in [0, count).
  void read(int64_t begin, std::span<int32_t> ids) const;

 private:
  template <class T>
  void read_as(int64_t begin, std::span<int32_t> ids) const;

  std::string path_;
  std::shared_ptr<const void> owner_;  // of the ids
  const uint8_t* ids_ = nullptr;
  int64_t id_bytes_ = 0, count_ = 0, vocabulary_ = 0, text_bytes_ = 0;
  std::string record_;
};

}  // namespace gestalt
