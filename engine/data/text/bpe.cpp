// Merging by rank with a heap over a linked list, so that a long word costs n log n.
#include "engine/data/text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "engine/data/text/bpe_files.h"
#include "engine/run/json.h"
#include "engine/run/utf8.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr std::string_view end_of_text_name = "<|endoftext|>";

uint64_t mix(uint64_t h) {
  h *= 0x9e3779b97f4a7c15u;
  return h ^ (h >> 32);
}

// Where the ids of the words met so far stand in the result, so that a word is merged once per call.
class WordCache {
 public:
  static constexpr size_t longest = 64;  // longer words seldom come twice

  struct Word {
    std::string_view text;  // empty in a free slot
    size_t begin = 0;       // of its ids
    size_t count = 0;
  };

  WordCache() : slots_(256) {}

  // The slot of `text`: the word's own, or the free one where it belongs.
  Word& slot(std::string_view text) {
    if (2 * used_ >= slots_.size()) grow();
    return place(text);
  }
  void fill(Word& slot, const Word& word) {
    slot = word;
    ++used_;
  }

 private:
  static uint64_t hash(std::string_view text) {
    uint64_t h = text.size(), word = 0;
    for (; text.size() >= 8; text.remove_prefix(8)) {
      std::memcpy(&word, text.data(), 8);
      h = mix(h ^ word);
    }
    word = 0;
    std::memcpy(&word, text.data(), text.size());
    return mix(h ^ word);
  }

  Word& place(std::string_view text) {
    size_t i = hash(text) & (slots_.size() - 1);
    while (!slots_[i].text.empty() && slots_[i].text != text) i = (i + 1) & (slots_.size() - 1);
    return slots_[i];
  }

  // Starts anew when it is so large that it no longer fits the processor's caches, which also bounds its memory.
  void grow() {
    const std::vector<Word> old(std::move(slots_));
    const bool full = old.size() >= size_t{1} << 20;
    slots_.assign(full ? old.size() : 2 * old.size(), {});
    if (full) used_ = 0;
    if (!full)
      for (const Word& word : old)
        if (!word.text.empty()) place(word.text) = word;
  }

  std::vector<Word> slots_;
  size_t used_ = 0;
};

}  // namespace

// The working memory of one encode() call.
struct BpeTokenizer::Scratch {
  struct Symbol {
    int32_t id;  // negative once merged into the symbol on its left
    uint32_t previous, next;
  };
  struct Candidate {
    int32_t rank;
    uint32_t left;

    // The standard heap keeps the greatest on top: the lowest rank, and of equals the leftmost.
    bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
  };

  WordCache cache;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

MergeTable::MergeTable(const std::vector<Merge>& merges) : slots_(std::bit_ceil(2 * merges.size() + 1)) {
  for (const Merge& merge : merges) {
    size_t i = mix(static_cast<uint64_t>(merge.left) << 32 | static_cast<uint32_t>(merge.right)) & (slots_.size() - 1);
    while (slots_[i].rank >= 0) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = merge;
  }
}

const Merge* MergeTable::find(int32_t left, int32_t right) const {
  size_t i = mix(static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right)) & (slots_.size() - 1);
  for (; slots_[i].rank >= 0; i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].left == left && slots_[i].right == right) return &slots_[i];
  return nullptr;
}

BpeTokenizer::BpeTokenizer(const std::string& folder, bool special) : folder_(folder), special_(special) {
  BpeFiles files = read_bpe_files(folder);
  checksum_ = files.checksum;
  bytes_of_ = std::move(files.bytes_of);
  id_of_byte_ = files.id_of_byte;
  merges_ = MergeTable(files.merges);
  const auto named = std::find(bytes_of_.begin(), bytes_of_.end(), end_of_text_name);
  if (named != bytes_of_.end()) end_of_text_ = static_cast<int32_t>(named - bytes_of_.begin());
  check(!special || end_of_text_, "[tokenizer] encoder.json in '{}' has no {}, which --special asks for", folder,
        end_of_text_name);
}

std::string BpeTokenizer::record() const {
  return Json{{"checksum", checksum_}, {"folder", utf8_from_bytes(folder_)}, {"kind", "gpt2"}, {"special", special_}}
      .dump();
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text) const {
  std::string repaired;
  if (!is_utf8(text)) text = repaired = repair_utf8(text);
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3);
  Scratch scratch;
  while (special_) {
    const size_t at = text.find(end_of_text_name);
    if (at == std::string_view::npos) break;
    encode_ordinary(text.substr(0, at), scratch, ids);
    ids.push_back(*end_of_text_);
    text.remove_prefix(at + end_of_text_name.size());
  }
  encode_ordinary(text, scratch, ids);
  return ids;
}

void BpeTokenizer::encode_ordinary(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const {
  Words words(splitter_, text);
  for (std::string_view word; !(word = words.next()).empty();) {
    if (word.size() > WordCache::longest) {
      merge_word(word, scratch, ids);
      continue;
    }
    WordCache::Word& slot = scratch.cache.slot(word);
    const size_t begin = ids.size();
    if (slot.text.empty()) {
      merge_word(word, scratch, ids);
      scratch.cache.fill(slot, {word, begin, ids.size() - begin});
    } else {
      ids.resize(begin + slot.count);
      std::copy_n(ids.begin() + slot.begin, slot.count, ids.begin() + begin);
    }
  }
}

void BpeTokenizer::merge_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const {
  check(word.size() < std::numeric_limits<uint32_t>::max(), "[tokenizer] got a word of {} bytes, expected under 4 GiB",
        word.size());
  const uint32_t count = static_cast<uint32_t>(word.size());
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  symbols.resize(count);
  heap.clear();
  const auto offer = [&](uint32_t left) {
    const uint32_t right = symbols[left].next;
    if (right == count) return;
    const Merge* merge = merges_.find(symbols[left].id, symbols[right].id);
    if (merge) heap.push_back({merge->rank, left});
  };

  for (uint32_t i = 0; i < count; ++i) symbols[i] = {id_of_byte_[static_cast<uint8_t>(word[i])], i - 1, i + 1};
  for (uint32_t i = 0; i < count; ++i) offer(i);
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const auto [rank, left] = heap.back();
    heap.pop_back();
    const uint32_t right = symbols[left].next;
    if (symbols[left].id < 0 || right == count) continue;
    const Merge* merge = merges_.find(symbols[left].id, symbols[right].id);
    if (!merge || merge->rank != rank) continue;  // one of the two has merged elsewhere since

    symbols[left].id = merge->id;
    symbols[right].id = -1;
    symbols[left].next = symbols[right].next;
    if (symbols[left].next != count) symbols[symbols[left].next].previous = left;
    for (uint32_t first : {left, symbols[left].previous}) {
      if (first >= count) continue;  // there is nothing to the left of the first symbol
      const size_t before = heap.size();
      offer(first);
      if (heap.size() > before) std::push_heap(heap.begin(), heap.end());
    }
  }
  for (uint32_t i = 0; i < count; i = symbols[i].next) ids.push_back(symbols[i].id);
}

std::string BpeTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) {
    check(id >= 0 && id < vocabulary(), "[tokenizer] got id {}, expected 0 to {}", id, vocabulary() - 1);
    text += bytes_of_[id];
  }
  return text;
}

}  // namespace gestalt
