// From class scores to text and confidence, as src/decode.py's greedy decoder does it.
#ifndef CRNN_CTC_H_
#define CRNN_CTC_H_

#include <cstddef>
#include <string>
#include <vector>

namespace crnn {

struct Reading {
  std::string text;
  double confidence;  // p(text | image): the sum over all paths that collapse to the text
};

// Takes the best class of every step, merges repeats and removes blanks.
//   logits: steps * classes values.
//   characters: those of the classes, UTF-8; the blank is the class behind them, so classes = characters.size() + 1.
//   temperature: divides the scores for the confidence; the text does not depend on it.
// Throws Error where a score is not a number.
Reading ReadGreedily(const float *logits, size_t steps, size_t classes, const std::vector<std::string> &characters,
                     double temperature);

}  // namespace crnn

#endif  // CRNN_CTC_H_
