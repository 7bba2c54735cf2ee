// WebP through libwebp, the first picture of animated ones through its demultiplexer.
#include "engine/data/images/alpha.h"
#include "engine/data/images/more_formats.h"
#include "kernels/check.h"

#ifdef GESTALT_WITH_WEBP
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>
#endif

namespace gestalt {

#ifdef GESTALT_WITH_WEBP

namespace {

using Bytes = std::span<const uint8_t>;

// The features of the whole file.
WebPBitstreamFeatures features_of(Bytes bytes) {
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(bytes.data(), bytes.size(), &features);
  check(status == VP8_STATUS_OK, "is damaged: a WebP header that libwebp refuses (status {})",
        static_cast<int>(status));
  return features;
}

Image decode_still(Bytes bytes, ImageSize size) {
  const bool has_alpha = features_of(bytes).has_alpha;
  const int row = (has_alpha ? 4 : 3) * size.width;
  Image image{std::vector<uint8_t>(static_cast<size_t>(row) * static_cast<size_t>(size.height)), size.height,
              size.width};
  const uint8_t* end = (has_alpha ? WebPDecodeRGBAInto : WebPDecodeRGBInto)(
      bytes.data(), bytes.size(), image.pixels.data(), image.pixels.size(), row);
  check(end, "is damaged: libwebp cannot decode it");
  if (has_alpha) blend_over_white(image.pixels);
  return image;
}

}  // namespace

ImageSize webp_size(Bytes bytes) {
  const WebPBitstreamFeatures features = features_of(bytes);
  return {ImageFormat::webp, features.height, features.width};
}

Image decode_webp(Bytes bytes, ImageSize size) {
  if (!features_of(bytes).has_animation) return decode_still(bytes, size);
  const WebPData data{bytes.data(), bytes.size()};
  const std::unique_ptr<WebPDemuxer, void (*)(WebPDemuxer*)> frames(WebPDemux(&data), WebPDemuxDelete);
  WebPIterator frame;
  check(frames && WebPDemuxGetFrame(frames.get(), 1, &frame), "is damaged: an animated WebP without a whole picture");
  const std::unique_ptr<WebPIterator, void (*)(WebPIterator*)> held(&frame, WebPDemuxReleaseIterator);
  const Image part =
      decode_still({frame.fragment.bytes, frame.fragment.size}, {ImageFormat::webp, frame.height, frame.width});
  if (frame.width == size.width && frame.height == size.height) return part;
  check(frame.x_offset + frame.width <= size.width && frame.y_offset + frame.height <= size.height,
        "is damaged: a picture of an animated WebP reaches beyond it");
  const size_t row = static_cast<size_t>(frame.width) * 3;
  Image image{std::vector<uint8_t>(static_cast<size_t>(size.width) * static_cast<size_t>(size.height) * 3, 255),
              size.height, size.width};  // what the picture leaves free is clear
  for (int32_t y = 0; y < frame.height; ++y)
    std::memcpy(image.pixels.data() + 3 * (int64_t{y + frame.y_offset} * size.width + frame.x_offset),
                part.pixels.data() + static_cast<size_t>(y) * row, row);
  return image;
}

#else

ImageSize webp_size(std::span<const uint8_t>) {
  fail("is a WebP file, which this build does not read: install libwebp-dev and build again");
}
Image decode_webp(std::span<const uint8_t> bytes, ImageSize) { return webp_size(bytes), Image{}; }

#endif

}  // namespace gestalt
