#pragma once

#include "fuzz_case.h"

namespace fuzz {

// Ends the program with a message unless something holds.
void require(bool holds, const char *what);

// Ends the program with a message where the people of an image break a promise of the decoder.
void check_people(const Case &fuzz_case, const Image &image, const bpnet::Persons &persons);

// Ends the program with a message where a decode kept or joined more than the settings allow.
void check_bounds(const Case &fuzz_case, const bpnet::Workspace &workspace);

// Ends the program with a message where two results differ in a byte.
void check_same(const bpnet::Persons &one, const bpnet::Persons &other, const char *what);

}  // namespace fuzz
