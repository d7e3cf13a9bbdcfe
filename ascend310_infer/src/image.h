// From the bytes of an image file to the network's input, byte for byte as src/data/preprocess.py does it with OpenCV.
#ifndef CRNN_IMAGE_H_
#define CRNN_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace crnn {

// 8-bit pixels, three channels in the order blue, green, red, rows without gaps.
struct Image {
  int width = 0;
  int height = 0;
  std::unique_ptr<uint8_t[]> pixels;

  // Throws Error where an image is empty or larger than what is decoded.
  static void CheckSize(int64_t width, int64_t height);
  // Checks the size and allocates; throws Error.
  void Allocate(int64_t new_width, int64_t new_height);
  uint8_t *Row(int y) { return pixels.get() + static_cast<size_t>(y) * width * 3; }
  const uint8_t *Row(int y) const { return pixels.get() + static_cast<size_t>(y) * width * 3; }
};

// Decodes PNG, JPEG or BMP, told apart by their first bytes. As with cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
// grey, palette and 1-bit images are spread to three channels, 16 bits become the upper 8, and the EXIF orientation is
// ignored. What is transparent in a PNG is laid over a ground, see LayOverGround. Throws Error where the image is empty, of another format, broken or truncated.
Image DecodeImage(const std::vector<uint8_t> &data);

// The decoders of the formats, for DecodeImage.
Image DecodePng(const std::vector<uint8_t> &data);
Image DecodeJpeg(const std::vector<uint8_t> &data);
Image DecodeBmp(const std::vector<uint8_t> &data);

// Fills an image of known size with pixels of four bytes, the last of them alpha, laid over white, or over black where
// the visible part is light; as src/data/transparency.py.
void LayOverGround(const uint8_t *bgra, Image *image);

// Stretches to a size, as cv2.resize(..., interpolation=cv2.INTER_LINEAR): the same fixed-point arithmetic, so that not
// one grey level differs. An image of that size is copied.
Image Resize(const Image &image, int width, int height);

// The values a network wants for the 256 grey levels: (level - mean) / scale.
std::vector<float> GreyLevels(float mean, float scale);

// Writes planes of blue, green and red, 3 * height * width values.
void ToPlanes(const Image &image, const std::vector<float> &levels, float *planes);

// The bytes of a file; throws Error where it cannot be read.
std::vector<uint8_t> ReadFile(const std::string &path);

}  // namespace crnn

#endif  // CRNN_IMAGE_H_
