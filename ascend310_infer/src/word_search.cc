// CTC prefix beam search with a language model: the same numbers in the same order as src/reading/word_search.py.
#include "word_search.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <utility>

namespace crnn {
namespace {

// As in word_search.py: characters tried in a step, the likelihood each has at least beside the best class, the share of
// the best score below which a prefix is dropped, and the greatest logarithm of a prior.
constexpr size_t kCharactersTried = 8;
constexpr double kLeast = 1e-4;
constexpr double kHopeless = 1e-4;
constexpr double kMost = 600;

struct Prefix {
  std::vector<size_t> labels;
  size_t last = 0;
  int64_t state = 0;
  double log_model = 0;
  double prior = 1;
  std::vector<std::pair<size_t, Prefix *>> children;
  std::vector<double> after;  // log probabilities of what may follow; empty: not asked yet
  double in_blank = 0;
  double in_char = 0;
  double next_blank = 0;
  double next_char = 0;
  size_t seen = std::numeric_limits<size_t>::max();  // the step of the next probabilities
};

struct Text {
  std::vector<size_t> labels;
  double log_prior = 0;
};

// What counts beside p(text | image), for a prefix or text with this log probability by the model.
double Prior(double log_p, size_t length, const Use &use) {
  return std::exp(std::min(use.weight * log_p + use.bonus * static_cast<double>(length), kMost)) + use.strange;
}

// The characters that are tried in a step.
std::vector<size_t> Likely(const std::vector<double> &relative) {
  std::vector<size_t> characters;
  for (size_t i = 0; i + 1 < relative.size(); ++i) {
    if (relative[i] >= kLeast) {
      characters.push_back(i);
    }
  }
  if (characters.size() > kCharactersTried) {
    std::stable_sort(characters.begin(), characters.end(),
                     [&relative](size_t a, size_t b) { return relative[a] < relative[b]; });
    characters.erase(characters.begin(), characters.end() - kCharactersTried);
  }
  return characters;
}

class Search {
 public:
  Search(const CharacterModel &model, size_t blank, size_t beam_width)
      : model_(model), use_(model.use()), blank_(blank), beam_width_(beam_width) {
    Prefix &root = prefixes_.emplace_back();
    root.last = blank;
    root.state = CharacterModel::Start();
    root.in_blank = 1;
    beam_.push_back(&root);
  }

  void Step(const std::vector<double> &relative) {
    const std::vector<size_t> likely = Likely(relative);
    if (likely.empty()) {
      for (Prefix *prefix : beam_) {
        prefix->in_blank = (prefix->in_blank + prefix->in_char) * relative[blank_];
        prefix->in_char *= relative[prefix->last];
      }
    } else {
      Grow(relative, likely);
      Choose();
    }
    ++number_;
  }

  // Every text that stayed, the one with the best score of its prefix first.
  std::vector<Text> Texts() {
    std::vector<Text> texts;
    for (Prefix *prefix : beam_) {
      const double log_model = prefix->log_model + After(prefix)[blank_];
      const double prior = Prior(log_model, prefix->labels.size(), use_);
      texts.push_back({prefix->labels, std::log(std::max(prior, std::exp(-kMost)))});
    }
    return texts;
  }

 private:
  const std::vector<double> &After(Prefix *prefix) {
    if (prefix->after.empty()) {
      prefix->after = model_.After(prefix->state);
    }
    return prefix->after;
  }

  void Touch(Prefix *prefix) {
    if (prefix->seen != number_) {
      prefix->seen = number_;
      prefix->next_blank = prefix->next_char = 0;
      touched_.push_back(prefix);
    }
  }

  // Adds a character to every prefix of the beam, or none.
  void Grow(const std::vector<double> &relative, const std::vector<size_t> &likely) {
    const double by_blank = relative[blank_];
    const double boost = std::exp(std::min(std::max(use_.bonus, 0.0), kMost));  // what a character can give at most
    double best = 0;
    for (const Prefix *prefix : beam_) {
      best = std::max(best, ((prefix->in_blank + prefix->in_char) * by_blank +
                             prefix->in_char * relative[prefix->last]) * prefix->prior);
    }
    touched_.clear();
    for (Prefix *prefix : beam_) {
      const double total = prefix->in_blank + prefix->in_char;
      const double needed = prefix->prior > 0 ? kHopeless * best / (prefix->prior * boost)
                                              : std::numeric_limits<double>::infinity();
      Touch(prefix);
      prefix->next_blank += total * by_blank;
      prefix->next_char += prefix->in_char * relative[prefix->last];
      for (const size_t character : likely) {
        // The same character again makes a new one only behind a blank.
        const double enters = (character == prefix->last ? prefix->in_blank : total) * relative[character];
        const auto known = std::find_if(prefix->children.begin(), prefix->children.end(),
                                        [character](const auto &child) { return child.first == character; });
        if (known == prefix->children.end() && enters <= needed) {
          continue;  // the model cannot help it so much
        }
        Prefix *longer = known == prefix->children.end() ? Lengthen(prefix, character) : known->second;
        Touch(longer);
        longer->next_char += enters;
      }
    }
  }

  Prefix *Lengthen(Prefix *prefix, size_t character) {
    Prefix &longer = prefixes_.emplace_back();
    longer.labels = prefix->labels;
    longer.labels.push_back(character);
    longer.last = character;
    longer.state = model_.Follow(prefix->state, character);
    longer.log_model = prefix->log_model + After(prefix)[character];
    longer.prior = Prior(longer.log_model, longer.labels.size(), use_);
    prefix->children.emplace_back(character, &longer);
    return &longer;
  }

  // The new beam: of what was touched the best, of equal ones the later.
  void Choose() {
    std::vector<std::pair<double, size_t>> scored;
    for (size_t place = 0; place < touched_.size(); ++place) {
      const Prefix *prefix = touched_[place];
      scored.emplace_back((prefix->next_blank + prefix->next_char) * prefix->prior, place);
    }
    std::sort(scored.rbegin(), scored.rend());
    const double least = scored[0].first * kHopeless;
    beam_.clear();
    for (const auto &[score, place] : scored) {
      if (beam_.size() == beam_width_ || score < least) {
        break;
      }
      Prefix *prefix = touched_[place];
      prefix->in_blank = prefix->next_blank;
      prefix->in_char = prefix->next_char;
      beam_.push_back(prefix);
    }
  }

  const CharacterModel &model_;
  const Use use_;
  const size_t blank_;
  const size_t beam_width_;
  std::deque<Prefix> prefixes_;  // all of them; their places do not change
  std::vector<Prefix *> beam_;
  std::vector<Prefix *> touched_;
  size_t number_ = 0;
};

}  // namespace

Reading ReadWithModel(const float *logits, size_t steps, size_t classes, const std::vector<std::string> &characters,
                      double temperature, const CharacterModel &model, size_t beam_width) {
  const Reading greedy = ReadGreedily(logits, steps, classes, characters, temperature);
  if (greedy.confidence >= model.use().sure) {
    return greedy;
  }
  const std::vector<Step> probabilities = Softmax(logits, steps, classes, 1);
  Search search(model, classes - 1, beam_width);
  for (const Step &step : probabilities) {
    search.Step(step.relative);
  }
  // The search loses those paths of a text whose prefixes fell out of the beam: score the texts that stayed in full.
  const std::vector<Text> texts = search.Texts();
  std::vector<double> scores;
  for (const Text &text : texts) {
    scores.push_back((LogProbability(probabilities, text.labels, classes - 1) + text.log_prior) /
                     model.use().temperature);
  }
  const auto best = std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (const double score : scores) {
    sum += std::exp(score - *best);
  }
  Reading reading;
  for (const size_t label : texts[static_cast<size_t>(best - scores.begin())].labels) {
    reading.text += characters[label];
  }
  reading.confidence = reading.text == greedy.text ? std::max(1 / sum, greedy.confidence) : 1 / sum;
  return reading;
}

}  // namespace crnn
