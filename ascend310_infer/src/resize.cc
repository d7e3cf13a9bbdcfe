// Bilinear resizing in the fixed-point arithmetic of OpenCV's INTER_LINEAR for 8-bit images.
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "image.h"

namespace crnn {
namespace {

constexpr int kCoefficientOne = 2048;  // 11 bits

// Where one output pixel comes from along one axis: two neighbours and their weights, which add up to kCoefficientOne.
struct Tap {
  int first;
  int second;
  int weight_first;
  int weight_second;
};

// The reciprocal of the reciprocal, in single precision from then on: OpenCV rounds like this.
double ScaleOf(int from, int to) { return 1.0 / (static_cast<double>(to) / from); }

Tap TapAt(int position, int from, double scale, bool clamp_weight) {
  auto place = static_cast<float>((position + 0.5) * scale - 0.5);
  int whole = static_cast<int>(std::floor(place));
  float part = place - static_cast<float>(whole);
  if (clamp_weight && whole < 0) {
    whole = 0;
    part = 0;
  }
  if (clamp_weight && whole >= from - 1) {
    whole = from - 1;
    part = 0;
  }
  const auto limit = [from](int index) { return index < 0 ? 0 : index >= from ? from - 1 : index; };
  const auto weight = [](float value) { return static_cast<int>(std::nearbyint(value * kCoefficientOne)); };
  return {limit(whole), limit(whole + 1), weight(1.0F - part), weight(part)};
}

// One row stretched horizontally, in units of 1 / kCoefficientOne grey levels.
void StretchRow(const uint8_t *source, const std::vector<Tap> &taps, int *target) {
  for (const Tap &tap : taps) {
    const uint8_t *first = source + static_cast<size_t>(tap.first) * 3;
    const uint8_t *second = source + static_cast<size_t>(tap.second) * 3;
    for (int channel = 0; channel < 3; ++channel) {
      *target++ = first[channel] * tap.weight_first + second[channel] * tap.weight_second;
    }
  }
}

// OpenCV averages blocks when both sides are exactly halved.
Image Halve(const Image &image, int width, int height) {
  Image result;
  result.Allocate(width, height);
  for (int y = 0; y < height; ++y) {
    const uint8_t *upper = image.Row(2 * y);
    const uint8_t *lower = image.Row(2 * y + 1);
    uint8_t *target = result.Row(y);
    for (int x = 0; x < width; ++x, upper += 6, lower += 6) {
      for (int channel = 0; channel < 3; ++channel) {
        const int sum = upper[channel] + upper[channel + 3] + lower[channel] + lower[channel + 3];
        *target++ = static_cast<uint8_t>((sum + 2) >> 2);
      }
    }
  }
  return result;
}

}  // namespace

Image Resize(const Image &image, int width, int height) {
  Image result;
  if (image.width == width && image.height == height) {
    result.Allocate(width, height);
    std::memcpy(result.pixels.get(), image.pixels.get(), static_cast<size_t>(width) * height * 3);
    return result;
  }
  if (image.width == 2 * width && image.height == 2 * height) {
    return Halve(image, width, height);
  }
  result.Allocate(width, height);
  std::vector<Tap> columns;
  columns.reserve(width);
  const double scale_x = ScaleOf(image.width, width);
  const double scale_y = ScaleOf(image.height, height);
  for (int x = 0; x < width; ++x) {
    columns.push_back(TapAt(x, image.width, scale_x, true));
  }
  std::vector<int> rows[2] = {std::vector<int>(static_cast<size_t>(width) * 3),
                              std::vector<int>(static_cast<size_t>(width) * 3)};
  int held[2] = {-1, -1};  // which source rows are in `rows`
  for (int y = 0; y < height; ++y) {
    const Tap tap = TapAt(y, image.height, scale_y, false);
    const int wanted[2] = {tap.first, tap.second};
    if (held[0] != wanted[0] && held[1] == wanted[0]) {
      std::swap(rows[0], rows[1]);
      std::swap(held[0], held[1]);
    }
    for (int i = 0; i < 2; ++i) {
      if (held[i] != wanted[i]) {
        StretchRow(image.Row(wanted[i]), columns, rows[i].data());
        held[i] = wanted[i];
      }
    }
    uint8_t *target = result.Row(y);
    for (size_t i = 0; i < static_cast<size_t>(width) * 3; ++i) {
      const int upper = (tap.weight_first * (rows[0][i] >> 4)) >> 16;
      const int lower = (tap.weight_second * (rows[1][i] >> 4)) >> 16;
      target[i] = static_cast<uint8_t>((upper + lower + 2) >> 2);
    }
  }
  return result;
}

}  // namespace crnn
