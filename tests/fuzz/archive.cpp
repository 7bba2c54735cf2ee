// Tar and zip archives, compressed or not, and compressed texts.
#include "engine/data/archive.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path = fuzz::file("archive", {data, size});
  fuzz::refused_or([&] {
    const Archive archive(path, [](const std::string& name) { return !name.empty(); });
    for (const Archive::Entry& entry : archive.entries())
      fuzz::refused_or([&] {
        const int64_t most = std::min<int64_t>(entry.size, 1 << 20);
        fuzz::expect(static_cast<int64_t>(archive.read(entry, most).size()) == most);
      });
  });
  fuzz::refused_or([&] { read_compressed(path); });
  return 0;
}
