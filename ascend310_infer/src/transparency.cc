// What stands behind an image with transparency; the rule of src/data/transparency.py.
#include "image.h"

namespace crnn {
namespace {

constexpr int64_t kHalfWhite = 127500;  // luminance in thousandths of a grey level

}  // namespace

void LayOverGround(const uint8_t *bgra, Image *image) {
  const size_t size = static_cast<size_t>(image->width) * image->height;
  int64_t luminance = 0;
  int64_t weights = 0;
  const uint8_t *pixel = bgra;
  for (size_t i = 0; i < size; ++i, pixel += 4) {
    luminance += static_cast<int64_t>(114 * pixel[0] + 587 * pixel[1] + 299 * pixel[2]) * pixel[3];
    weights += pixel[3];
  }
  const int ground = luminance > kHalfWhite * weights ? 0 : 255;
  uint8_t *target = image->pixels.get();
  pixel = bgra;
  for (size_t i = 0; i < size; ++i, pixel += 4, target += 3) {
    const int alpha = pixel[3];
    for (int channel = 0; channel < 3; ++channel) {
      target[channel] = static_cast<uint8_t>((pixel[channel] * alpha + ground * (255 - alpha) + 127) / 255);
    }
  }
}

}  // namespace crnn
