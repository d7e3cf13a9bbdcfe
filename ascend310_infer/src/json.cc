// JSON as RFC 8259 has it.
#include "json.h"

#include <cstdint>
#include <cstdlib>

#include "error.h"

namespace crnn {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxName = 1000;  // of what holds others: their names repeat it

class Parser {
 public:
  explicit Parser(const std::string &text) : text_(text) {}

  std::map<std::string, std::string> Object() {
    std::map<std::string, std::string> entries;
    Space();
    Members(0, "", &entries);
    Space();
    if (position_ != text_.size()) {
      Fail("something follows the object");
    }
    return entries;
  }

 private:
  [[noreturn]] void Fail(const std::string &what) const {
    throw Error("not a JSON object: " + what + " at byte " + std::to_string(position_));
  }
  char Peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }
  void Space() {
    while (position_ < text_.size() && std::string(" \t\r\n").find(text_[position_]) != std::string::npos) {
      ++position_;
    }
  }
  void Expect(char wanted) {
    if (Peek() != wanted || position_ >= text_.size()) {
      Fail(std::string("expected ") + wanted);
    }
    ++position_;
  }

  // `entries` takes the scalars; `outer` begins their names.
  void Members(int depth, const std::string &outer, std::map<std::string, std::string> *entries) {
    Expect('{');
    Space();
    if (Peek() == '}') {
      ++position_;
      return;
    }
    while (true) {
      Space();
      const std::string name = outer + String();
      Space();
      Expect(':');
      Value(depth, name, entries);
      Space();
      if (Peek() == '}') {
        ++position_;
        return;
      }
      Expect(',');
    }
  }

  void Elements(int depth, const std::string &outer, std::map<std::string, std::string> *entries) {
    Expect('[');
    Space();
    if (Peek() == ']') {
      ++position_;
      return;
    }
    for (size_t number = 0;; ++number) {
      Value(depth, outer + std::to_string(number), entries);
      Space();
      if (Peek() == ']') {
        ++position_;
        return;
      }
      Expect(',');
    }
  }

  void Value(int depth, const std::string &name, std::map<std::string, std::string> *entries) {
    if (depth > kMaxDepth || (depth > 0 && name.size() > kMaxName)) {
      Fail("nested too deep");
    }
    Space();
    const char start = Peek();
    if (start == '{') {
      Members(depth + 1, name + ".", entries);
      return;
    }
    if (start == '[') {
      Elements(depth + 1, name + ".", entries);
      return;
    }
    if (start == '"') {
      (*entries)[name] = String();
      return;
    }
    const size_t end = text_.find_first_of(" \t\r\n,]}", position_);
    const std::string value = text_.substr(position_, end == std::string::npos ? end : end - position_);
    char *rest = nullptr;
    std::strtod(value.c_str(), &rest);
    const bool number = !value.empty() && *rest == '\0' && value.find_first_of("0123456789") <= 1;
    if (!number && value != "true" && value != "false" && value != "null") {
      Fail("no value");
    }
    position_ += value.size();
    (*entries)[name] = value;
  }

  std::string String() {
    Expect('"');
    std::string result;
    while (true) {
      if (position_ >= text_.size()) {
        Fail("a string without end");
      }
      const char c = text_[position_++];
      if (c == '"') {
        return result;
      }
      if (static_cast<unsigned char>(c) < 0x20) {
        Fail("a control character in a string");
      }
      if (c == '\\') {
        Escape(&result);
      } else {
        result += c;
      }
    }
  }

  void Escape(std::string *result) {
    static const std::string kFrom = "\"\\/bfnrt";
    static const std::string kTo = "\"\\/\b\f\n\r\t";
    const char c = Peek();
    ++position_;
    if (c != 'u') {
      const size_t found = c == '\0' ? std::string::npos : kFrom.find(c);
      if (found == std::string::npos) {
        Fail("an unknown escape");
      }
      *result += kTo[found];
      return;
    }
    uint32_t code = Hex();
    if (code >= 0xd800 && code < 0xdc00) {  // first half of a surrogate pair
      Expect('\\');
      Expect('u');
      const uint32_t low = Hex();
      if (low < 0xdc00 || low > 0xdfff) {
        Fail("half a surrogate pair");
      }
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
      Fail("half a surrogate pair");
    }
    const auto byte = [result](uint32_t value) { *result += static_cast<char>(value); };
    if (code < 0x80) {
      byte(code);
    } else if (code < 0x800) {
      byte(0xc0 | code >> 6);
      byte(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
      byte(0xe0 | code >> 12);
      byte(0x80 | (code >> 6 & 0x3f));
      byte(0x80 | (code & 0x3f));
    } else {
      byte(0xf0 | code >> 18);
      byte(0x80 | (code >> 12 & 0x3f));
      byte(0x80 | (code >> 6 & 0x3f));
      byte(0x80 | (code & 0x3f));
    }
  }

  uint32_t Hex() {
    uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = Peek();
      const std::string digits = "0123456789abcdef";
      const size_t digit = c == '\0' ? std::string::npos : digits.find(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
      if (digit == std::string::npos) {
        Fail("a broken escape");
      }
      code = code * 16 + static_cast<uint32_t>(digit);
      ++position_;
    }
    return code;
  }

  const std::string &text_;
  size_t position_ = 0;
};

}  // namespace

std::map<std::string, std::string> ReadJsonObject(const std::string &text) { return Parser(text).Object(); }

std::vector<std::string> SplitUtf8(const std::string &text) {
  std::vector<std::string> characters;
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const size_t size = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    bool whole = size > 0 && size <= text.size() - i;
    for (size_t k = 1; whole && k < size; ++k) {
      whole = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
    }
    if (!whole) {
      throw Error("text that is not UTF-8");
    }
    characters.push_back(text.substr(i, size));
    i += size;
  }
  return characters;
}

}  // namespace crnn
