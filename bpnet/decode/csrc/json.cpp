#include "json.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace bpnet {
namespace {

constexpr int DEEPEST = 64;                 // levels; so that no document exhausts the stack
constexpr std::size_t MOST_MEMBERS = 1000;  // of an object; each is compared with all before it

class Parser {
  public:
    explicit Parser(const std::string &text) : text_(text) {}

    Json document() {
        Json value = read_value(0);
        skip_space();
        if (place_ != text_.size()) fail("expected nothing after the document");
        return value;
    }

  private:
    [[noreturn]] void fail(const std::string &what) const {
        const auto end = text_.begin() + static_cast<std::ptrdiff_t>(place_);
        const auto line = 1 + std::count(text_.begin(), end, '\n');
        throw std::runtime_error("line " + std::to_string(line) + ": " + what);
    }

    char peek() const { return place_ < text_.size() ? text_[place_] : '\0'; }

    bool is_digit() const { return peek() >= '0' && peek() <= '9'; }

    void skip_space() {
        while (place_ < text_.size() && std::strchr(" \t\r\n", text_[place_]) != nullptr &&
               text_[place_] != '\0') {
            ++place_;
        }
    }

    bool skip(char wanted) {
        if (peek() != wanted || place_ == text_.size()) return false;
        ++place_;
        return true;
    }

    Json read_value(int depth) {
        if (depth > DEEPEST) fail("lists and objects are nested too deep");
        skip_space();
        switch (peek()) {
            case '{':
                return read_object(depth);
            case '[':
                return read_array(depth);
            case '"': {
                Json value;
                value.kind = Json::Kind::string;
                value.string = read_string();
                return value;
            }
            case 't':
                return read_word("true", Json::Kind::boolean, true);
            case 'f':
                return read_word("false", Json::Kind::boolean, false);
            case 'n':
                return read_word("null", Json::Kind::null, false);
            default:
                return read_number();
        }
    }

    Json read_word(const char *word, Json::Kind kind, bool boolean) {
        const std::size_t length = std::strlen(word);
        if (text_.compare(place_, length, word) != 0) fail("expected a JSON value");
        place_ += length;
        Json value;
        value.kind = kind;
        value.boolean = boolean;
        return value;
    }

    Json read_number() {
        const std::size_t begin = place_;
        skip('-');
        if (!skip('0')) read_digits("expected a JSON value");
        if (skip('.')) read_digits("expected a digit after the point");
        if (skip('e') || skip('E')) {
            if (!skip('+')) skip('-');
            read_digits("expected a digit in the exponent");
        }
        Json value;
        value.kind = Json::Kind::number;
        const char *end = text_.c_str() + place_;
        value.number = to_number(text_.c_str() + begin, end);
        return value;
    }

    // Not strtod: it looks for the locale's decimal point.
    static double to_number(const char *begin, const char *end) {
        std::istringstream stream(std::string(begin, end));
        stream.imbue(std::locale::classic());
        double number = 0;
        stream >> number;  // the largest number there is, where it is beyond
        return number;
    }

    void read_digits(const char *otherwise) {
        if (!is_digit()) fail(otherwise);
        while (is_digit()) ++place_;
    }

    std::string read_string() {
        skip('"');
        std::string result;
        while (!skip('"')) {
            if (place_ == text_.size()) fail("a string has no end");
            const char letter = text_[place_++];
            if (static_cast<unsigned char>(letter) < 0x20) fail("a control character in a string");
            if (letter == '\\') {
                read_escape(result);
            } else {
                result += letter;
            }
        }
        return result;
    }

    void read_escape(std::string &result) {
        const char letter = peek();
        if (letter == 'u') {
            ++place_;
            append_utf8(read_code_point(), result);
            return;
        }
        static const char NAMES[] = "\"\\/bfnrt";
        static const char MEANINGS[] = "\"\\/\b\f\n\r\t";
        const char *found = letter == '\0' ? nullptr : std::strchr(NAMES, letter);
        if (found == nullptr) fail("an unknown escape in a string");
        result += MEANINGS[found - NAMES];
        ++place_;
    }

    std::uint32_t read_code_point() {
        const std::uint32_t first = read_hex();
        if (first >= 0xDC00 && first < 0xE000) fail("half of a surrogate pair in a string");
        if (first < 0xD800 || first >= 0xE000) return first;
        if (!skip('\\') || !skip('u')) fail("half of a surrogate pair in a string");
        const std::uint32_t second = read_hex();
        if (second < 0xDC00 || second >= 0xE000) fail("half of a surrogate pair in a string");
        return 0x10000 + ((first - 0xD800) << 10U) + (second - 0xDC00);
    }

    std::uint32_t read_hex() {
        std::uint32_t value = 0;
        for (int i = 0; i < 4; ++i) {
            static const char DIGITS[] = "0123456789abcdef0123456789ABCDEF";
            const char *found = peek() == '\0' ? nullptr : std::strchr(DIGITS, peek());
            if (found == nullptr) fail("expected four hexadecimal digits after \\u");
            value = value * 16 + static_cast<std::uint32_t>(found - DIGITS) % 16;
            ++place_;
        }
        return value;
    }

    static void append_utf8(std::uint32_t point, std::string &result) {
        auto append = [&](std::uint32_t byte) { result += static_cast<char>(byte); };
        if (point < 0x80) {
            append(point);
        } else if (point < 0x800) {
            append(0xC0 | point >> 6U);
            append(0x80 | (point & 0x3F));
        } else {
            if (point < 0x10000) {
                append(0xE0 | point >> 12U);
            } else {
                append(0xF0 | point >> 18U);
                append(0x80 | (point >> 12U & 0x3F));
            }
            append(0x80 | (point >> 6U & 0x3F));
            append(0x80 | (point & 0x3F));
        }
    }

    Json read_array(int depth) {
        skip('[');
        Json array;
        array.kind = Json::Kind::array;
        skip_space();
        if (skip(']')) return array;
        do {
            array.items.push_back(read_value(depth + 1));
            skip_space();
        } while (skip(','));
        if (!skip(']')) fail("expected , or ] in a list");
        return array;
    }

    Json read_object(int depth) {
        skip('{');
        Json object;
        object.kind = Json::Kind::object;
        skip_space();
        if (skip('}')) return object;
        do {
            skip_space();
            if (peek() != '"') fail("expected a name in quotes in an object");
            std::string name = read_string();
            if (object.find(name) != nullptr) fail(name + " stands twice");
            if (object.members.size() == MOST_MEMBERS) fail("more than 1000 names in an object");
            skip_space();
            if (!skip(':')) fail("expected : after " + name);
            object.members.emplace_back(std::move(name), read_value(depth + 1));
            skip_space();
        } while (skip(','));
        if (!skip('}')) fail("expected , or } in an object");
        return object;
    }

    const std::string &text_;
    std::size_t place_ = 0;
};

}  // namespace

const Json *Json::find(const std::string &name) const {
    for (const auto &[key, value] : members) {
        if (key == name) return &value;
    }
    return nullptr;
}

Json parse_json(const std::string &text) {
    return Parser(text).document();
}

}  // namespace bpnet
