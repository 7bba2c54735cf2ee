// JPEG decoding by libjpeg's own interface, which unlike TurboJPEG's takes every sampling and numbers its warnings.
#include "engine/data/images/jpeg.h"

#include <jpeglib.h>
// After jpeglib.h.
#include <jerror.h>

#include <csetjmp>
#include <cstring>

#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr int most_scans = 500;  // more are an attempt to take time

struct Errors {
  jpeg_error_mgr base;  // first, so that libjpeg's pointer to it is one to this
  std::jmp_buf escape;
  char text[JMSG_LENGTH_MAX];
  bool truncated;
};

Errors& errors_of(j_common_ptr info) { return *reinterpret_cast<Errors*>(info->err); }

[[noreturn]] void leave(j_common_ptr info) {
  Errors& errors = errors_of(info);
  errors.base.format_message(info, errors.text);
  std::longjmp(errors.escape, 1);
}

// Warnings come with level -1. Data that end before the last row of blocks are missing pixels; others are noise.
void note(j_common_ptr info, int level) {
  if (level >= 0) return;
  Errors& errors = errors_of(info);
  const auto& jpeg = *reinterpret_cast<j_decompress_ptr>(info);
  const bool cut = errors.base.msg_code == JWRN_HIT_MARKER && jpeg.unread_marker == JPEG_EOI &&
                   jpeg.input_iMCU_row + 1 < jpeg.total_iMCU_rows;
  if (errors.truncated || (errors.base.msg_code != JWRN_JPEG_EOF && !cut)) return;
  errors.truncated = true;
  errors.base.format_message(info, errors.text);
}

void limit_scans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= most_scans) return;
  Errors& errors = errors_of(info);
  std::strcpy(errors.text, "more than 500 scans");
  std::longjmp(errors.escape, 1);
}

// libjpeg leaves a failed call by longjmp, so no function that sets the jump holds an object with a destructor. Each
// returns whether it came to its end.
class Decoder {
 public:
  Decoder() {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = leave;
    errors_.base.emit_message = note;
    progress_.progress_monitor = limit_scans;
  }
  Decoder(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&info_); }

  bool read_header(std::span<const uint8_t> bytes) {
    if (setjmp(errors_.escape)) return false;
    jpeg_create_decompress(&info_);
    info_.progress = &progress_;
    jpeg_mem_src(&info_, bytes.data(), bytes.size());
    jpeg_read_header(&info_, TRUE);
    return true;
  }

  bool start(int divisor) {
    if (setjmp(errors_.escape)) return false;
    info_.out_color_space = info_.num_components == 4 ? JCS_CMYK : JCS_RGB;
    info_.scale_num = 1;
    info_.scale_denom = static_cast<unsigned>(divisor);
    jpeg_start_decompress(&info_);
    return true;
  }

  bool read_row(uint8_t* row) {
    if (setjmp(errors_.escape)) return false;
    jpeg_read_scanlines(&info_, &row, 1);
    return true;
  }

  bool finish() {
    if (setjmp(errors_.escape)) return false;
    jpeg_finish_decompress(&info_);
    return true;
  }

  void check_success(bool succeeded) const { check(succeeded, "is damaged ({})", errors_.text); }
  void check_whole() const { check(!errors_.truncated, "is truncated ({})", errors_.text); }
  const jpeg_decompress_struct& info() const { return info_; }

 private:
  jpeg_decompress_struct info_{};
  jpeg_progress_mgr progress_{};
  Errors errors_{};
};

uint8_t times(int a, int b) {  // of 255, rounded as Pillow does
  const int product = a * b + 128;
  return static_cast<uint8_t>((product + (product >> 8)) >> 8);
}

// Ink, stored as what it leaves of the light, to light.
void cmyk_to_rgb(const uint8_t* cmyk, uint8_t* rgb, int width) {
  for (int x = 0; x < width; ++x, cmyk += 4, rgb += 3)
    for (int c = 0; c < 3; ++c) rgb[c] = static_cast<uint8_t>(cmyk[3] - times(255 - cmyk[c], cmyk[3]));
}

}  // namespace

Image decode_jpeg(std::span<const uint8_t> bytes, int divisor) {
  Decoder decoder;
  decoder.check_success(decoder.read_header(bytes));
  const jpeg_decompress_struct& info = decoder.info();
  check(info.num_components == 1 || info.num_components == 3 || info.num_components == 4,
        "is a JPEG of {} components, expected 1, 3 or 4", info.num_components);
  decoder.check_success(decoder.start(divisor));
  Image image{{}, static_cast<int32_t>(info.output_height), static_cast<int32_t>(info.output_width)};
  const size_t stride = static_cast<size_t>(image.width) * 3;
  image.pixels.resize(image.height * stride);
  const bool cmyk = info.out_color_space == JCS_CMYK;
  std::vector<uint8_t> inks(cmyk ? static_cast<size_t>(image.width) * 4 : 0);
  for (int32_t y = 0; y < image.height; ++y) {
    uint8_t* row = image.pixels.data() + y * stride;
    decoder.check_success(decoder.read_row(cmyk ? inks.data() : row));
    if (cmyk) cmyk_to_rgb(inks.data(), row, image.width);
  }
  decoder.check_success(decoder.finish());
  decoder.check_whole();
  return image;
}

}  // namespace gestalt
