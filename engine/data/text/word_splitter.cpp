// GPT-2's splitting pattern on PCRE2.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/data/text/word_splitter.h"

#include <pcre2.h>

#include "kernels/check.h"

namespace gestalt {
namespace {

// Letters and numbers that Unicode 16, which tiktoken follows, has beyond the Unicode 14 of PCRE2 10.42. With them, ids
// are the same for every PCRE2 of Unicode 14 to 16. `tests/golden/bpe.py --unicode` prints these.
#define NEW_LETTERS                                                                                             \
  R"(\x{1c89}-\x{1c8a}\x{a7cb}-\x{a7cd}\x{a7da}-\x{a7dc}\x{105c0}-\x{105f3}\x{10d4a}-\x{10d65})"                \
  R"(\x{10d6f}-\x{10d85}\x{10ec2}-\x{10ec4}\x{1123f}-\x{11240}\x{11380}-\x{11389}\x{1138b}\x{1138e})"           \
  R"(\x{11390}-\x{113b5}\x{113b7}\x{113d1}\x{113d3}\x{11bc0}-\x{11be0}\x{11f02}\x{11f04}-\x{11f10})"            \
  R"(\x{11f12}-\x{11f33}\x{1342f}\x{13441}-\x{13446}\x{13460}-\x{143fa}\x{16100}-\x{1611d}\x{16d40}-\x{16d6c})" \
  R"(\x{18cff}\x{1b132}\x{1b155}\x{1df25}-\x{1df2a}\x{1e030}-\x{1e06d}\x{1e4d0}-\x{1e4eb}\x{1e5d0}-\x{1e5ed})"  \
  R"(\x{1e5f0}\x{2b739}\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})"
#define NEW_NUMBERS                                                                                    \
  R"(\x{10d40}-\x{10d49}\x{116d0}-\x{116e3}\x{11bf0}-\x{11bf9}\x{11f50}-\x{11f59}\x{16130}-\x{16139})" \
  R"(\x{16d70}-\x{16d79}\x{1ccf0}-\x{1ccf9}\x{1d2c0}-\x{1d2d3}\x{1e4f0}-\x{1e4f9}\x{1e5f1}-\x{1e5fa})"

// White space is spelled out because PCRE2's \s also holds U+180E, which has not been white space since Unicode 6.3.
#define SPACE R"(\t-\r\x{85}\p{Z})"

// No piece needs to give back characters, except white space before the next word, so the other repeats are possessive.
// clang-format off
constexpr const char* pattern =
    R"('(?:[stmd]|re|ve|ll))"
    R"(| ?(?>\p{L}++|[)" NEW_LETTERS R"(]++)++)"
    R"(| ?(?>\p{N}++|[)" NEW_NUMBERS R"(]++)++)"
    R"(| ?[^\p{L}\p{N})" SPACE NEW_LETTERS NEW_NUMBERS R"(]++)"
    R"(|[)" SPACE R"(]+(?![^)" SPACE R"(]))"
    R"(|[)" SPACE R"(]++)";
// clang-format on

std::string reason(int error) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

WordSplitter::WordSplitter() {
  int error;
  PCRE2_SIZE at;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &at, nullptr);
  check(code != nullptr, "[tokenizer] PCRE2 refuses the pattern at {}: {}", at, reason(error));
  code_ = code;
  jit_ = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
}

WordSplitter::~WordSplitter() { pcre2_code_free(static_cast<pcre2_code*>(code_)); }

Words::Words(const WordSplitter& splitter, std::string_view text)
    : splitter_(splitter),
      text_(text),
      match_(pcre2_match_data_create_from_pattern(static_cast<pcre2_code*>(splitter.code_), nullptr)) {
  check(match_ != nullptr, "[tokenizer] out of memory");
}

Words::~Words() { pcre2_match_data_free(static_cast<pcre2_match_data*>(match_)); }

std::string_view Words::next() {
  if (at_ == text_.size()) return {};
  const auto* code = static_cast<const pcre2_code*>(splitter_.code_);
  auto* match = static_cast<pcre2_match_data*>(match_);
  const auto* bytes = reinterpret_cast<PCRE2_SPTR>(text_.data());
  const int matched = splitter_.jit_ ? pcre2_jit_match(code, bytes, text_.size(), at_, 0, match, nullptr)
                                     : pcre2_match(code, bytes, text_.size(), at_, PCRE2_NO_UTF_CHECK, match, nullptr);
  check(matched > 0, "[tokenizer] PCRE2 stopped at byte {}: {}", at_, reason(matched));
  const size_t begin = at_;
  at_ = pcre2_get_ovector_pointer(match)[1];
  return text_.substr(begin, at_ - begin);
}

}  // namespace gestalt
