// The network, run by whatever runtime the program is linked with.
#ifndef CRNN_RECOGNISER_H_
#define CRNN_RECOGNISER_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "options.h"
#include "sidecar.h"

namespace crnn {

class Recogniser {
 public:
  // Loads options.mindir_path onto the device. Throws Error where that fails, or the model is not a CRNN that fits the
  // facts.
  Recogniser(const Options &options, const ModelFacts &facts);
  ~Recogniser();

  size_t batch() const;  // images per call
  int height() const;    // of the images in pixels
  int width() const;

  // Maps images (batch, 3, height, width) to class scores (steps, batch, classes); throws Error.
  std::vector<float> Run(const std::vector<float> &images);

  size_t steps() const;    // known after the first run
  size_t classes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace crnn

#endif  // CRNN_RECOGNISER_H_
