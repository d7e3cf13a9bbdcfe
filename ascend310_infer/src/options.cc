// The command line: the names of the model zoo's program, and a few more.
#include "options.h"

#include <cstdlib>
#include <functional>
#include <map>

#include "error.h"

namespace crnn {
namespace {

int Number(const std::string &name, const std::string &text, int least) {
  char *rest = nullptr;
  const long value = std::strtol(text.c_str(), &rest, 10);
  if (text.empty() || *rest != '\0' || value < least || value > 1000000) {
    throw Error("--" + name + " is '" + text + "', but must be a whole number from " + std::to_string(least));
  }
  return static_cast<int>(value);
}

}  // namespace

const char kUsage[] =
    R"(Usage: crnn_infer --mindir_path FILE --dataset_path FOLDER [OPTION ...]

Reads all PNG, JPEG and BMP images of a folder and the folders in it with a CRNN in MINDIR form, and prints path, text
and confidence of each, separated by tabs, in the order of the paths.

  --mindir_path FILE     the model; its characters and image size are read from FILE.json beside it
  --dataset_path FOLDER  the images, or a single image
  --device_type NAME     Ascend310 (default), Ascend, GPU or CPU, as far as the runtime has it
  --device_id N          which of these devices (default 0)
  --output_path FOLDER   where result_Files and time_Result go (default: the current folder)
  --language_model FILE  read with it what the model alone is not sure of, as predict.py does; none (default): without
  --decoder NAME         auto (default): beam with a language model, greedy without
  --beam_width N         prefixes that the beam decoder keeps after every step (default 10)
  --batch_size N         images per call where the model leaves it free (default 1)
  --threads N            of the CPU (default: one for each core that it may use, at most 4)

result_Files/STEM_0.bin holds the class scores of an image as float32, steps x classes; an image that shares its name
without ending with another one gets result_Files/PATH_0.bin, PATH being relative to the dataset. result_Files/index.tsv
tells the image and its file, line by line. Files of the index of an earlier run are replaced or removed.
time_Result/test_perform_static.txt holds the average times.

Exit code 0: all images read; 1: some could not be read, which are named at the end; 2: error.
)";

Options ParseOptions(int count, const char *const *words) {
  Options options;
  using Setter = std::function<void(const std::string &, const std::string &)>;
  const auto text = [](std::string *target) -> Setter {
    return [target](const std::string &, const std::string &value) { *target = value; };
  };
  const auto number = [](int *target, int least) -> Setter {
    return [target, least](const std::string &name, const std::string &value) { *target = Number(name, value, least); };
  };
  const std::map<std::string, Setter> known = {
      {"mindir_path", text(&options.mindir_path)}, {"dataset_path", text(&options.dataset_path)},
      {"output_path", text(&options.output_path)}, {"device_type", text(&options.device_type)},
      {"device_id", number(&options.device_id, 0)}, {"threads", number(&options.threads, 1)},
      {"batch_size", number(&options.batch_size, 1)},
      {"decoder", text(&options.decoder)},         {"language_model", text(&options.language_model)},
      {"beam_width", number(&options.beam_width, 1)},
  };
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "-h" || word == "--help") {
      options.help = true;
      return options;
    }
    const size_t start = word.rfind("--", 0) == 0 ? 2 : 1;  // -key as well: gflags took it
    if (word.size() < 2 || word[0] != '-') {
      throw Error("cannot read '" + word + "'; write --key=value, and see --help");
    }
    const size_t equals = word.find('=');
    const std::string name = word.substr(start, equals == std::string::npos ? equals : equals - start);
    const auto found = known.find(name);
    if (found == known.end()) {
      throw Error("there is no option --" + name + "; see --help");
    }
    if (equals == std::string::npos && i + 1 >= count) {
      throw Error("--" + name + " needs a value");
    }
    found->second(name, equals == std::string::npos ? words[++i] : word.substr(equals + 1));
  }
  const char *missing = options.mindir_path.empty()    ? "mindir_path"
                        : options.dataset_path.empty() ? "dataset_path"
                                                       : "";
  if (*missing != '\0') {
    throw Error(std::string("--") + missing + " is missing; see --help");
  }
  if (options.language_model == "none") {
    options.language_model.clear();
  }
  if (options.decoder != "auto" && options.decoder != "greedy" && options.decoder != "beam") {
    throw Error("--decoder is '" + options.decoder + "'; choose auto, greedy or beam");
  }
  if (options.decoder == "greedy" && !options.language_model.empty()) {
    throw Error("--decoder greedy cannot use a language model; leave language_model out, or take decoder beam");
  }
  if (options.decoder == "beam" && options.language_model.empty()) {
    throw Error("--decoder beam needs --language_model FILE here; without one eval.py and predict.py have it");
  }
  return options;
}

}  // namespace crnn
