// Barriers and fences by their place in the source: which ones were passed, and one that is skipped
// to find out which test fails without it (tests/emulator/delete_barriers.py).
#pragma once

#include <source_location>
#include <string_view>

namespace cnpd::kernels::emulator {

// Threads skip barriers at this place, for example "polarizer/grouping.cu:63"; empty: none. The
// initial value is $CNPD_EMULATOR_LEAVE_OUT. Throws Error if the place has no line number.
void leave_out_barrier(std::string_view place);
bool is_left_out(std::source_location barrier);

// Called once each time that all threads of a block or warp have arrived, and at each fence. At the
// end of the program one line "file:line:kernel" per barrier is appended to the file
// $CNPD_EMULATOR_BARRIERS, if set.
void note_barrier(std::source_location barrier, const char* kernel);

}  // namespace cnpd::kernels::emulator
