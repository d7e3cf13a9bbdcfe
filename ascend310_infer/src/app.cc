// Reads all images of a folder, batch by batch, and writes scores, texts and times.
#include "app.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "ctc.h"
#include "error.h"
#include "files.h"
#include "image.h"
#include "language_model.h"
#include "recogniser.h"
#include "sidecar.h"
#include "word_search.h"

namespace crnn {
namespace {

double Milliseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - since).count();
}

// CPU time of all threads of the program.
double CpuMilliseconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e3 + static_cast<double>(used.tv_nsec) / 1e6;
}

double Median(std::vector<double> times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

std::string Line(const char *format, double value, size_t count) {
  char text[200];
  std::snprintf(text, sizeof(text), format, value, count);
  return text;
}

class App {
 public:
  explicit App(const Options &options)
      : listing_(FindImages(options.dataset_path)),
        facts_(ReadSidecar(options.mindir_path, &note_)),
        model_(options.language_model.empty()
                   ? std::nullopt
                   : std::make_optional<CharacterModel>(options.language_model, facts_.characters)),
        beam_width_(static_cast<size_t>(options.beam_width)),
        recogniser_(options, facts_),
        levels_(GreyLevels(facts_.mean, facts_.scale)),
        names_(ResultNames(listing_.images)),
        results_(options.output_path),
        output_path_(options.output_path),
        image_size_(static_cast<size_t>(recogniser_.height()) * recogniser_.width() * 3),
        batch_(recogniser_.batch() * image_size_) {}

  int Run() {
    if (!note_.empty()) {
      std::fprintf(stderr, "note: %s\n", note_.c_str());
    }
    if (listing_.ignored > 0) {
      std::fprintf(stderr, "note: %zu files without the ending of an image are left alone\n", listing_.ignored);
    }
    for (size_t number = 0; number < listing_.images.size(); ++number) {
      if (Prepare(number)) {
        pending_.push_back(number);
      }
      if (pending_.size() == recogniser_.batch()) {
        ReadPending();
      }
    }
    if (!pending_.empty()) {
      ReadPending();
    }
    WriteTimes();
    return Finish();
  }

 private:
  // Puts an image into the next place of the batch; false where it cannot be read.
  bool Prepare(size_t number) {
    const std::string &name = listing_.images[number];
    const auto start = std::chrono::steady_clock::now();
    try {
      if (name.find_first_of("\t\r\n") != std::string::npos) {
        throw Error("its name holds a tab or a line break");
      }
      const Image image = Resize(DecodeImage(ReadFile((listing_.folder / name).string())), recogniser_.width(),
                                 recogniser_.height());
      ToPlanes(image, levels_, batch_.data() + pending_.size() * image_size_);
    } catch (const Error &error) {
      std::fprintf(stderr, "error: %s: %s\n", (listing_.folder / name).string().c_str(), error.what());
      broken_.push_back(name);
      return false;
    }
    prepare_times_.push_back(Milliseconds(start));
    return true;
  }

  // Runs the network on the images in the batch, and writes and prints what it reads.
  void ReadPending() {
    std::fill(batch_.begin() + static_cast<std::ptrdiff_t>(pending_.size() * image_size_), batch_.end(), 0.0F);
    const auto start = std::chrono::steady_clock::now();
    const double cpu_start = CpuMilliseconds();
    const std::vector<float> logits = recogniser_.Run(batch_);
    run_times_.push_back(Milliseconds(start));
    cpu_times_.push_back(CpuMilliseconds() - cpu_start);
    const size_t classes = recogniser_.classes();
    if (classes != facts_.characters.size() + 1) {
      throw Error("the model gives scores of " + std::to_string(classes) + " classes, but its characters make " +
                  std::to_string(facts_.characters.size() + 1) + " with the blank; export it again");
    }
    std::vector<float> own(recogniser_.steps() * classes);
    for (size_t place = 0; place < pending_.size(); ++place) {
      for (size_t step = 0; step < recogniser_.steps(); ++step) {
        const float *scores = logits.data() + (step * recogniser_.batch() + place) * classes;
        std::copy(scores, scores + classes, own.begin() + static_cast<std::ptrdiff_t>(step * classes));
      }
      const std::string &name = listing_.images[pending_[place]];
      const auto decode_start = CpuMilliseconds();
      const Reading reading = Decode(own);
      decode_times_.push_back(CpuMilliseconds() - decode_start);
      results_.Write(name, names_[pending_[place]], own);
      std::printf("%s\t%s\t%.4f\n", (listing_.folder / name).string().c_str(), reading.text.c_str(),
                  reading.confidence);
    }
    if (std::fflush(stdout) != 0) {
      throw Error("cannot write to standard output");
    }
    pending_.clear();
  }

  Reading Decode(const std::vector<float> &scores) const {
    const size_t steps = recogniser_.steps();
    const size_t classes = recogniser_.classes();
    return model_ ? ReadWithModel(scores.data(), steps, classes, facts_.characters, facts_.temperature, *model_,
                                  beam_width_)
                  : ReadGreedily(scores.data(), steps, classes, facts_.characters, facts_.temperature);
  }

  void WriteTimes() {
    if (run_times_.empty()) {
      return;
    }
    const auto mean = [](const std::vector<double> &times) {
      double sum = 0;
      for (const double time : times) {
        sum += time;
      }
      return sum / static_cast<double>(times.size());
    };
    const size_t calls = run_times_.size();
    std::string text = Line("NN inference cost average time: %.3f ms of infer_count %zu\n", mean(run_times_), calls);
    text += Line("NN inference cost median time: %.3f ms at batch size %zu\n", Median(run_times_), recogniser_.batch());
    text += Line("NN inference cost median CPU time: %.3f ms at batch size %zu\n", Median(cpu_times_),
                 recogniser_.batch());
    text += Line("decoding average CPU time: %.3f ms of images %zu\n", mean(decode_times_), decode_times_.size());
    text += Line("preprocess cost average time: %.3f ms of images %zu\n", mean(prepare_times_), prepare_times_.size());
    WriteText(output_path_ + "/time_Result/test_perform_static.txt", text);
    std::fprintf(stderr, "%s", text.c_str());
  }

  int Finish() const {
    if (broken_.empty()) {
      return 0;
    }
    std::fprintf(stderr, "%zu of %zu images could not be read:\n", broken_.size(), listing_.images.size());
    for (const std::string &name : broken_) {
      std::fprintf(stderr, "  %s\n", name.c_str());
    }
    return 1;
  }

  std::string note_;
  Listing listing_;
  ModelFacts facts_;
  std::optional<CharacterModel> model_;
  size_t beam_width_;
  Recogniser recogniser_;
  std::vector<float> levels_;
  std::vector<std::string> names_;
  ResultFolder results_;
  std::string output_path_;
  size_t image_size_;
  std::vector<float> batch_;
  std::vector<size_t> pending_;  // images in the batch
  std::vector<std::string> broken_;
  std::vector<double> prepare_times_;
  std::vector<double> run_times_;
  std::vector<double> cpu_times_;
  std::vector<double> decode_times_;
};

}  // namespace

int RunApp(const Options &options) { return App(options).Run(); }

}  // namespace crnn
