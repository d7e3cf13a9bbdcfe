// Allocation, choice of the decoder, and the last step to the network's input.
#include "image.h"

#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <new>

#include "error.h"

namespace crnn {
namespace {

// OpenCV's CV_IO_MAX_IMAGE_WIDTH and _HEIGHT, and the number of pixels that src/__init__.py sets for it.
constexpr int64_t kMaxSide = 1 << 20;
constexpr int64_t kMaxPixels = 1 << 25;
constexpr std::streamoff kMaxBytes = std::streamoff{1} << 29;  // of a file; a BMP of that many pixels has a quarter of it

bool StartsWith(const std::vector<uint8_t> &data, const void *start, size_t size) {
  return data.size() >= size && std::memcmp(data.data(), start, size) == 0;
}

// The name of a format that Python's programs read and this one does not, by its first bytes; empty for all others.
std::string OtherFormat(const std::vector<uint8_t> &data) {
  if (StartsWith(data, "GIF8", 4)) {
    return "GIF";
  }
  if (StartsWith(data, "II*\0", 4) || StartsWith(data, "MM\0*", 4)) {
    return "TIFF";
  }
  if (StartsWith(data, "RIFF", 4) && data.size() >= 12 && std::memcmp(data.data() + 8, "WEBP", 4) == 0) {
    return "WebP";
  }
  if (StartsWith(data, "\0\0\0\x0cjP  ", 8) || StartsWith(data, "\xff\x4f\xff\x51", 4)) {
    return "JPEG 2000";
  }
  if (data.size() > 2 && data[0] == 'P' && data[1] >= '1' && data[1] <= '6' && std::isspace(data[2])) {
    return "PBM, PGM or PPM";
  }
  return "";
}

}  // namespace

void Image::CheckSize(int64_t new_width, int64_t new_height) {
  if (new_width < 1 || new_height < 1 || new_width > kMaxSide || new_height > kMaxSide ||
      new_width * new_height > kMaxPixels) {
    throw Error("a size of " + std::to_string(new_width) + " x " + std::to_string(new_height) +
                " pixels is not possible or too large");
  }
}

void Image::Allocate(int64_t new_width, int64_t new_height) {
  CheckSize(new_width, new_height);
  pixels.reset(new (std::nothrow) uint8_t[static_cast<size_t>(new_width * new_height) * 3]);
  if (pixels == nullptr) {
    throw Error("not enough memory for " + std::to_string(new_width) + " x " + std::to_string(new_height) + " pixels");
  }
  width = static_cast<int>(new_width);
  height = static_cast<int>(new_height);
}

Image DecodeImage(const std::vector<uint8_t> &data) {
  if (data.empty()) {
    throw Error("the image is empty (0 bytes)");
  }
  if (StartsWith(data, "\x89PNG\r\n\x1a\n", 8)) {
    return DecodePng(data);
  }
  if (StartsWith(data, "\xff\xd8\xff", 3)) {
    return DecodeJpeg(data);
  }
  if (StartsWith(data, "BM", 2)) {
    return DecodeBmp(data);
  }
  const std::string other = OtherFormat(data);
  if (!other.empty()) {
    throw Error("a " + other + " image, which this program does not read: save it as PNG, JPEG or BMP");
  }
  throw Error("not a PNG, JPEG or BMP image (" + std::to_string(data.size()) + " bytes)");
}

std::vector<float> GreyLevels(float mean, float scale) {
  std::vector<float> levels(256);
  const auto factor = static_cast<float>(1.0 / static_cast<double>(scale));
  for (int level = 0; level < 256; ++level) {
    levels[level] = (static_cast<float>(level) - mean) * factor;
  }
  return levels;
}

void ToPlanes(const Image &image, const std::vector<float> &levels, float *planes) {
  const size_t size = static_cast<size_t>(image.width) * image.height;
  const uint8_t *pixel = image.pixels.get();
  for (size_t i = 0; i < size; ++i, pixel += 3) {
    planes[i] = levels[pixel[0]];
    planes[i + size] = levels[pixel[1]];
    planes[i + 2 * size] = levels[pixel[2]];
  }
}

std::vector<uint8_t> ReadFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    throw Error("cannot open it: " + std::string(std::strerror(errno)));
  }
  const std::streamoff size = file.tellg();
  if (size < 0 || size > kMaxBytes) {  // a folder has a size of its own
    throw Error("it is not a file, or larger than 512 MiB");
  }
  std::vector<uint8_t> data(static_cast<size_t>(size));
  file.seekg(0);
  if (size > 0 && !file.read(reinterpret_cast<char *>(data.data()), size)) {
    throw Error("cannot read it: " + std::string(std::strerror(errno)));
  }
  return data;
}

}  // namespace crnn
