// Tokenizing a file in parts that threads share, in order.
#include "engine/data/text/tokenize.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <future>
#include <optional>
#include <thread>
#include <vector>

#include "engine/data/text/text_files.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr size_t part_bytes = size_t{16} << 20;  // large enough that a part's word cache pays

bool visible_ascii(char c) { return c > 0x20 && c < 0x7f; }

// Where the validation part begins. `name` is for the message.
size_t training_bytes(std::string_view text, double val_fraction, const std::string& name) {
  check(val_fraction >= 0 && val_fraction < 1,
        "[tokenize] got a validation fraction of {}, expected 0 or more and under 1", val_fraction);
  auto cut = static_cast<size_t>(std::floor(static_cast<double>(text.size()) * (1 - val_fraction)));
  while (cut < text.size() && (text[cut] & 0xc0) == 0x80) ++cut;  // not inside a character
  check(cut > 0 && (cut < text.size() || val_fraction == 0),
        "[tokenize] got {} bytes in '{}', too few to keep {} of them for validation", text.size(), name, val_fraction);
  return cut;
}

// A text's tokens in a file that is not there before commit().
class PartWriter {
 public:
  // Encodes `text` in parts, a few at once, and appends them in order.
  PartWriter(const std::string& path, std::string_view text, const Tokenizer& tokenizer,
             const std::function<void(int64_t)>& advance)
      : file_(path, tokenizer), result_{path, static_cast<int64_t>(text.size()), 0} {
    const size_t threads = std::max(1u, std::thread::hardware_concurrency());
    while (!text.empty()) {
      std::vector<std::pair<std::future<std::vector<int32_t>>, int64_t>> parts;
      while (!text.empty() && parts.size() < threads) {
        const std::string_view part = text.substr(0, safe_cut(text, part_bytes));
        text.remove_prefix(part.size());
        parts.emplace_back(std::async(std::launch::async, [&tokenizer, part] { return tokenizer.encode(part); }),
                           static_cast<int64_t>(part.size()));
      }
      for (auto& [ids, bytes] : parts) {
        const std::vector<int32_t> done = ids.get();
        file_.append(done);
        result_.tokens += static_cast<int64_t>(done.size());
        advance(bytes);
      }
    }
  }
  TokenizedPart commit() {
    file_.commit(result_.text_bytes);
    return result_;
  }

 private:
  TokenFileWriter file_;
  TokenizedPart result_;
};

}  // namespace

size_t safe_cut(std::string_view text, size_t least) {
  for (size_t at = text.find('\n', std::max<size_t>(least, 2) - 1); at < text.size(); at = text.find('\n', at + 1))
    if (at + 1 < text.size() && visible_ascii(text[at - 1]) && visible_ascii(text[at + 1])) return at + 1;
  return text.size();
}

TokenizedText tokenize_file(const std::string& text_path, const std::string& folder, const TokenizeOptions& options,
                            const std::function<void(int64_t, int64_t)>& progress) {
  const bool any_bytes = options.tokenizer.kind == "byte" && options.encoding == "utf-8";
  const Text file =
      text_path.starts_with("jsonl:")
          ? open_json_lines(text_path.substr(6))
          : open_text(text_path.substr(text_path.starts_with("text:") ? 5 : 0), any_bytes ? "bytes" : options.encoding);
  const std::string_view text = file.view();
  const size_t cut = training_bytes(text, options.val_fraction, text_path);
  const std::unique_ptr<const Tokenizer> tokenizer = make_tokenizer(options.tokenizer, text);

  const auto start = std::chrono::steady_clock::now();
  std::filesystem::create_directories(folder);
  const std::filesystem::path base(folder);
  int64_t done = 0;
  const auto advance = [&](int64_t bytes) {
    done += bytes;
    if (progress) progress(done, static_cast<int64_t>(text.size()));
  };
  TokenizedText result;
  result.vocabulary = tokenizer->vocabulary();
  PartWriter training(base / "train.tokens", text.substr(0, cut), *tokenizer, advance);
  std::optional<PartWriter> validation;
  if (cut < text.size()) validation.emplace(base / "val.tokens", text.substr(cut), *tokenizer, advance);
  const bool fresh = !std::filesystem::exists(base / "train.tokens");
  std::filesystem::remove(base / "val.tokens");  // an older one may be of another tokenizer
  result.training = training.commit();
  try {
    if (validation) result.validation = validation->commit();
  } catch (...) {
    if (fresh) std::filesystem::remove(base / "train.tokens");  // so that the same command can be given again
    throw;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

TokenSets tokenize_text(std::string_view text, const std::string& name, const TokenizeOptions& options) {
  return tokenize_text(text, name, *make_tokenizer(options.tokenizer, text), options.val_fraction);
}

TokenSets tokenize_text(std::string_view text, const std::string& name, const Tokenizer& tokenizer,
                        double val_fraction) {
  const size_t cut = training_bytes(text, val_fraction, name);
  const auto ids_of = [&](std::string_view part) -> std::shared_ptr<const TokenFile> {
    if (part.empty()) return nullptr;
    return std::make_shared<const TokenFile>(name, tokenizer.encode(part), tokenizer,
                                             static_cast<int64_t>(part.size()));
  };
  return {ids_of(text.substr(0, cut)), ids_of(text.substr(cut))};
}

}  // namespace gestalt
