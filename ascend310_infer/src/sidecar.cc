// Reads and checks the facts that export.py wrote.
#include "sidecar.h"

#include <algorithm>
#include <cstdlib>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "checksum.h"
#include "error.h"
#include "image.h"
#include "json.h"

namespace crnn {
namespace {

const char kModelCrc[] = "mindir_crc32";  // as src/deploy/metadata.py calls it
const char kAlphanumeric[] = "abcdefghijklmnopqrstuvwxyz0123456789";

// The file is sound, but asks for what this program does not do.
struct Unfit : Error {
  using Error::Error;
};

class Facts {
 public:
  explicit Facts(std::map<std::string, std::string> entries) : entries_(std::move(entries)) {}

  const std::string &Text(const std::string &name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
      throw Error("it does not tell the " + name + " of the model");
    }
    return found->second;
  }
  double Number(const std::string &name) const {
    const std::string &text = Text(name);
    char *rest = nullptr;
    const double value = std::strtod(text.c_str(), &rest);
    if (text.empty() || *rest != '\0' || !std::isfinite(value)) {
      throw Error(name + " is '" + text + "', which is not a number");
    }
    return value;
  }
  bool Has(const std::string &name) const { return entries_.count(name) > 0; }
  int Size(const std::string &name) const {
    const double value = Number(name);
    if (value < 1 || value > 1 << 20 || value != std::floor(value)) {
      throw Error(name + " is " + Text(name) + ", which is not possible");
    }
    return static_cast<int>(value);
  }
  void MustBe(const std::string &name, const std::string &wanted) const {
    const auto found = entries_.find(name);
    if (found != entries_.end() && found->second != wanted) {
      throw Unfit("it wants images with " + name + " '" + found->second + "', but this program makes '" + wanted +
                  "' only; take a network that was trained with those, or evaluate this one as ONNX");
    }
  }

 private:
  std::map<std::string, std::string> entries_;
};

// Whether a character, UTF-8, lies in the blocks that Unicode keeps for scripts from right to left. In Python the order of
// their letters is src/common/writing_order.py; "\xD6\x90" and so on are U+0590 to 08FF, FB1D to FDFF, FE70 to FEFF,
// 10800 to 10FFF and 1E800 to 1EFFF.
bool IsRightToLeft(const std::string &c) {
  const auto within = [&c](const char *first, const char *last) {
    return c.size() == std::char_traits<char>::length(first) && c >= first && c <= last;
  };
  return within("\xD6\x90", "\xDF\xBF") || within("\xE0\xA0\x80", "\xE0\xA3\xBF") ||
         within("\xEF\xAC\x9D", "\xEF\xB7\xBF") || within("\xEF\xB9\xB0", "\xEF\xBB\xBF") ||
         within("\xF0\x90\xA0\x80", "\xF0\x90\xBF\xBF") || within("\xF0\x9E\xA0\x80", "\xF0\x9E\xBF\xBF");
}

ModelFacts Check(const Facts &facts) {
  ModelFacts result;
  result.characters = SplitUtf8(facts.Text("label_dict"));
  const std::set<std::string> distinct(result.characters.begin(), result.characters.end());
  if (result.characters.empty() || distinct.size() != result.characters.size()) {
    throw Error("label_dict is empty or holds a character twice");
  }
  if (std::any_of(result.characters.begin(), result.characters.end(), IsRightToLeft)) {
    throw Unfit("its label_dict has letters that are written from right to left, whose order this program does not know; "
                "evaluate it with eval_onnx.py or eval.py");
  }
  result.width = facts.Size("image_width");
  result.height = facts.Size("image_height");
  result.mean = static_cast<float>(facts.Number("mean"));
  result.scale = static_cast<float>(facts.Number("scale"));
  if (result.scale == 0) {
    throw Error("scale cannot be 0");
  }
  if (facts.Has("temperature")) {
    result.temperature = facts.Number("temperature");
    if (result.temperature <= 0) {
      throw Error("temperature is " + facts.Text("temperature") + "; it must be above 0");
    }
  }
  const double long_width = facts.Has("long_width") ? facts.Number("long_width") : 0;
  if (long_width != 0 && (long_width <= result.width || long_width != facts.Size("long_width"))) {
    throw Error("long_width " + facts.Text("long_width") + " must be 0, or a whole number above image_width");
  }
  result.long_width = static_cast<int>(long_width);
  facts.MustBe("channel_order", "BGR");
  facts.MustBe("resize", "stretch, cv2.INTER_LINEAR");
  const auto count = static_cast<double>(result.characters.size());
  if (facts.Number("class_num") != count + 1 || facts.Number("blank") != count) {
    throw Error("class_num " + facts.Text("class_num") + " and blank " + facts.Text("blank") +
                " contradict its label_dict");
  }
  return result;
}

}  // namespace

ModelFacts ReadSidecar(const std::string &model_path, std::string *note) {
  const std::string path = model_path + ".json";
  if (!std::filesystem::exists(path)) {
    ModelFacts result;
    result.characters = SplitUtf8(kAlphanumeric);
    result.width = result.height = 0;
    *note = path + " is missing; taking the characters a to z and 0 to 9, mean and scale 127.5";
    return result;
  }
  try {
    const std::vector<uint8_t> bytes = ReadFile(path);
    const std::string text(bytes.begin(), bytes.end());
    const std::string fault = JsonFault(text);
    if (!fault.empty()) {
      throw Unfit("it was altered since it was written (" + fault + "); take another copy, or export the model again");
    }
    const Facts facts(ReadJsonObject(text));
    if (facts.Has(kModelCrc) && std::filesystem::is_regular_file(model_path) &&
        FileCrc32(model_path) != facts.Text(kModelCrc)) {
      throw Unfit(model_path + " is not the file it was written with: altered, or another one; take another copy of "
                  "both, or export the model again");
    }
    const ModelFacts result = Check(facts);
    if (result.long_width > 0) {
      *note = path + ": long_width " + std::to_string(result.long_width) + " is left out: this program reads all images "
              "at image_width, " + std::to_string(result.width);
    }
    return result;
  } catch (const Unfit &error) {
    throw Error(path + ": " + error.what());
  } catch (const Error &error) {
    throw Error(path + ": " + error.what() + "; export the model again");
  }
}

}  // namespace crnn
