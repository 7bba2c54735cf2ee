// Opening token files, and tokenizing texts in memory.
#include "engine/data/text/token_sets.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "engine/data/text/text_files.h"
#include "engine/run/fields.h"
#include "engine/run/fields_json.h"
#include "kernels/check.h"
#include "kernels/philox.h"

namespace gestalt {
namespace {

// What f(text, its name) gives for one text or another.
using UseText = std::function<TokenSets(std::string_view text, const std::string& name)>;

// Lines such as "27+45=72", their numbers below 100 drawn by a fixed seed.
std::string sums(int64_t lines) {
  std::string text;
  for (int64_t i = 0; i < lines; ++i) {
    const Philox4 r = draw(0, Use::made_up, 0, static_cast<uint32_t>(i), 0);
    const uint32_t a = r.word[0] % 100, b = r.word[1] % 100;
    text += fmt::format("{}+{}={}\n", a, b, a + b);
  }
  return text;
}

std::string letters(int64_t count) {
  constexpr std::string_view all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .\n";
  std::string text;
  for (int64_t i = 0; i < count; ++i)
    text += all[draw(1, Use::made_up, 0, static_cast<uint32_t>(i), 0).word[0] % all.size()];
  return text;
}

int64_t number_of(const std::string& scheme, const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  check(error == std::errc() && end == text.data() + text.size() && number >= 1 && number <= 10'000'000,
        "[data] got '{0}:{1}', expected {0}: and a number from 1 to 10,000,000", scheme, text);
  return number;
}

// A scheme whose texts are tokenized in memory has `open`.
struct Scheme {
  TextSource source;
  TokenSets (*open)(const std::string& rest, const std::string& encoding, const UseText& use);
};

const std::vector<Scheme>& schemes() {
  static const std::vector<Scheme> all{
      {{"text", "text:FILE",
        "a text, or a folder's .txt and .md files in order of path, also as .gz or .zst; UTF-8, tokenized in memory; "
        "the "
        "last tenth is kept for validation"},
       [](const std::string& rest, const std::string& encoding, const UseText& use) {
         return use(open_text(rest, encoding).view(), rest);
       }},
      {{"jsonl", "jsonl:FILE#FIELD", "the strings in a field of lines of JSON, also as .gz or .zst; likewise"},
       [](const std::string& rest, const std::string&, const UseText& use) {
         return use(open_json_lines(rest).view(), rest);
       }},
      {{"tokens", "tokens:DIR", "token files that 'gestalt tokenize' wrote, mapped into memory: for texts of any size"},
       nullptr},
      {{"sums", "sums:LINES", "lines such as 27+45=72, made up, for trying things out"},
       [](const std::string& rest, const std::string&, const UseText& use) {
         return use(sums(number_of("sums", rest)), "sums:" + rest);
       }},
      {{"letters", "letters:COUNT", "characters drawn evenly from 65, which nothing can be learned from, for timing"},
       [](const std::string& rest, const std::string&, const UseText& use) {
         return use(letters(number_of("letters", rest)), "letters:" + rest);
       }}};
  return all;
}

struct Spec {
  const Scheme* scheme;
  std::string rest;
};

Spec parse_spec(const std::string& spec) {
  const size_t colon = spec.find(':');
  std::vector<std::string> names, usages;
  for (const Scheme& scheme : schemes()) {
    if (colon != std::string::npos && colon + 1 < spec.size() && spec.substr(0, colon) == scheme.source.scheme)
      return {&scheme, spec.substr(colon + 1)};
    names.push_back(scheme.source.scheme);
    usages.push_back(scheme.source.usage);
  }
  const std::string near = nearest(spec.substr(0, colon), names);
  fail("[data] got '{}', expected one of {}{}", spec, fmt::join(usages, ", "),
       near.empty() || spec.starts_with(near + ":") ? "" : fmt::format("; did you mean '{}:'?", near));
}

// Whether ids mean the same. GPT-2's files may lie in another folder; a checksum tells them.
bool same_tokenizer(const std::string& a, const std::string& b) {
  const auto identity = [](const std::string& record) {
    Json json = parse_json("tokenizer", record);
    json.erase("folder");
    json.erase("special");
    return json;
  };
  return identity(a) == identity(b);
}

TokenSets open_token_files(const std::filesystem::path& folder) {
  TokenSets sets{std::make_shared<const TokenFile>(folder / "train.tokens"), nullptr};
  if (std::filesystem::exists(folder / "val.tokens"))
    sets.validation = std::make_shared<const TokenFile>(folder / "val.tokens");
  check_record(sets.training->tokenizer(), sets.training->path(), sets.training->vocabulary());
  check(!sets.validation || sets.validation->tokenizer() == sets.training->tokenizer(),
        "[data] train.tokens and val.tokens in '{}' are of two tokenizers; make them again with `gestalt tokenize`",
        folder.string());
  return sets;
}

}  // namespace

TokenSets open_tokens(const std::string& spec, const TokenizeOptions& options) {
  const Spec s = parse_spec(spec);
  if (!s.scheme->open) return open_token_files(s.rest);
  const bool any_bytes = options.tokenizer.kind == "byte" && options.encoding == "utf-8";
  return s.scheme->open(
      s.rest, any_bytes ? "bytes" : options.encoding,
      [&](std::string_view text, const std::string& name) { return tokenize_text(text, name, options); });
}

TokenSets open_tokens(const std::string& spec, const Tokenizer& tokenizer, double val_fraction,
                      const std::string& encoding) {
  const Spec s = parse_spec(spec);
  if (s.scheme->open)
    return s.scheme->open(s.rest, tokenizer.name() == "byte" ? "bytes" : encoding,
                          [&](std::string_view text, const std::string& name) {
                            return tokenize_text(text, name, tokenizer, val_fraction);
                          });
  TokenSets sets = open_token_files(s.rest);
  check(same_tokenizer(sets.training->tokenizer(), tokenizer.record()),
        "[data] the token files in '{}' are of another tokenizer than the model; give the text itself as text:FILE",
        s.rest);
  return sets;
}

bool names_text(const std::string& spec) {
  return std::any_of(schemes().begin(), schemes().end(),
                     [&](const Scheme& scheme) { return spec.starts_with(scheme.source.scheme + ":"); });
}

int64_t approximate_bytes(const std::string& spec) {
  const Spec s = parse_spec(spec);
  if (s.scheme->source.scheme == "text" || s.scheme->source.scheme == "jsonl") return approximate_text_bytes(s.rest);
  return open_tokens(spec, {.tokenizer = {.kind = "byte"}, .val_fraction = 0}).training->text_bytes();
}

const std::vector<TextSource>& text_sources() {
  static const std::vector<TextSource> sources = [] {
    std::vector<TextSource> all;
    for (const Scheme& scheme : schemes()) all.push_back(scheme.source);
    return all;
  }();
  return sources;
}

}  // namespace gestalt
