// CRC-32 by a table, eight bits at a time.
#include "checksum.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

#include "error.h"

namespace crnn {
namespace {

constexpr uint32_t kPolynomial = 0xEDB88320U;  // of IEEE 802.3, bits reversed
constexpr size_t kDigits = 8;
constexpr size_t kPiece = 1 << 20;
const char kMark[] = "\"checksum\": \"";

std::array<uint32_t, 256> Table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value & 1) != 0 ? value >> 1 ^ kPolynomial : value >> 1;
    }
    table[byte] = value;
  }
  return table;
}

}  // namespace

std::string HexDigits(uint32_t value) {
  char text[kDigits + 1];
  std::snprintf(text, sizeof(text), "%08x", static_cast<unsigned>(value));
  return text;
}

uint32_t Crc32(const void *data, size_t size, uint32_t before) {
  static const std::array<uint32_t, 256> table = Table();
  const auto *bytes = static_cast<const uint8_t *>(data);
  uint32_t value = ~before;
  for (size_t i = 0; i < size; ++i) {
    value = value >> 8 ^ table[(value ^ bytes[i]) & 255];
  }
  return ~value;
}

std::string FileCrc32(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> piece(kPiece);
  uint32_t value = 0;
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    value = Crc32(piece.data(), static_cast<size_t>(file.gcount()), value);
  }
  if (!file.eof()) {
    throw Error("cannot read " + path + ": " + std::strerror(errno));
  }
  return HexDigits(value);
}

std::string JsonFault(std::string text) {
  const size_t mark = text.find(kMark);
  if (mark == std::string::npos) {
    return text.find("checksum_method") == std::string::npos ? "" : "its checksum is gone";
  }
  const size_t start = mark + std::strlen(kMark);
  if (text.size() - start < kDigits) {
    return "its checksum is cut off";
  }
  const std::string written = text.substr(start, kDigits);
  text.replace(start, kDigits, kDigits, '0');
  return HexDigits(Crc32(text.data(), text.size())) == written ? "" : "its checksum is another";
}

}  // namespace crnn
