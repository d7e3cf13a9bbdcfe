// For the tests: the parts that need no runtime, on files named on standard input.
//
//   crnn_check images WIDTH HEIGHT     writes for each file a 1 and its resized pixels, or a 0 (reasons on stderr)
//   crnn_check pixels                  the same without resizing, each image preceded by height and width as int32
//   crnn_check logits STEPS MODEL      reads float32 scores from each file and prints text and confidence, MODEL.json
//                                      giving the characters
//   crnn_check words STEPS MODEL FILE BEAM_WIDTH    the same with the language model in FILE
//   crnn_check names                   prints the result name of each file
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "ctc.h"
#include "error.h"
#include "files.h"
#include "image.h"
#include "language_model.h"
#include "sidecar.h"
#include "word_search.h"

namespace {

void Put(const void *data, size_t size) { std::fwrite(data, 1, size, stdout); }

void PutImage(const std::string &path, int width, int height) {
  crnn::Image image;
  try {
    image = crnn::DecodeImage(crnn::ReadFile(path));
    if (width > 0) {
      image = crnn::Resize(image, width, height);
    }
  } catch (const crnn::Error &error) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), error.what());
    Put("\0", 1);
    return;
  }
  Put("\1", 1);
  if (width == 0) {
    const int32_t size[2] = {image.height, image.width};
    Put(size, sizeof(size));
  }
  Put(image.pixels.get(), static_cast<size_t>(image.width) * image.height * 3);
}

void PrintReading(const std::string &path, size_t steps, const crnn::ModelFacts &facts,
                  const crnn::CharacterModel *model = nullptr, size_t beam_width = 0) {
  const std::vector<uint8_t> bytes = crnn::ReadFile(path);
  const size_t classes = facts.characters.size() + 1;
  std::vector<float> logits(steps * classes);
  if (bytes.size() != logits.size() * sizeof(float)) {
    throw crnn::Error(path + " does not hold " + std::to_string(logits.size()) + " scores");
  }
  std::memcpy(logits.data(), bytes.data(), bytes.size());
  const crnn::Reading reading =
      model != nullptr ? crnn::ReadWithModel(logits.data(), steps, classes, facts.characters, facts.temperature, *model,
                                             beam_width)
                       : crnn::ReadGreedily(logits.data(), steps, classes, facts.characters, facts.temperature);
  std::printf("%s\t%.9g\n", reading.text.c_str(), reading.confidence);
}

}  // namespace

int main(int count, char **words) {
  const std::string task = count > 1 ? words[1] : "";
  try {
    std::vector<std::string> paths;
    for (std::string path; std::getline(std::cin, path);) {
      paths.push_back(path);
    }
    if (task == "images" && count == 4) {
      for (const std::string &path : paths) {
        PutImage(path, std::atoi(words[2]), std::atoi(words[3]));
      }
    } else if (task == "pixels") {
      for (const std::string &path : paths) {
        PutImage(path, 0, 0);
      }
    } else if (task == "logits" && count == 4) {
      std::string note;
      const crnn::ModelFacts facts = crnn::ReadSidecar(words[3], &note);
      std::fprintf(stderr, "%s", note.c_str());
      for (const std::string &path : paths) {
        PrintReading(path, static_cast<size_t>(std::atoi(words[2])), facts);
      }
    } else if (task == "words" && count == 6) {
      std::string note;
      const crnn::ModelFacts facts = crnn::ReadSidecar(words[3], &note);
      const crnn::CharacterModel model(words[4], facts.characters);
      for (const std::string &path : paths) {
        PrintReading(path, static_cast<size_t>(std::atoi(words[2])), facts, &model,
                     static_cast<size_t>(std::atoi(words[5])));
      }
    } else if (task == "names") {
      for (const std::string &name : crnn::ResultNames(paths)) {
        std::printf("%s\n", name.c_str());
      }
    } else {
      throw crnn::Error("unknown task");
    }
  } catch (const crnn::Error &error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return 0;
}
