// The best path, and p(text | image) by the CTC forward algorithm (Graves et al. 2006, equations 6 to 8).
#include "ctc.h"

#include <algorithm>
#include <cmath>

#include "error.h"

namespace crnn {
namespace {

constexpr double kUnderflow = 1e-250;  // below this a sum could have lost paths

Step SoftmaxOf(const float *scores, size_t classes, double temperature) {
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

// In the numbers of a type: `long double` has the range for texts that are 1e-4000 times as likely as the best path.
template <typename Real>
Real Total(const std::vector<Step> &steps, const std::vector<size_t> &labels, size_t blank) {
  // States: blank, label, blank, label, ..., blank.
  const size_t states = 2 * labels.size() + 1;
  const auto class_of = [&labels, blank](size_t state) { return state % 2 == 0 ? blank : labels[state / 2]; };
  std::vector<Real> alpha(states, 0);
  std::vector<Real> next(states);
  for (size_t t = 0; t < steps.size(); ++t) {
    for (size_t state = 0; state < states; ++state) {
      Real sum = t == 0 ? (state < 2 ? 1 : 0) : alpha[state];
      if (t > 0 && state > 0) {
        sum += alpha[state - 1];
      }
      if (t > 0 && state > 1 && class_of(state) != blank && class_of(state) != class_of(state - 2)) {
        sum += alpha[state - 2];
      }
      next[state] = sum * steps[t].relative[class_of(state)];
    }
    alpha.swap(next);
  }
  return alpha[states - 1] + (states > 1 ? alpha[states - 2] : 0);
}

}  // namespace

std::vector<Step> Softmax(const float *logits, size_t steps, size_t classes, double temperature) {
  std::vector<Step> result;
  result.reserve(steps);
  for (size_t t = 0; t < steps; ++t) {
    result.push_back(SoftmaxOf(logits + t * classes, classes, temperature));
  }
  return result;
}

double LogProbability(const std::vector<Step> &steps, const std::vector<size_t> &labels, size_t blank) {
  const double total = Total<double>(steps, labels, blank);
  return total < kUnderflow ? static_cast<double>(std::log(Total<long double>(steps, labels, blank))) : std::log(total);
}

Reading ReadGreedily(const float *logits, size_t steps, size_t classes, const std::vector<std::string> &characters,
                     double temperature) {
  const std::vector<Step> probabilities = Softmax(logits, steps, classes, temperature);
  std::vector<size_t> labels;
  Reading reading;
  const size_t blank = classes - 1;
  size_t previous = blank;
  double log_scale = 0;
  for (const Step &step : probabilities) {
    const size_t best = step.best;
    log_scale += step.log_scale;
    if (best != blank && best != previous) {
      labels.push_back(best);
      reading.text += characters[best];
    }
    previous = best;
  }
  reading.confidence = std::min(1.0, std::exp(LogProbability(probabilities, labels, blank) - log_scale));
  return reading;
}

}  // namespace crnn
