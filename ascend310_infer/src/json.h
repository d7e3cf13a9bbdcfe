// A small reader of JSON objects.
#ifndef CRNN_JSON_H_
#define CRNN_JSON_H_

#include <map>
#include <string>
#include <vector>

namespace crnn {

// The entries of a JSON object: strings with their escapes resolved (UTF-8), numbers and literals as they are written.
// Those of inner objects and arrays are named outer.inner, elements by their number: "use.weight", "contexts.0".
// Throws Error where the text is not a JSON object.
std::map<std::string, std::string> ReadJsonObject(const std::string &text);

// Splits UTF-8 into characters; throws Error where it is none.
std::vector<std::string> SplitUtf8(const std::string &text);

}  // namespace crnn

#endif  // CRNN_JSON_H_
