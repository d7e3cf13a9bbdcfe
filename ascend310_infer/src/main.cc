// Entry: errors become one line on standard error and exit code 2.
#include <cstdio>
#include <exception>
#include <new>

#include "app.h"
#include "error.h"
#include "options.h"

int main(int count, char **words) {
  try {
    const crnn::Options options = crnn::ParseOptions(count, words);
    if (options.help) {
      std::printf("%s", crnn::kUsage);
      return 0;
    }
    return crnn::RunApp(options);
  } catch (const crnn::Error &error) {
    std::fprintf(stderr, "error: %s\n", error.what());
  } catch (const std::bad_alloc &) {
    std::fprintf(stderr, "error: not enough memory\n");
  } catch (const std::exception &error) {
    std::fprintf(stderr, "error: %s\n", error.what());
  }
  return 2;
}
