// BMP without compression: 1, 4, 8 (palette), 16, 24 and 32 bits a pixel.
#include <cstring>
#include <string>

#include "error.h"
#include "image.h"

namespace crnn {
namespace {

constexpr uint32_t kPlain = 0;
constexpr uint32_t kBitFields = 3;
constexpr size_t kCoreHeader = 12;

class Reader {
 public:
  explicit Reader(const std::vector<uint8_t> &data) : data_(data) {}

  const uint8_t *Take(size_t position, size_t size) const {
    if (position > data_.size() || size > data_.size() - position) {
      throw Error("a truncated BMP: the file ends too early");
    }
    return data_.data() + position;
  }
  uint32_t Word(size_t position) const {
    const uint8_t *bytes = Take(position, 2);
    return bytes[0] | bytes[1] << 8;
  }
  uint32_t Long(size_t position) const { return Word(position) | Word(position + 2) << 16; }

 private:
  const std::vector<uint8_t> &data_;
};

struct Header {
  size_t pixels;  // position of the first row in the file
  int64_t width;
  int64_t height;
  bool top_down;
  int bits;  // 15 stands for 5 bits a channel, 16 for 5, 6 and 5
  uint8_t palette[256][3] = {};
};

void ReadPalette(const Reader &reader, size_t position, uint32_t count, size_t entry, Header *header) {
  for (uint32_t i = 0; i < count; ++i) {
    std::memcpy(header->palette[i], reader.Take(position + i * entry, entry), 3);
  }
}

Header ReadHeader(const Reader &reader) {
  Header header{};
  header.pixels = reader.Long(10);
  const size_t size = reader.Long(14);
  const size_t end = 14 + size;
  if (size == kCoreHeader) {
    header.width = reader.Word(18);
    header.height = reader.Word(20);
    header.bits = static_cast<int>(reader.Word(24));
    if (header.bits <= 8) {
      ReadPalette(reader, end, 1U << header.bits, 3, &header);
    }
    return header;
  }
  if (size < 36 || size > INT32_MAX) {
    throw Error("a broken BMP: its header has " + std::to_string(size) + " bytes");
  }
  header.width = static_cast<int32_t>(reader.Long(18));
  header.height = static_cast<int32_t>(reader.Long(22));
  header.top_down = header.height < 0;
  header.height = header.top_down ? -header.height : header.height;
  header.bits = static_cast<int>(reader.Word(28));
  const uint32_t compression = reader.Long(30);
  const uint32_t colors = reader.Long(46);
  const bool fields = compression == kBitFields && (header.bits == 16 || header.bits == 32);
  if (compression != kPlain && !fields) {
    throw Error("a BMP with compression " + std::to_string(compression) + ", which this program cannot read");
  }
  if (header.bits == 1 || header.bits == 4 || header.bits == 8) {
    if (colors > 256) {
      throw Error("a broken BMP: its palette has " + std::to_string(colors) + " colours");
    }
    ReadPalette(reader, end, colors == 0 ? 1U << header.bits : colors, 4, &header);
  } else if (header.bits == 16) {
    header.bits = 15;
    if (fields) {
      // Behind the short header; inside the longer ones, of which OpenCV reads what follows, as is done here.
      const uint32_t red = reader.Long(end);
      const uint32_t green = reader.Long(end + 4);
      const uint32_t blue = reader.Long(end + 8);
      if (red == 0xf800 && green == 0x7e0 && blue == 0x1f) {
        header.bits = 16;
      } else if (red != 0x7c00 || green != 0x3e0 || blue != 0x1f) {
        throw Error("a BMP with unusual colour masks, which this program cannot read");
      }
    }
  }
  return header;
}

// Writes one row of blue, green, red.
void ReadRow(const Header &header, const uint8_t *source, uint8_t *target) {
  for (int64_t x = 0; x < header.width; ++x, target += 3) {
    switch (header.bits) {
      case 1:
      case 4:
      case 8: {
        const int64_t bit = x * header.bits;
        const int value = source[bit / 8] >> (8 - header.bits - bit % 8) & ((1 << header.bits) - 1);
        std::memcpy(target, header.palette[value], 3);
        break;
      }
      case 15:
      case 16: {
        const int value = source[2 * x] | source[2 * x + 1] << 8;
        const int green_bits = header.bits - 10;
        target[0] = static_cast<uint8_t>(value << 3);
        target[1] = static_cast<uint8_t>(value >> 5 << (8 - green_bits));
        target[2] = static_cast<uint8_t>(value >> (5 + green_bits) << 3);
        break;
      }
      default:
        std::memcpy(target, source + x * (header.bits / 8), 3);
    }
  }
}

}  // namespace

Image DecodeBmp(const std::vector<uint8_t> &data) {
  const Reader reader(data);
  const Header header = ReadHeader(reader);
  switch (header.bits) {
    case 1:
    case 4:
    case 8:
    case 15:
    case 16:
    case 24:
    case 32:
      break;
    default:
      throw Error("a BMP with " + std::to_string(header.bits) + " bits a pixel, which this program cannot read");
  }
  const int64_t bits = header.bits == 15 ? 16 : header.bits;
  const int64_t pitch = ((header.width * bits + 7) / 8 + 3) / 4 * 4;
  Image::CheckSize(header.width, header.height);
  reader.Take(header.pixels, static_cast<size_t>(pitch * header.height));  // before memory is spent on it
  Image image;
  image.Allocate(header.width, header.height);
  for (int y = 0; y < image.height; ++y) {
    const uint8_t *source = reader.Take(header.pixels + static_cast<size_t>(pitch) * y, static_cast<size_t>(pitch));
    ReadRow(header, source, image.Row(header.top_down ? y : image.height - 1 - y));
  }
  return image;
}

}  // namespace crnn
