// Reading with a language model, as src/reading/beam.py and src/reading/word_search.py do it.
#ifndef CRNN_WORD_SEARCH_H_
#define CRNN_WORD_SEARCH_H_

#include <cstddef>
#include <string>
#include <vector>

#include "ctc.h"
#include "language_model.h"

namespace crnn {

// Leaves a greedy reading that is sure enough alone; otherwise the text with the highest score by network and model.
//   logits: steps * classes values.
//   characters: those of the classes, as for ReadGreedily.
//   temperature: of the greedy reading's confidence.
//   model: for the same characters.
//   beam_width: prefixes kept after every step.
// The confidence of a text that was searched for is its share among all texts that the search ended with, and at least
// that of the greedy reading where it is the same text.
// Throws Error where a score is not a number.
Reading ReadWithModel(const float *logits, size_t steps, size_t classes, const std::vector<std::string> &characters,
                      double temperature, const CharacterModel &model, size_t beam_width);

}  // namespace crnn

#endif  // CRNN_WORD_SEARCH_H_
