#pragma once

#include <vector>

#include "fuzz_case.h"

// The same case through the C header. Each ends the program with a message where that one answers
// otherwise than the C++ core did.
namespace fuzz {

// The core refused the skeleton or the settings.
void check_c_refusal(const Case &fuzz_case);

// The core refused the maps.
void check_c_refusal(const Case &fuzz_case, const bpnet::Maps &maps);

void check_c_decode(const Case &fuzz_case, const std::vector<bpnet::Maps> &batch,
                    const std::vector<bpnet::Persons> &expected);

}  // namespace fuzz
