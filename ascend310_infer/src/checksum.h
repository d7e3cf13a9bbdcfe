// The checksums that export.py writes: of the JSON file, inside it, and of the model.
#ifndef CRNN_CHECKSUM_H_
#define CRNN_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace crnn {

// The CRC-32 of zlib, PNG and Ethernet; `before` is that of what came before.
uint32_t Crc32(const void *data, size_t size, uint32_t before = 0);

// As eight hexadecimal digits.
std::string HexDigits(uint32_t value);

// The same of a file; throws Error where it cannot be read.
std::string FileCrc32(const std::string &path);

// What is wrong with the text of a JSON file that carries its own checksum, in words; empty where nothing is, or where
// it has none. As src/deploy/checksum.py: zeros stand where the checksum is.
std::string JsonFault(std::string text);

}  // namespace crnn

#endif  // CRNN_CHECKSUM_H_
