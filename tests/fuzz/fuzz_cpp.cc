// libFuzzer's entry to the C++ program's own parts; fuzz_cpp.sh builds it. The first byte chooses the part.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "checksum.h"
#include "error.h"
#include "image.h"
#include "json.h"
#include "language_model.h"
#include "sidecar.h"
#include "word_search.h"

namespace {

// Writes a file into the folder for inputs that are read by their path.
std::string Written(const std::string &name, const std::string &text) {
  const char *folder = std::getenv("CRNN_FUZZ_FOLDER");
  const std::string path = std::string(folder == nullptr ? "." : folder) + "/" + name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

// Reads a language model and a word with it. The first line, with the checksum, is made here: changed bytes would not
// get past it. The characters are the file's own, and so are the scores, which follow its length.
void UseLanguageModel(const std::string &rest) {
  const std::string path =
      Written("words.lm", "crnn-character-model-3 " + crnn::HexDigits(crnn::Crc32(rest.data(), rest.size())) + "\n" + rest);
  const auto entries = crnn::ReadJsonObject(rest.substr(0, rest.find('\n')));
  const auto found = entries.find("characters");
  const std::vector<std::string> characters =
      crnn::SplitUtf8(found == entries.end() ? std::string("ab") : found->second);
  const crnn::CharacterModel model(path, characters);
  constexpr size_t kSteps = 6;
  const size_t classes = characters.size() + 1;
  std::vector<float> logits(kSteps * classes);
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = static_cast<float>((i * 7919 + rest.size() * 31) % 97) / 9.0F;
  }
  crnn::ReadWithModel(logits.data(), kSteps, classes, characters, 1.0, model, 3);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::vector<uint8_t> bytes(data + 1, data + size);
  const std::string text(bytes.begin(), bytes.end());
  try {
    switch (data[0]) {
      case 'j':
        crnn::JsonFault(text);
        for (const auto &entry : crnn::ReadJsonObject(text)) {
          crnn::SplitUtf8(entry.second);
        }
        break;
      case 's': {
        std::string note;
        const std::string path = Written("x.mindir.json", text);
        crnn::ReadSidecar(path.substr(0, path.size() - 5), &note);
        break;
      }
      case 'l':
        UseLanguageModel(text);
        break;
      case 'm':  // as it is, with its first line
        crnn::CharacterModel(Written("words.lm", text), crnn::SplitUtf8("abcdefghijklmnopqrstuvwxyz0123456789"));
        break;
      default: {
        const crnn::Image image = crnn::Resize(crnn::DecodeImage(bytes), 100, 32);
        std::vector<float> planes(3 * 32 * 100);
        crnn::ToPlanes(image, crnn::GreyLevels(127.5F, 127.5F), planes.data());
      }
    }
  } catch (const crnn::Error &) {
    return 0;
  }
  return 0;
}
