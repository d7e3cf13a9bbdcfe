// libFuzzer's entry to the C++ program's own parts; fuzz_cpp.sh builds it. The first byte chooses the part.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "checksum.h"
#include "error.h"
#include "image.h"
#include "json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::vector<uint8_t> bytes(data + 1, data + size);
  try {
    if (data[0] == 'j') {
      const std::string text(bytes.begin(), bytes.end());
      crnn::JsonFault(text);
      for (const auto &entry : crnn::ReadJsonObject(text)) {
        crnn::SplitUtf8(entry.second);
      }
    } else {
      const crnn::Image image = crnn::Resize(crnn::DecodeImage(bytes), 100, 32);
      std::vector<float> planes(3 * 32 * 100);
      crnn::ToPlanes(image, crnn::GreyLevels(127.5F, 127.5F), planes.data());
    }
  } catch (const crnn::Error &) {
    return 0;
  }
  return 0;
}
