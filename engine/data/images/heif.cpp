// HEIC and AVIF through libheif: a file's main picture.
#include "engine/data/images/alpha.h"
#include "engine/data/images/more_formats.h"
#include "kernels/check.h"

#ifdef GESTALT_WITH_HEIF
#include <libheif/heif.h>

#include <cstring>
#include <memory>
#endif

namespace gestalt {

#ifdef GESTALT_WITH_HEIF

namespace {

using Bytes = std::span<const uint8_t>;

void require(const heif_error& error) {
  check(error.code == heif_error_Ok, "is damaged, or of a codec that libheif lacks: {}", error.message);
}

template <auto release>
struct Release {
  template <class T>
  void operator()(T* held) const {
    release(held);
  }
};
using Context = std::unique_ptr<heif_context, Release<heif_context_free>>;
using Handle = std::unique_ptr<heif_image_handle, Release<heif_image_handle_release>>;
using Decoded = std::unique_ptr<heif_image, Release<heif_image_release>>;

struct File {
  Context context;
  Handle main;

  explicit File(Bytes bytes) : context(heif_context_alloc()) {
    require(heif_context_read_from_memory_without_copy(context.get(), bytes.data(), bytes.size(), nullptr));
    heif_image_handle* handle = nullptr;
    require(heif_context_get_primary_image_handle(context.get(), &handle));
    main.reset(handle);
  }
};

}  // namespace

ImageSize heif_size(Bytes bytes) {
  const File file(bytes);
  return {ImageFormat::heif, heif_image_handle_get_height(file.main.get()),
          heif_image_handle_get_width(file.main.get())};
}

Image decode_heif(Bytes bytes, ImageSize size) {
  const File file(bytes);
  const bool has_alpha = heif_image_handle_has_alpha_channel(file.main.get());
  heif_image* made = nullptr;
  require(heif_decode_image(file.main.get(), &made, heif_colorspace_RGB,
                            has_alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, nullptr));
  const Decoded decoded(made);
  int stride = 0;
  const uint8_t* rows = heif_image_get_plane_readonly(decoded.get(), heif_channel_interleaved, &stride);
  const int height = heif_image_get_height(decoded.get(), heif_channel_interleaved),
            width = heif_image_get_width(decoded.get(), heif_channel_interleaved);
  check(rows && width == size.width && height == size.height,
        "is damaged: it decodes to {} x {} but its header says {} x {}", width, height, size.width, size.height);
  const size_t row = (has_alpha ? size_t{4} : size_t{3}) * static_cast<size_t>(width);
  Image image{std::vector<uint8_t>(row * static_cast<size_t>(height)), height, width};
  for (int y = 0; y < height; ++y)
    std::memcpy(image.pixels.data() + static_cast<size_t>(y) * row, rows + static_cast<ptrdiff_t>(y) * stride, row);
  if (has_alpha) blend_over_white(image.pixels);
  return image;
}

#else

ImageSize heif_size(std::span<const uint8_t>) {
  fail("is a HEIC or AVIF file, which this build does not read: install libheif-dev and build again");
}
Image decode_heif(std::span<const uint8_t> bytes, ImageSize) { return heif_size(bytes), Image{}; }

#endif

}  // namespace gestalt
