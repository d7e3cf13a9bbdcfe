// From class scores to text and confidence, as src/reading/greedy.py does it.
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

// Probabilities of one step, scaled so that the best class counts 1: no product along the best path can underflow.
struct Step {
  std::vector<double> relative;
  size_t best = 0;
  double log_scale = 0;
};

// The steps of class scores, steps * classes values; temperature divides them. Throws Error where one is not a number.
std::vector<Step> Softmax(const float *logits, size_t steps, size_t classes, double temperature);

// log p(text | image), of the classes of a text, up to the sum of the log_scale of all steps.
double LogProbability(const std::vector<Step> &steps, const std::vector<size_t> &labels, size_t blank);

// Takes the best class of every step, merges repeats and removes blanks.
//   logits: steps * classes values.
//   characters: those of the classes, UTF-8; the blank is the class behind them, so classes = characters.size() + 1.
//   temperature: divides the scores for the confidence; the text does not depend on it.
// Throws Error where a score is not a number.
Reading ReadGreedily(const float *logits, size_t steps, size_t classes, const std::vector<std::string> &characters,
                     double temperature);

}  // namespace crnn

#endif  // CRNN_CTC_H_
