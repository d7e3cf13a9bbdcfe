// The JSON file beside a model, which tells what its classes mean and how it wants its images.
#ifndef CRNN_SIDECAR_H_
#define CRNN_SIDECAR_H_

#include <string>
#include <vector>

namespace crnn {

struct ModelFacts {
  std::vector<std::string> characters;  // of the classes, UTF-8; the blank comes behind them
  int height = 32;                      // of the images in pixels, 0 where it is not told
  int width = 100;
  float mean = 127.5F;                  // grey levels
  float scale = 127.5F;
  int long_width = 0;                   // that long images were to have; this program gives all of them one width
  double temperature = 1;               // divides the scores for the confidence; 1 where it is not told
};

// Reads MODEL.json. Where there is none, the facts are those of a network for a-z and 0-9, and `note` says so; the size
// is then the model's own. Throws Error where the file cannot be used, or wants images this program does not make.
ModelFacts ReadSidecar(const std::string &model_path, std::string *note);

}  // namespace crnn

#endif  // CRNN_SIDECAR_H_
