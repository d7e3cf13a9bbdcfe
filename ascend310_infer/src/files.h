// Which images there are, and where their results go.
#ifndef CRNN_FILES_H_
#define CRNN_FILES_H_

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace crnn {

struct Listing {
  std::filesystem::path folder;     // the dataset
  std::vector<std::string> images;  // relative to the folder, with slashes, sorted by bytes
  size_t ignored = 0;               // files whose ending is not that of an image
};

// Finds the images of a folder and of all folders in it (but does not follow links to folders), or takes a single file.
// Files with the ending of another image format are listed too, so that reading them fails and is told. Throws Error
// where there is no image, or a folder cannot be read.
Listing FindImages(const std::string &dataset_path);

// The names of the result files, see --help: STEM_0.bin, or PATH_0.bin for those whose stem is not unique.
std::vector<std::string> ResultNames(const std::vector<std::string> &images);

// The folder result_Files with its index.
class ResultFolder {
 public:
  // Makes the folder and removes the files that the index of an earlier run lists, and no other; throws Error.
  explicit ResultFolder(const std::filesystem::path &output_path);

  // Writes a file and its line of the index; throws Error.
  void Write(const std::string &image, const std::string &name, const std::vector<float> &values);

 private:
  std::filesystem::path folder_;
  std::ofstream index_;
};

// Writes a text file; throws Error.
void WriteText(const std::filesystem::path &path, const std::string &text);

}  // namespace crnn

#endif  // CRNN_FILES_H_
