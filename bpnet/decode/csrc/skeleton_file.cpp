#include "skeleton_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "json.h"

namespace bpnet {
namespace {

// Far above any skeleton: no file takes long or much memory.
constexpr std::size_t LARGEST_FILE = 1U << 20U;  // bytes
constexpr std::size_t MOST_KEYPOINTS = 4096;
constexpr std::size_t MOST_LIMBS = 4096;

[[noreturn]] void fail(const std::string &what) {
    throw std::runtime_error(what);
}

std::string read_text(const std::string &path) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE *)> file(std::fopen(path.c_str(), "rb"),
                                                                &std::fclose);
    if (file == nullptr) fail(std::string("cannot be opened: ") + std::strerror(errno));
    std::string text;
    char block[4096];
    while (const std::size_t count = std::fread(block, 1, sizeof block, file.get())) {
        text.append(block, count);
        if (text.size() > LARGEST_FILE) fail("is larger than 1 MiB, so it is no skeleton file");
    }
    if (std::ferror(file.get()) != 0) fail("cannot be read");
    return text;
}

// The list of that name; empty where there is none.
const std::vector<Json> &list_of(const Json &category, const std::string &name) {
    static const std::vector<Json> NOTHING;
    const Json *found = category.find(name);
    if (found == nullptr) return NOTHING;
    if (found->kind != Json::Kind::array) fail("categories[0]." + name + ": expected a list");
    return found->items;
}

std::vector<std::string> read_keypoints(const Json &category) {
    std::vector<std::string> names;
    for (const Json &name : list_of(category, "keypoints")) {
        if (name.kind != Json::Kind::string) fail("categories[0].keypoints: expected names");
        if (std::find(names.begin(), names.end(), name.string) != names.end()) {
            fail("categories[0].keypoints: " + name.string + " stands twice");
        }
        if (names.size() == MOST_KEYPOINTS) fail("categories[0].keypoints: more than 4096 names");
        names.push_back(name.string);
    }
    if (names.empty()) fail("categories[0].keypoints: expected at least one name");
    const Json *count = category.find("num_joints");
    if (count != nullptr && count->kind != Json::Kind::null &&
        !(count->kind == Json::Kind::number &&
          count->number == static_cast<double>(names.size()))) {
        fail("categories[0].num_joints: expected " + std::to_string(names.size()) +
             ", the number of keypoints");
    }
    return names;
}

std::size_t by_number(const Json &said, const std::vector<std::string> &names,
                      const std::string &where) {
    for (std::size_t number = 1; number <= names.size(); ++number) {
        if (said.kind == Json::Kind::number && said.number == static_cast<double>(number)) {
            return number - 1;
        }
    }
    fail(where + ": expected two keypoint numbers from 1 to " + std::to_string(names.size()));
}

std::size_t by_name(const Json &said, const std::vector<std::string> &names,
                    const std::string &where) {
    const auto found = std::find(names.begin(), names.end(), said.string);
    if (said.kind != Json::Kind::string || found == names.end()) {
        fail(where + ": expected two of the keypoints' names");
    }
    return static_cast<std::size_t>(found - names.begin());
}

template <typename Find>
std::vector<Limb> read_pairs(const Json &category, const std::string &key,
                             const std::vector<std::string> &names, const Find &find) {
    std::vector<Limb> limbs;
    for (const Json &pair : list_of(category, key)) {
        const std::string where = "categories[0]." + key + "[" + std::to_string(limbs.size()) + "]";
        if (pair.items.size() != 2) fail(where + ": expected a pair");
        if (limbs.size() == MOST_LIMBS) fail("categories[0]." + key + ": more than 4096 limbs");
        limbs.push_back({find(pair.items[0], names, where), find(pair.items[1], names, where)});
    }
    return limbs;
}

bool joins(const Limb &limb, std::size_t start, std::size_t end) {
    return limb.start == start && limb.end == end;
}

std::vector<Limb> read_limbs(const Json &category, const std::vector<std::string> &names) {
    const std::vector<Limb> numbered = read_pairs(category, "skeleton", names, by_number);
    const std::vector<Limb> named = read_pairs(category, "skeleton_edge_names", names, by_name);
    if (!numbered.empty() && !named.empty() &&
        !std::equal(numbered.begin(), numbered.end(), named.begin(), named.end(),
                    [](const Limb &a, const Limb &b) { return joins(a, b.start, b.end); })) {
        fail("categories[0].skeleton_edge_names: expected the limbs of skeleton");
    }
    const std::vector<Limb> &limbs = numbered.empty() ? named : numbered;
    if (limbs.empty()) fail("categories[0].skeleton: expected at least one limb");
    for (std::size_t i = 0; i < limbs.size(); ++i) {
        const Limb &limb = limbs[i];
        const std::string where = "categories[0].skeleton[" + std::to_string(i) + "]: ";
        if (limb.start == limb.end) fail(where + names[limb.start] + " is linked to itself");
        for (std::size_t j = 0; j < i; ++j) {
            if (joins(limbs[j], limb.start, limb.end) || joins(limbs[j], limb.end, limb.start)) {
                fail(where + names[limb.start] + ", " + names[limb.end] + " stands twice");
            }
        }
    }
    return limbs;
}

}  // namespace

SkeletonFile parse_skeleton(const std::string &text) {
    const Json document = parse_json(text);
    const Json *categories = document.find("categories");
    if (categories == nullptr || categories->items.size() != 1) fail("categories: expected one");
    SkeletonFile skeleton;
    skeleton.keypoints = read_keypoints(categories->items[0]);
    skeleton.limbs = read_limbs(categories->items[0], skeleton.keypoints);
    return skeleton;
}

SkeletonFile read_skeleton_file(const std::string &path) {
    try {
        return parse_skeleton(read_text(path));
    } catch (const std::runtime_error &error) {
        fail(path + ": " + error.what());
    }
}

}  // namespace bpnet
