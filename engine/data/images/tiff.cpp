// TIFF through libtiff, from memory: the first picture of a file, of any sampling, palette, depth and compression.
#include "engine/data/images/more_formats.h"
#include "kernels/check.h"

#ifdef GESTALT_WITH_TIFF
#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#endif

namespace gestalt {

#ifdef GESTALT_WITH_TIFF

namespace {

using Bytes = std::span<const uint8_t>;

// A file in memory as libtiff reads it, and what it said last.
struct Source {
  Bytes bytes;
  size_t at = 0;
  char said[200] = "";
};

Source& source_of(thandle_t handle) { return *static_cast<Source*>(handle); }

tsize_t read(thandle_t handle, tdata_t to, tsize_t wanted) {
  Source& source = source_of(handle);
  const size_t left = source.bytes.size() - std::min(source.at, source.bytes.size());
  const size_t count = std::min(left, static_cast<size_t>(std::max<tsize_t>(0, wanted)));
  std::memcpy(to, source.bytes.data() + source.bytes.size() - left, count);
  source.at += count;
  return static_cast<tsize_t>(count);
}
tsize_t refuse_write(thandle_t, tdata_t, tsize_t) { return 0; }
toff_t seek(thandle_t handle, toff_t offset, int from) {
  Source& source = source_of(handle);
  const size_t begin = from == SEEK_CUR ? source.at : from == SEEK_END ? source.bytes.size() : 0;
  return source.at = begin + static_cast<size_t>(offset);
}
int keep_open(thandle_t) { return 0; }
toff_t size_of(thandle_t handle) { return source_of(handle).bytes.size(); }

// Without a map libtiff 4.5 refuses tiles whose size is no multiple of 1024.
int map_all(thandle_t handle, void** base, toff_t* size) {
  const Bytes bytes = source_of(handle).bytes;
  *base = const_cast<uint8_t*>(bytes.data()), *size = bytes.size();
  return 1;
}
void unmap(thandle_t, void*, toff_t) {}

int note(TIFF*, void* source, const char*, const char* format, va_list arguments) {
  std::vsnprintf(static_cast<Source*>(source)->said, sizeof Source::said, format, arguments);
  return 1;
}
// Warnings are no damage, but for a tag whose bytes are missing, which libtiff passes over.
int overhear(TIFF* tiff, void* source, const char* module, const char* format, va_list arguments) {
  return std::strstr(format, "IO error") ? note(tiff, source, module, format, arguments) : 1;
}

using Opened = std::unique_ptr<TIFF, void (*)(TIFF*)>;

Opened open(Source& source) {
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), note, &source);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), overhear, &source);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), tmsize_t{1} << 30);
  Opened tiff(TIFFClientOpenExt("image", "r", &source, read, refuse_write, seek, keep_open, size_of, map_all, unmap,
                                options.get()),
              TIFFClose);
  check(tiff != nullptr, "is damaged: libtiff says '{}'", source.said);
  return tiff;
}

// The value of a tag of 16 bits, or what it is where it is missing.
uint16_t tag(TIFF* tiff, uint32_t name) {
  uint16_t value = 0;
  TIFFGetFieldDefaulted(tiff, name, &value);
  return value;
}

// What libtiff would take for unsigned whatever it is.
void check_samples(TIFF* tiff) {
  const uint16_t bits = tag(tiff, TIFFTAG_BITSPERSAMPLE), format = tag(tiff, TIFFTAG_SAMPLEFORMAT);
  const bool whole = format == SAMPLEFORMAT_UINT || format == SAMPLEFORMAT_VOID;
  check(bits <= 16 && (whole || (format == SAMPLEFORMAT_INT && bits <= 8)),
        "is a TIFF of {} numbers of {} bits, expected whole ones of at most 16; convert it to 8 bits",
        whole                           ? "whole"
        : format == SAMPLEFORMAT_INT    ? "signed"
        : format == SAMPLEFORMAT_IEEEFP ? "floating-point"
                                        : "other",
        bits);
}

enum class Alpha { none, multiplied, straight };  // what libtiff leaves in the pixels

Alpha alpha_of(TIFF* tiff) {
  uint16_t count = 0, *kinds = nullptr;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds);
  if (count == 0 || kinds[0] == EXTRASAMPLE_UNSPECIFIED) return Alpha::none;
  const uint16_t colours = tag(tiff, TIFFTAG_PHOTOMETRIC);
  const bool grey = colours == PHOTOMETRIC_MINISBLACK || colours == PHOTOMETRIC_MINISWHITE;
  return grey && kinds[0] == EXTRASAMPLE_UNASSALPHA ? Alpha::straight : Alpha::multiplied;
}

}  // namespace

int tiff_orientation(Bytes bytes) {
  Source source{bytes};
  const int orientation = tag(open(source).get(), TIFFTAG_ORIENTATION);
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

ImageSize tiff_size(Bytes bytes) {
  Source source{bytes};
  const Opened tiff = open(source);
  uint32_t width = 0, height = 0;
  TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height);
  check(width <= 1u << 24 && height <= 1u << 24, "is damaged: a TIFF of {} x {} pixels", width, height);
  return {ImageFormat::tiff, static_cast<int32_t>(height), static_cast<int32_t>(width)};
}

Image decode_tiff(Bytes bytes, ImageSize size) {
  Source source{bytes};
  const Opened tiff = open(source);
  const size_t count = static_cast<size_t>(size.height) * static_cast<size_t>(size.width);
  std::vector<uint32_t> pixels(count);
  check_samples(tiff.get());
  constexpr int stop_at_damage = 1;
  const int as_stored = tag(tiff.get(), TIFFTAG_ORIENTATION);
  const int read =
      TIFFReadRGBAImageOriented(tiff.get(), static_cast<uint32_t>(size.width), static_cast<uint32_t>(size.height),
                                pixels.data(), as_stored, stop_at_damage);
  // An error that libtiff goes on from, such as a palette that is cut off, is damage too.
  check(read == 1 && !source.said[0], "is damaged: libtiff says '{}'", source.said);
  Image image{std::vector<uint8_t>(3 * count), size.height, size.width};
  const Alpha kind = alpha_of(tiff.get());
  for (size_t i = 0; i < count; ++i) {
    const uint32_t alpha = kind == Alpha::none ? 255 : TIFFGetA(pixels[i]);
    const auto on_white = [&](uint32_t colour) {
      if (kind == Alpha::straight) colour = (colour * alpha + 127) / 255;
      return static_cast<uint8_t>(std::min(255u, colour + 255 - alpha));
    };
    image.pixels[3 * i] = on_white(TIFFGetR(pixels[i]));
    image.pixels[3 * i + 1] = on_white(TIFFGetG(pixels[i]));
    image.pixels[3 * i + 2] = on_white(TIFFGetB(pixels[i]));
  }
  return image;
}

#else

ImageSize tiff_size(std::span<const uint8_t>) {
  fail("is a TIFF file, which this build does not read: install libtiff-dev and build again");
}
int tiff_orientation(std::span<const uint8_t>) { return 1; }
Image decode_tiff(std::span<const uint8_t> bytes, ImageSize) { return tiff_size(bytes), Image{}; }

#endif

}  // namespace gestalt
