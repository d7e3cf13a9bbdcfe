// mindspore::Model, in the calls that MindSpore Lite and the Ascend runtime have in common.
#include "recogniser.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>

#include "error.h"
#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/serialization.h"
#include "include/api/types.h"

namespace crnn {
namespace {

namespace ms = mindspore;

// A damaged model can make the runtime crash. While it works, a crash becomes a message and exit code 2. The address
// sanitizer has handlers of its own, which tell more.
class CrashMessage {
 public:
#ifndef __SANITIZE_ADDRESS__
  explicit CrashMessage(const char *message) {
    message_ = message;
    for (size_t i = 0; i < kCount; ++i) {
      old_[i] = std::signal(kSignals[i], Tell);
    }
  }
  ~CrashMessage() {
    for (size_t i = 0; i < kCount; ++i) {
      std::signal(kSignals[i], old_[i]);
    }
  }

 private:
  static void Tell(int) {
    // Only calls that are safe in a signal handler.
    const bool told = write(STDERR_FILENO, message_, std::strlen(message_)) >= 0;
    _exit(told ? 2 : 3);
  }

  static constexpr size_t kCount = 5;
  static constexpr int kSignals[kCount] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
  static inline const char *message_ = "";
  void (*old_[kCount])(int) = {};
#else
  explicit CrashMessage(const char *) {}
#endif
};

// A call is a chain of hundreds of short operators, in which many threads would wait more than they compute.
constexpr int kMostThreads = 4;

// Cores that this process may use.
int AvailableCores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? std::max(1, CPU_COUNT(&cores)) : 1;
}

std::shared_ptr<ms::Context> MakeContext(const Options &options) {
  auto context = std::make_shared<ms::Context>();
  const auto id = static_cast<uint32_t>(options.device_id);
  if (options.device_type == "CPU") {
    context->SetThreadNum(options.threads > 0 ? options.threads : std::min(AvailableCores(), kMostThreads));
    auto device = std::make_shared<ms::CPUDeviceInfo>();
    context->MutableDeviceInfo().push_back(device);
  } else if (options.device_type == "GPU") {
    auto device = std::make_shared<ms::GPUDeviceInfo>();
    device->SetDeviceID(id);
    context->MutableDeviceInfo().push_back(device);
  } else if (options.device_type.rfind("Ascend", 0) == 0) {
    auto device = std::make_shared<ms::AscendDeviceInfo>();
    device->SetDeviceID(id);
    context->MutableDeviceInfo().push_back(device);
  } else {
    throw Error("device_type '" + options.device_type + "' is not known; choose Ascend310, Ascend, GPU or CPU");
  }
  return context;
}

std::string Why(const ms::Status &status) {
  std::string text = status.ToString();
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
    text.pop_back();
  }
  return text.empty() ? "no reason given" : text;
}

// Lite builds from a path only, the Ascend runtime from a loaded graph only.
std::unique_ptr<ms::Model> Build(const std::string &path, const std::shared_ptr<ms::Context> &context) {
  auto model = std::make_unique<ms::Model>();
  const ms::Status direct = model->Build(path, ms::kMindIR, context);
  if (direct == ms::kSuccess) {
    return model;
  }
  ms::Graph graph;
  ms::Status loaded = ms::Serialization::Load(path, ms::kMindIR, &graph);
  if (loaded == ms::kSuccess) {
    model = std::make_unique<ms::Model>();
    loaded = model->Build(ms::GraphCell(graph), context);
    if (loaded == ms::kSuccess) {
      return model;
    }
  }
  throw Error("the runtime cannot build the model " + path + " (" + Why(direct) + "; " + Why(loaded) +
              "); is it a complete MINDIR, and made for this device and runtime? For MindSpore Lite make it with "
              "tools/mindir_for_lite.py");
}

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 0x1f;
  const uint32_t fraction = half & 0x3ff;
  uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
  if (exponent == 0) {
    const float tiny = static_cast<float>(fraction) / (1 << 24);
    return sign != 0 ? -tiny : tiny;
  }
  if (exponent == 0x1f) {
    bits = sign | 0x7f800000 | fraction << 13;
  }
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

std::string Text(const std::vector<int64_t> &shape) {
  std::string text = "(";
  for (const int64_t size : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  }
  return text + ")";
}

}  // namespace

struct Recogniser::Impl {
  std::unique_ptr<ms::Model> model;
  std::vector<ms::MSTensor> inputs;
  std::vector<int64_t> shape;  // batch, 3, height, width
  size_t steps = 0;
  size_t classes = 0;
};

Recogniser::Recogniser(const Options &options, const ModelFacts &facts) : impl_(std::make_unique<Impl>()) {
  const std::string &path = options.mindir_path;
  if (!std::filesystem::is_regular_file(path)) {
    throw Error("mindir_path " + path + (std::filesystem::exists(path) ? " is not a file" : " does not exist"));
  }
  const auto context = MakeContext(options);
  const CrashMessage crash("error: the runtime crashed while it loaded the model; is the file damaged?\n");
  try {
    impl_->model = Build(path, context);
    impl_->inputs = impl_->model->GetInputs();
  } catch (const std::bad_alloc &) {
    throw Error("not enough memory to load the model " + path + ", or it is damaged");
  }
  if (impl_->inputs.size() != 1 || impl_->inputs[0].DataType() != ms::DataType::kNumberTypeFloat32) {
    throw Error("the model " + path + " has " + std::to_string(impl_->inputs.size()) +
                " inputs; a CRNN has one, of float32");
  }
  const std::vector<int64_t> given = impl_->inputs[0].Shape();
  if (given.size() != 4 || given[1] != 3) {
    throw Error("the model " + path + " has an input of shape " + Text(given) +
                "; a CRNN takes (batch, 3, height, width)");
  }
  std::vector<int64_t> wanted = {options.batch_size, 3, facts.height, facts.width};
  for (size_t i = 0; i < 4; ++i) {
    const bool is_free = given[i] < 1;
    if (wanted[i] == 0) {
      wanted[i] = is_free ? (i == 0 ? 1 : i == 2 ? 32 : 100) : given[i];
    } else if (!is_free && wanted[i] != given[i]) {
      throw Error("the model " + path + " takes images (batch, channels, height, width) of shape " + Text(given) +
                  ", not " + (i == 0 ? "batch_size " + std::to_string(wanted[0]) : Text(wanted)) +
                  (i == 0 ? "; leave --batch_size out" : " as its JSON file says; export it again"));
    }
  }
  if (wanted != given) {
    const ms::Status resized = impl_->model->Resize(impl_->inputs, {wanted});
    if (resized != ms::kSuccess) {
      throw Error("the runtime cannot set the input of " + path + " to " + Text(wanted) + " (" + Why(resized) +
                  "); export the model with a fixed size");
    }
    impl_->inputs = impl_->model->GetInputs();
  }
  impl_->shape = wanted;
}

Recogniser::~Recogniser() = default;

size_t Recogniser::batch() const { return static_cast<size_t>(impl_->shape[0]); }
int Recogniser::height() const { return static_cast<int>(impl_->shape[2]); }
int Recogniser::width() const { return static_cast<int>(impl_->shape[3]); }
size_t Recogniser::steps() const { return impl_->steps; }
size_t Recogniser::classes() const { return impl_->classes; }

std::vector<float> Recogniser::Run(const std::vector<float> &images) {
  const CrashMessage crash("error: the runtime crashed while it ran the model; is the file damaged?\n");
  ms::MSTensor &input = impl_->inputs[0];
  const size_t bytes = images.size() * sizeof(float);
  if (input.DataSize() != bytes) {
    throw Error("the input of the model has " + std::to_string(input.DataSize()) + " bytes instead of " +
                std::to_string(bytes));
  }
  void *target = input.MutableData();
  if (target == nullptr) {
    throw Error("the runtime gives no memory for the images");
  }
  std::memcpy(target, images.data(), bytes);
  std::vector<ms::MSTensor> outputs;
  const ms::Status status = impl_->model->Predict(impl_->inputs, &outputs);
  if (status != ms::kSuccess) {
    throw Error("the runtime cannot run the model (" + Why(status) + ")");
  }
  if (outputs.size() != 1) {
    throw Error("the model gives " + std::to_string(outputs.size()) + " outputs; a CRNN gives one");
  }
  const std::vector<int64_t> shape = outputs[0].Shape();
  if (shape.size() != 3 || shape[0] < 1 || shape[1] != impl_->shape[0] || shape[2] < 2) {
    throw Error("the model gives scores of shape " + Text(shape) + "; a CRNN gives (steps, " + std::to_string(batch()) +
                ", classes)");
  }
  impl_->steps = static_cast<size_t>(shape[0]);
  impl_->classes = static_cast<size_t>(shape[2]);
  const size_t count = impl_->steps * batch() * impl_->classes;
  const auto data = outputs[0].Data();
  const bool half = outputs[0].DataType() == ms::DataType::kNumberTypeFloat16;
  if (!half && outputs[0].DataType() != ms::DataType::kNumberTypeFloat32) {
    throw Error("the model gives scores that are neither float32 nor float16");
  }
  if (data == nullptr || outputs[0].DataSize() != count * (half ? 2 : 4)) {
    throw Error("the runtime gives scores of a wrong size");
  }
  std::vector<float> logits(count);
  if (half) {
    const auto *source = static_cast<const uint16_t *>(data.get());
    std::transform(source, source + count, logits.begin(), HalfToFloat);
  } else {
    std::memcpy(logits.data(), data.get(), count * sizeof(float));
  }
  return logits;
}

}  // namespace crnn
