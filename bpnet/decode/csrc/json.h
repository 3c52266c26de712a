#pragma once

#include <string>
#include <utility>
#include <vector>

namespace bpnet {

// A value of a JSON document.
struct Json {
    enum class Kind { null, boolean, number, string, array, object };

    Kind kind = Kind::null;
    bool boolean = false;
    double number = 0;
    std::string string;
    std::vector<Json> items;                            // of an array
    std::vector<std::pair<std::string, Json>> members;  // of an object

    // The member of that name, nullptr where there is none or this is no object.
    const Json *find(const std::string &name) const;
};

// The document that `text` is, to the letter of RFC 8259 no more than 64 levels deep and with
// no more than 1000 members an object. Throws
// std::runtime_error with the line of the fault.
Json parse_json(const std::string &text);

}  // namespace bpnet
