// Cutting text into the pieces within which GPT-2's byte pairs merge.
#pragma once

#include <cstddef>
#include <string_view>

namespace gestalt {

// GPT-2's published pattern, compiled: contractions, letters, numbers, other characters, white space. Threads may
// share.
class WordSplitter {
 public:
  WordSplitter();
  WordSplitter(const WordSplitter&) = delete;
  WordSplitter& operator=(const WordSplitter&) = delete;
  ~WordSplitter();

 private:
  friend class Words;
  void* code_;        // pcre2_code
  bool jit_ = false;  // compiled to machine code
};

// Walks over the pieces of one text. The splitter and the text outlive it.
class Words {
 public:
  Words(const WordSplitter&, std::string_view text);  // `text` is well-formed UTF-8
  Words(const Words&) = delete;
  Words& operator=(const Words&) = delete;
  ~Words();

  std::string_view next();  // the pieces in order, which join to the text; empty at the end

 private:
  const WordSplitter& splitter_;
  std::string_view text_;
  size_t at_ = 0;
  void* match_;  // pcre2_match_data
};

}  // namespace gestalt
