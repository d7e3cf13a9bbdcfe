// The best path, and p(text | image) by the CTC forward algorithm (Graves et al. 2006, equations 6 to 8).
#include "ctc.h"

#include <algorithm>
#include <cmath>

#include "error.h"

namespace crnn {
namespace {

// Probabilities of one step, scaled so that the best class counts 1: no product along the best path can underflow.
struct Step {
  std::vector<double> relative;
  size_t best = 0;
  double log_scale = 0;
};

Step Softmax(const float *scores, size_t classes, double temperature) {
  Step step;
  step.best = static_cast<size_t>(std::max_element(scores, scores + classes) - scores);
  step.relative.resize(classes);
  double sum = 0;
  for (size_t i = 0; i < classes; ++i) {
    if (std::isnan(scores[i]) || std::isinf(scores[step.best])) {
      throw Error("the scores hold NaN or infinite values; check the model (training may have diverged)");
    }
    step.relative[i] = std::exp((static_cast<double>(scores[i]) - scores[step.best]) / temperature);
    sum += step.relative[i];
  }
  step.log_scale = std::log(sum);
  return step;
}

double Confidence(const std::vector<Step> &steps, const std::vector<size_t> &labels, size_t blank) {
  // States: blank, label, blank, label, ..., blank.
  const size_t states = 2 * labels.size() + 1;
  const auto class_of = [&labels, blank](size_t state) { return state % 2 == 0 ? blank : labels[state / 2]; };
  std::vector<double> alpha(states, 0.0);
  std::vector<double> next(states);
  double log_scale = 0;
  for (size_t t = 0; t < steps.size(); ++t) {
    for (size_t state = 0; state < states; ++state) {
      double sum = t == 0 ? (state < 2 ? 1.0 : 0.0) : alpha[state];
      if (t > 0 && state > 0) {
        sum += alpha[state - 1];
      }
      if (t > 0 && state > 1 && class_of(state) != blank && class_of(state) != class_of(state - 2)) {
        sum += alpha[state - 2];
      }
      next[state] = sum * steps[t].relative[class_of(state)];
    }
    alpha.swap(next);
    log_scale += steps[t].log_scale;
  }
  const double total = alpha[states - 1] + (states > 1 ? alpha[states - 2] : 0.0);
  return std::min(1.0, std::exp(std::log(total) - log_scale));
}

}  // namespace

Reading ReadGreedily(const float *logits, size_t steps, size_t classes, const std::vector<std::string> &characters,
                     double temperature) {
  std::vector<Step> probabilities;
  std::vector<size_t> labels;
  Reading reading;
  const size_t blank = classes - 1;
  size_t previous = blank;
  for (size_t t = 0; t < steps; ++t) {
    probabilities.push_back(Softmax(logits + t * classes, classes, temperature));
    const size_t best = probabilities.back().best;
    if (best != blank && best != previous) {
      labels.push_back(best);
      reading.text += characters[best];
    }
    previous = best;
  }
  reading.confidence = Confidence(probabilities, labels, blank);
  return reading;
}

}  // namespace crnn
