// PNG by libpng.
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <new>
#include <string>

#include "error.h"
#include "image.h"

namespace crnn {
namespace {

struct Source {
  const uint8_t *next;
  size_t left;
};

struct Failure {
  char message[160] = "";
};

void OnError(png_structp png, png_const_charp message) {
  auto *failure = static_cast<Failure *>(png_get_error_ptr(png));
  std::snprintf(failure->message, sizeof(failure->message), "%s", message);
  std::longjmp(png_jmpbuf(png), 1);
}

void OnWarning(png_structp, png_const_charp) {}

void OnRead(png_structp png, png_bytep target, size_t size) {
  auto *source = static_cast<Source *>(png_get_io_ptr(png));
  if (size > source->left) {
    png_error(png, "the file ends too early");
  }
  std::memcpy(target, source->next, size);
  source->next += size;
  source->left -= size;
}

// What must outlive a longjmp; no object with a destructor may live in the functions it leaves.
struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::unique_ptr<png_bytep[]> rows;
  std::unique_ptr<uint8_t[]> with_alpha;  // four bytes a pixel, where the file has transparency
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

bool ReadHeader(Reader *reader, Source *source, int64_t *width, int64_t *height, bool *transparent) {
  if (setjmp(png_jmpbuf(reader->png)) != 0) {
    return false;
  }
  png_structp png = reader->png;
  png_set_read_fn(png, source, OnRead);
  png_read_info(png, reader->info);
  const int color = png_get_color_type(png, reader->info);
  const bool color_key = png_get_valid(png, reader->info, PNG_INFO_tRNS) != 0;
  *transparent = color_key || (color & PNG_COLOR_MASK_ALPHA) != 0;
  png_set_strip_16(png);
  if (color == PNG_COLOR_TYPE_PALETTE) {
    png_set_palette_to_rgb(png);
  }
  if (color_key) {
    png_set_tRNS_to_alpha(png);
  }
  if ((color & PNG_COLOR_MASK_COLOR) == 0) {
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_gray_to_rgb(png);
  }
  png_set_bgr(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, reader->info);
  *width = png_get_image_width(png, reader->info);
  *height = png_get_image_height(png, reader->info);
  if (png_get_rowbytes(png, reader->info) != static_cast<size_t>(*width) * (*transparent ? 4 : 3)) {
    png_error(png, "unusual layout of pixels");
  }
  return true;
}

bool ReadPixels(Reader *reader) {
  if (setjmp(png_jmpbuf(reader->png)) != 0) {
    return false;
  }
  png_read_image(reader->png, reader->rows.get());
  png_read_end(reader->png, nullptr);
  return true;
}

}  // namespace

Image DecodePng(const std::vector<uint8_t> &data) {
  Failure failure;
  Source source{data.data(), data.size()};
  Reader reader;
  Image image;
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &failure, OnError, OnWarning);
  reader.info = reader.png == nullptr ? nullptr : png_create_info_struct(reader.png);
  if (reader.info == nullptr) {
    throw Error("libpng cannot start; the program was built with headers of another version");
  }
  int64_t width = 0;
  int64_t height = 0;
  bool transparent = false;
  if (!ReadHeader(&reader, &source, &width, &height, &transparent)) {
    throw Error("a broken or truncated PNG: " + std::string(failure.message));
  }
  image.Allocate(width, height);
  reader.rows = std::make_unique<png_bytep[]>(image.height);
  const size_t pitch = static_cast<size_t>(image.width) * 4;
  if (transparent) {
    reader.with_alpha.reset(new (std::nothrow) uint8_t[pitch * image.height]);
    if (reader.with_alpha == nullptr) {
      throw Error("not enough memory for its transparency");
    }
  }
  for (int y = 0; y < image.height; ++y) {
    reader.rows[y] = transparent ? reader.with_alpha.get() + pitch * y : image.Row(y);
  }
  if (!ReadPixels(&reader)) {
    throw Error("a broken or truncated PNG: " + std::string(failure.message));
  }
  if (transparent) {
    LayOverGround(reader.with_alpha.get(), &image);
  }
  return image;
}

}  // namespace crnn
