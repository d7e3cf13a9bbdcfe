// What the program does from start to end.
#ifndef CRNN_APP_H_
#define CRNN_APP_H_

#include "options.h"

namespace crnn {

// Reads all images and returns the exit code: 0, or 1 where some could not be read. Throws Error.
int RunApp(const Options &options);

}  // namespace crnn

#endif  // CRNN_APP_H_
