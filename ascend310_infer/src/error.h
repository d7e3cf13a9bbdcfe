// The one exception of this program: a sentence for the user.
#ifndef CRNN_ERROR_H_
#define CRNN_ERROR_H_

#include <stdexcept>
#include <string>

namespace crnn {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace crnn

#endif  // CRNN_ERROR_H_
