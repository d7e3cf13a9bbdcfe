// The character language model of src/reading/language_model.py: its file, and what it says of the next character.
#ifndef CRNN_LANGUAGE_MODEL_H_
#define CRNN_LANGUAGE_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace crnn {

// How the search is to use a model; see Use in src/reading/language_model.py.
struct Use {
  double weight = 0;
  double bonus = 0;
  double strange = 0;
  double sure = 0;
  double temperature = 1;
};

class CharacterModel {
 public:
  // Reads a file of train_language_model.py. Throws Error where it is none, was altered, or is for other characters.
  CharacterModel(const std::string &path, const std::vector<std::string> &characters);

  const Use &use() const { return use_; }

  // What the last characters come to: the context of nothing, and the one after a further character.
  static int64_t Start() { return 0; }
  int64_t Follow(int64_t state, size_t character) const;

  // Log probabilities of all characters and, last, of the end of the word.
  std::vector<double> After(int64_t state) const;

 private:
  // Takes the bytes behind the first line apart.
  void Read(const std::string &text, const std::vector<std::string> &characters);

  Use use_;
  std::vector<size_t> symbol_;               // of every class, the end last; tied characters have one together
  std::vector<double> share_;                // log of how many classes have the symbol, by class
  std::vector<std::vector<int64_t>> contexts_;  // by length, each sorted
  std::vector<int64_t> divisors_;            // by length: shortens a state to its last characters
  std::vector<uint8_t> codes_;               // contexts x symbols, sixteenths of minus the log probability
  int64_t base_ = 1;                         // number of symbols
  int64_t youngest_ = 0;                     // what a symbol counts as the last one of a state
};

}  // namespace crnn

#endif  // CRNN_LANGUAGE_MODEL_H_
