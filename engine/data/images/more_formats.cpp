// Which of the further formats a file is, and which are read.
#include "engine/data/images/more_formats.h"

#include <cstring>

namespace gestalt {
namespace {

using Bytes = std::span<const uint8_t>;

bool stands_at(Bytes b, size_t at, const char* text, size_t length) {
  return b.size() >= at + length && std::memcmp(b.data() + at, text, length) == 0;
}

// The brand of an ISO media file (ISO/IEC 14496-12), of those that HEIC and AVIF files begin with.
bool is_heif(Bytes b) {
  if (!stands_at(b, 4, "ftyp", 4)) return false;
  for (const char* brand : {"heic", "heix", "hevc", "heim", "heis", "mif1", "msf1", "avif", "avis"})
    if (stands_at(b, 8, brand, 4)) return true;
  return false;
}

}  // namespace

OtherSize size_of_other(Bytes b) {
  if (stands_at(b, 0, "RIFF", 4) && stands_at(b, 8, "WEBP", 4)) return {true, webp_size(b)};
  for (const char* magic : {"II*\0", "MM\0*", "II+\0", "MM\0+"})  // the latter two of files that may exceed 4 GiB
    if (stands_at(b, 0, magic, 4)) return {true, tiff_size(b)};
  if (is_heif(b)) return {true, heif_size(b)};
  return {};
}

std::vector<std::string> image_formats() {
  std::vector<std::string> all{"JPEG", "PNG", "BMP", "GIF"};
#ifdef GESTALT_WITH_WEBP
  all.push_back("WebP");
#endif
#ifdef GESTALT_WITH_TIFF
  all.push_back("TIFF");
#endif
#ifdef GESTALT_WITH_HEIF
  all.push_back("HEIC"), all.push_back("AVIF");
#endif
  return all;
}

}  // namespace gestalt
