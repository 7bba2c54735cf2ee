// GPT-2's byte-pair encoding: split into words, then merge each word's bytes by rank.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "engine/data/text/tokenizer.h"
#include "engine/data/text/word_splitter.h"

namespace gestalt {

// What two neighbouring tokens become. Lower ranks merge first.
struct Merge {
  int32_t left = 0, right = 0;
  int32_t rank = -1;  // negative: an empty slot
  int32_t id = 0;
};

// Merges by their two parts, in an open-addressing table that is at most half full.
class MergeTable {
 public:
  MergeTable() : slots_(1) {}
  explicit MergeTable(const std::vector<Merge>& merges);
  const Merge* find(int32_t left, int32_t right) const;  // null if the two do not merge

 private:
  std::vector<Merge> slots_;
};

class BpeTokenizer : public Tokenizer {
 public:
  BpeTokenizer(const std::string& folder, bool special);

  std::string name() const override { return "gpt2"; }
  int64_t vocabulary() const override { return static_cast<int64_t>(bytes_of_.size()); }
  std::vector<int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const int32_t> ids) const override;
  std::optional<int32_t> end_of_text() const override { return end_of_text_; }
  std::string record() const override;
  uint32_t checksum() const { return checksum_; }  // of the two files
  const std::string& folder() const { return folder_; }

 private:
  struct Scratch;
  void encode_ordinary(std::string_view text, Scratch&, std::vector<int32_t>& ids) const;
  void merge_word(std::string_view word, Scratch&, std::vector<int32_t>& ids) const;

  std::string folder_;
  bool special_;
  uint32_t checksum_ = 0;
  std::vector<std::string> bytes_of_;  // by id
  std::array<int32_t, 256> id_of_byte_;
  std::optional<int32_t> end_of_text_;
  MergeTable merges_;
  WordSplitter splitter_;
};

}  // namespace gestalt
