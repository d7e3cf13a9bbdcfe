// Listing, naming and writing of files.
#include "files.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <system_error>

#include "error.h"

namespace crnn {
namespace {

namespace fs = std::filesystem;

const std::set<std::string> kEndings = {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".dib", ".webp",
                                        ".tif", ".tiff", ".gif", ".pgm", ".ppm"};

bool LooksLikeImage(const fs::path &path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return kEndings.count(ending) > 0;
}

void RemoveOldResults(const fs::path &folder) {
  std::ifstream index(folder / "index.tsv");
  std::string line;
  while (std::getline(index, line)) {
    const fs::path name = line.substr(std::min(line.find('\t') + 1, line.size()));
    const bool inside = name.is_relative() && name == name.lexically_normal() && name.begin() != name.end() &&
                        *name.begin() != "..";
    if (inside && fs::is_regular_file(folder / name)) {
      fs::remove(folder / name);
    }
  }
}

}  // namespace

Listing FindImages(const std::string &dataset_path) {
  Listing listing;
  try {
    listing.folder = dataset_path;
    if (!fs::exists(listing.folder)) {
      throw Error("dataset_path " + dataset_path + " does not exist");
    }
    if (!fs::is_directory(listing.folder)) {
      listing.images.push_back(listing.folder.filename().string());
      listing.folder = listing.folder.parent_path();
      return listing;
    }
    for (const auto &entry : fs::recursive_directory_iterator(listing.folder)) {
      if (entry.is_directory()) {
        continue;
      }
      if (LooksLikeImage(entry.path())) {
        listing.images.push_back(entry.path().lexically_relative(listing.folder).generic_string());
      } else {
        ++listing.ignored;
      }
    }
  } catch (const fs::filesystem_error &error) {
    throw Error("cannot list dataset_path " + dataset_path + ": " + error.what());
  }
  if (listing.images.empty()) {
    throw Error("dataset_path " + dataset_path + " holds no image (.png, .jpg, .jpeg, .bmp)");
  }
  std::sort(listing.images.begin(), listing.images.end());
  return listing;
}

std::vector<std::string> ResultNames(const std::vector<std::string> &images) {
  const std::string suffix = "_0.bin";
  std::vector<std::string> names;
  for (const std::string &image : images) {
    names.push_back(fs::path(image).stem().string() + suffix);
  }
  // A path may again equal the stem of another image ("a.png" and "a.png.jpg"); paths never equal each other.
  for (bool changed = true; changed;) {
    changed = false;
    std::map<std::string, int> uses;
    for (const std::string &name : names) {
      ++uses[name];
    }
    for (size_t i = 0; i < images.size(); ++i) {
      if (uses[names[i]] > 1 && names[i] != images[i] + suffix) {
        names[i] = images[i] + suffix;
        changed = true;
      }
    }
  }
  return names;
}

ResultFolder::ResultFolder(const fs::path &output_path) : folder_(output_path / "result_Files") {
  try {
    fs::create_directories(folder_);
    RemoveOldResults(folder_);
  } catch (const fs::filesystem_error &error) {
    throw Error("cannot prepare " + folder_.string() + ": " + error.what());
  }
  index_.open(folder_ / "index.tsv", std::ios::trunc);
  if (!index_) {
    throw Error("cannot write " + (folder_ / "index.tsv").string());
  }
}

void ResultFolder::Write(const std::string &image, const std::string &name, const std::vector<float> &values) {
  const fs::path path = folder_ / name;
  std::error_code ignored;  // the stream below tells
  fs::create_directories(path.parent_path(), ignored);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char *>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(float)));
  file.close();
  index_ << image << '\t' << name << '\n' << std::flush;
  if (!file || !index_) {
    throw Error("cannot write " + path.string() + "; is the disk full?");
  }
}

void WriteText(const fs::path &path, const std::string &text) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) {
    throw Error("cannot write " + path.string());
  }
}

}  // namespace crnn
