// The command line.
#ifndef CRNN_OPTIONS_H_
#define CRNN_OPTIONS_H_

#include <string>

namespace crnn {

struct Options {
  std::string mindir_path;
  std::string dataset_path;
  std::string output_path = ".";
  std::string decoder = "auto";
  std::string language_model;
  int beam_width = 10;
  std::string device_type = "Ascend310";
  int device_id = 0;
  int threads = 0;     // 0: see kUsage
  int batch_size = 0;  // 0: the model's own, or 1 where it leaves it free
  bool help = false;
};

// Reads --key=value and --key value; throws Error.
Options ParseOptions(int count, const char *const *words);

// What --help prints.
extern const char kUsage[];

}  // namespace crnn

#endif  // CRNN_OPTIONS_H_
