// Archives by libarchive, and the patterns that name several.
#include "engine/data/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <glob.h>
#include <locale.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "engine/run/files.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr size_t block = 1 << 16;
constexpr int64_t longest_entry = int64_t{1} << 30;  // larger than any picture

// Names of entries are what they are whatever the user's locale can spell: in this thread, while it lasts.
class Utf8Locale {
 public:
  Utf8Locale() : utf8_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (utf8_) before_ = uselocale(utf8_);
  }
  ~Utf8Locale() {
    if (!utf8_) return;
    uselocale(before_);
    freelocale(utf8_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t utf8_, before_ = nullptr;
};

struct Close {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Reader = std::unique_ptr<archive, Close>;

std::string reason(archive* a) {
  const char* text = archive_error_string(a);
  return text ? text : "is damaged";
}

// A bomb: a few bytes that decode to as many as there is room for. Deflate alone makes 1032 of one.
void check_expansion(archive* a, int64_t decoded, const std::string& path) {
  constexpr int64_t harmless = int64_t{64} << 20, most = 2000;
  const int64_t read = archive_filter_bytes(a, -1);
  check(decoded <= harmless || decoded / most <= read,
        "[data] {} decodes to more than {} times its size, which no real data do", path, most);
}

Reader open_reader(const std::string& path, bool text) {
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  check(error || kind == std::filesystem::file_type::regular || kind == std::filesystem::file_type::not_found,
        "[data] {} is not a file, and pipes and devices are not opened", path);
  Reader reader(archive_read_new());
  check(reader != nullptr, "[data] out of memory for {}", path);
  archive* a = reader.get();
  archive_read_support_filter_gzip(a);
  archive_read_support_filter_bzip2(a);
  archive_read_support_filter_xz(a);
  archive_read_support_filter_zstd(a);
  if (text) {
    archive_read_support_format_raw(a);
  } else {
    archive_read_support_format_tar(a);
    archive_read_support_format_zip(a);
  }
  if (archive_read_open_filename(a, path.c_str(), block) == ARCHIVE_OK) return reader;
  check(access(path.c_str(), R_OK) == 0, "[data] cannot open {}: {}", path, std::strerror(errno));
  fail("[data] {} is no {}, or damaged at its beginning: {}", path, text ? "compressed text" : "tar or zip archive",
       reason(a));
}

std::string cut_short(const std::string& reason, const std::string& entry = "") {
  return fmt::format("is damaged{}, and what follows is not read: {}", entry.empty() ? "" : " in " + entry, reason);
}

// Its name as the archive has it; in a zip of some Windows programs folders end in the other slash.
std::string name_of(archive_entry* entry, bool zip) {
  const char* name = archive_entry_pathname(entry);
  if (!name) name = archive_entry_pathname_utf8(entry);
  std::string text = name ? name : "";
  if (zip && text.find('/') == std::string::npos) std::replace(text.begin(), text.end(), '\\', '/');
  while (text.starts_with("./")) text.erase(0, 2);
  return text;
}

// A file that goes when it is closed.
int nameless_file() {
  const char* given = std::getenv("TMPDIR");
  for (const std::string& folder : {std::string(given ? given : ""), std::string("/var/tmp"), std::string("/tmp")}) {
    if (folder.empty()) continue;
    std::string path = folder + "/gestalt-XXXXXX";
    const int descriptor = mkostemp(path.data(), O_CLOEXEC);
    if (descriptor < 0) continue;
    unlink(path.c_str());
    return descriptor;
  }
  fail("[data] cannot make a temporary file in $TMPDIR, /var/tmp or /tmp: {}", std::strerror(errno));
}

// Calls take(bytes, count) on all of an entry; returns what is wrong with the archive, or "".
template <class Take>
std::string for_each_block(archive* a, Take take) {
  std::vector<char> bytes(block);
  for (;;) {
    const la_ssize_t got = archive_read_data(a, bytes.data(), bytes.size());
    if (got == 0) return "";
    if (got < 0) return reason(a);
    take(bytes.data(), static_cast<size_t>(got));
  }
}

}  // namespace

Archive::Archive(const std::string& path, const std::function<bool(const std::string& name)>& wanted) : path_(path) {
  try {
    find_entries(wanted);
  } catch (...) {
    if (descriptor_ >= 0) close(descriptor_);
    throw;
  }
}

Archive::~Archive() { close(descriptor_); }

void Archive::find_entries(const std::function<bool(const std::string&)>& wanted) {
  const Utf8Locale locale;
  const Reader reader = open_reader(path_, false);
  archive* a = reader.get();
  archive_entry* header = nullptr;
  bool plain = false;
  int64_t copied = 0, encrypted = 0, end = 0;  // of the file, where it is read from itself
  for (bool first = true;; first = false) {
    const int status = archive_read_next_header(a, &header);
    if (status == ARCHIVE_EOF) break;
    if (status < ARCHIVE_WARN) {
      check(!first, "[data] {} is no tar or zip archive, or a damaged one: {}", path_, reason(a));
      problem_ = cut_short(reason(a));
      break;
    }
    if (first) {
      plain = archive_filter_count(a) == 1 && (archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
      descriptor_ = plain ? open(path_.c_str(), O_RDONLY | O_CLOEXEC) : nameless_file();
      check(descriptor_ >= 0, "[data] cannot open {}: {}", path_, std::strerror(errno));
      if (plain) end = lseek(descriptor_, 0, SEEK_END);
    }
    const bool zip = (archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP;
    Entry entry{name_of(header, zip), archive_entry_size(header), archive_filter_bytes(a, 0)};
    const bool whole = archive_entry_filetype(header) == AE_IFREG && !archive_entry_hardlink(header) &&
                       archive_entry_sparse_count(header) == 0;
    if (!whole || entry.size < 0 || entry.size > longest_entry || !wanted(entry.name)) continue;
    if (archive_entry_is_encrypted(header)) {
      ++encrypted;
      continue;
    }
    if (!plain) {
      entry.offset = copied;
      const std::string problem = for_each_block(a, [&](const char* bytes, size_t count) {
        check(copied - entry.offset + static_cast<int64_t>(count) <= longest_entry,
              "[data] {} of {} is larger than 1 GiB", entry.name, path_);
        check(write_all(descriptor_, {bytes, count}), "[data] cannot write a copy of {} in $TMPDIR or /var/tmp: {}",
              path_, std::strerror(errno));
        copied += static_cast<int64_t>(count);
        check_expansion(a, copied, path_);
      });
      if (!problem.empty()) problem_ = cut_short(problem, entry.name);
      entry.size = copied - entry.offset;
    } else if (entry.size > end - entry.offset) {
      problem_ = cut_short("it ends there", entry.name);
    }
    if (!problem_.empty()) break;
    entries_.push_back(std::move(entry));
  }
  if (encrypted > 0 && problem_.empty())
    problem_ = fmt::format("has {} encrypted files, which cannot be read", encrypted);
}

std::vector<uint8_t> Archive::read(const Entry& entry, int64_t most) const {
  const int64_t wanted = most < 0 ? entry.size : std::min(most, entry.size);
  std::vector<uint8_t> bytes;
  // In pieces: what a header says may be more than there is.
  for (int64_t done = 0; done < wanted;) {
    const int64_t piece = std::min<int64_t>(wanted - done, int64_t{16} << 20);
    bytes.resize(static_cast<size_t>(done + piece));
    const ssize_t got = pread(descriptor_, bytes.data() + done, static_cast<size_t>(piece), entry.offset + done);
    if (got < 0 && errno == EINTR) continue;
    check(got >= 0, "[data] cannot read {}: {}", path_, std::strerror(errno));
    check(got > 0, "is cut off after {} of {} bytes", done, entry.size);
    done += got;
    bytes.resize(static_cast<size_t>(done));
  }
  return bytes;
}

bool is_compressed(const std::string& path) {
  return path.ends_with(".gz") || path.ends_with(".bz2") || path.ends_with(".xz") || path.ends_with(".zst");
}

std::string read_compressed(const std::string& path) {
  const Reader reader = open_reader(path, true);
  archive_entry* header = nullptr;
  std::string text;
  const int status = archive_read_next_header(reader.get(), &header);
  check(status == ARCHIVE_OK || status == ARCHIVE_EOF, "[data] cannot read {}: {}", path, reason(reader.get()));
  if (status == ARCHIVE_EOF) return text;
  const std::string problem = for_each_block(reader.get(), [&](const char* bytes, size_t count) {
    text.append(bytes, count);
    check_expansion(reader.get(), static_cast<int64_t>(text.size()), path);
  });
  check(problem.empty(), "[data] cannot read {}: {}", path, problem);
  return text;
}

std::string archive_library() { return archive_version_string(); }

namespace {

// Each "{7..11}" in `pattern` once with every number, as wide as it was written.
std::vector<std::string> expand_ranges(const std::string& pattern) {
  for (size_t begin = pattern.find('{'); begin != std::string::npos; begin = pattern.find('{', begin + 1)) {
    const size_t dots = pattern.find("..", begin), end = pattern.find('}', begin);
    if (dots == std::string::npos || end == std::string::npos || dots > end) continue;
    int64_t low = 0, high = -1;
    const char* at = pattern.data();
    const bool numbers = std::from_chars(at + begin + 1, at + dots, low).ptr == at + dots &&
                         std::from_chars(at + dots + 2, at + end, high).ptr == at + end;
    if (!numbers) continue;
    check(low >= 0 && low <= high && high - low < 100'000, "[data] got '{}', expected numbers that count up in braces",
          pattern);
    std::vector<std::string> all;
    const std::vector<std::string> rests = expand_ranges(pattern.substr(end + 1));
    for (int64_t n = low; n <= high; ++n)
      for (const std::string& rest : rests)
        all.push_back(fmt::format("{}{:0{}}{}", pattern.substr(0, begin), n, dots - begin - 1, rest));
    return all;
  }
  return {pattern};
}

}  // namespace

std::vector<std::string> files_of(const std::string& pattern) {
  std::vector<std::string> files;
  for (const std::string& one : expand_ranges(pattern)) {
    if (access(one.c_str(), F_OK) == 0) {
      files.push_back(one);
      continue;
    }
    glob_t found{};
    const int status = glob(one.c_str(), GLOB_BRACE, nullptr, &found);
    for (size_t i = 0; status == 0 && i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
    globfree(&found);
    check(status == 0, "[data] {} is missing", one);
  }
  return files;
}

}  // namespace gestalt
