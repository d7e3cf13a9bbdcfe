// A line with format and CRC-32 of what follows, a line of JSON, contexts, codes: see save() in
// src/reading/language_model.py.
#include "language_model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>

#include "checksum.h"
#include "error.h"
#include "image.h"
#include "json.h"

namespace crnn {
namespace {

const char kFormat[] = "crnn-character-model-3";
const char kNoModel[] = "not a language model; make one with train_language_model.py";
constexpr double kSteps = 16;  // of a code in one unit of log probability
constexpr int64_t kMostStates = int64_t{1} << 62;

using Entries = std::map<std::string, std::string>;

double Number(const Entries &entries, const std::string &name, double least, double most) {
  const auto found = entries.find(name);
  char *rest = nullptr;
  const double value = found == entries.end() ? 0 : std::strtod(found->second.c_str(), &rest);
  if (found == entries.end() || rest == found->second.c_str() || *rest != '\0' || !(value >= least && value <= most)) {
    throw Error(kNoModel);
  }
  return value;
}

}  // namespace

CharacterModel::CharacterModel(const std::string &path, const std::vector<std::string> &characters) {
  try {
    const std::vector<uint8_t> bytes = ReadFile(path);
    const std::string text(bytes.begin(), bytes.end());
    if (text.rfind("PK", 0) == 0) {
      throw Error("a language model of an earlier version; make it anew with train_language_model.py");
    }
    const size_t end = text.find('\n');
    if (text.rfind(kFormat, 0) != 0 || end == std::string::npos) {
      throw Error(kNoModel);
    }
    const std::string rest = text.substr(end + 1);
    if (text.substr(0, end) != std::string(kFormat) + " " + HexDigits(Crc32(rest.data(), rest.size()))) {
      throw Error("it was altered since it was written (its checksum is another); take another copy, or make it anew "
                  "with train_language_model.py");
    }
    Read(rest, characters);
  } catch (const Error &error) {
    throw Error("language_model " + path + ": " + error.what());
  }
}

void CharacterModel::Read(const std::string &text, const std::vector<std::string> &characters) {
  size_t place = text.find('\n');
  if (place == std::string::npos) {
    throw Error(kNoModel);
  }
  const Entries entries = ReadJsonObject(text.substr(0, place++));
  const auto found = entries.find("characters");
  const auto tied_found = entries.find("tied");
  if (found == entries.end() || tied_found == entries.end()) {
    throw Error(kNoModel);
  }
  if (SplitUtf8(found->second) != characters) {
    throw Error("it is for the characters '" + found->second +
                "', the model for others; train one for them with train_language_model.py");
  }
  const double huge = std::numeric_limits<double>::max();
  use_.weight = Number(entries, "use.weight", 0, huge);
  use_.bonus = Number(entries, "use.bonus", -huge, huge);
  use_.strange = Number(entries, "use.strange", 0, huge);
  use_.sure = Number(entries, "use.sure", 0, huge);
  use_.temperature = Number(entries, "use.temperature", std::numeric_limits<double>::min(), huge);

  const std::vector<std::string> tied = SplitUtf8(tied_found->second);
  std::vector<double> size;
  size_t shared = characters.size() + 1;  // the symbol of the tied characters; larger than all: none yet
  for (const std::string &character : characters) {
    const bool is_tied = std::find(tied.begin(), tied.end(), character) != tied.end();
    if (is_tied && shared < size.size()) {
      symbol_.push_back(shared);
      ++size[shared];
      continue;
    }
    shared = is_tied ? size.size() : shared;
    symbol_.push_back(size.size());
    size.push_back(1);
  }
  symbol_.push_back(size.size());
  size.push_back(1);
  for (const size_t symbol : symbol_) {
    share_.push_back(std::log(size[symbol]));
  }
  base_ = static_cast<int64_t>(size.size());

  const auto width = static_cast<size_t>(Number(entries, "bytes", 4, 8));
  size_t contexts = 0;
  int64_t states = 1;  // that a context of this length can have
  for (size_t length = 0; entries.count("contexts." + std::to_string(length)) > 0; ++length) {
    const auto count = static_cast<size_t>(Number(entries, "contexts." + std::to_string(length), 0, 1e9));
    if ((width != 4 && width != 8) || count > (text.size() - place) / width || states > kMostStates / base_) {
      throw Error(kNoModel);
    }
    std::vector<int64_t> known(count);
    for (size_t i = 0; i < count; ++i, place += width) {
      int32_t narrow = 0;
      std::memcpy(width == 4 ? static_cast<void *>(&narrow) : &known[i], text.data() + place, width);
      known[i] = width == 4 ? narrow : known[i];
    }
    contexts_.push_back(std::move(known));
    contexts += count;
    youngest_ = length == 0 ? 0 : states / base_ ;
    states *= base_;
  }
  const auto symbols = static_cast<size_t>(base_);
  if (contexts_.empty() || contexts_[0].empty() || text.size() - place != contexts * symbols) {
    throw Error(kNoModel);
  }
  codes_.assign(text.begin() + static_cast<std::ptrdiff_t>(place), text.end());
  states /= base_;
  for (size_t length = 0; length < contexts_.size(); ++length, states /= base_) {
    divisors_.push_back(states);
  }
}

int64_t CharacterModel::Follow(int64_t state, size_t character) const {
  return state / base_ + static_cast<int64_t>(symbol_[character] + 1) * youngest_;
}

std::vector<double> CharacterModel::After(int64_t state) const {
  size_t row = 0;
  size_t first = 0;
  for (size_t length = 0; length < contexts_.size(); ++length) {
    const std::vector<int64_t> &known = contexts_[length];
    const int64_t wanted = state / divisors_[length];
    const auto found = std::lower_bound(known.begin(), known.end(), wanted);
    if (found == known.end() || *found != wanted) {
      break;  // with a context its shorter ones are there, too
    }
    row = first + static_cast<size_t>(found - known.begin());
    first += known.size();
  }
  std::vector<double> result(symbol_.size());
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = codes_[row * static_cast<size_t>(base_) + symbol_[i]] / -kSteps - share_[i];
  }
  return result;
}

}  // namespace crnn
