// Barriers by their place in the source: which ones were passed, and one that is left out to see
// which test misses it (tests/emulator/delete_barriers.py).
#pragma once

#include <source_location>
#include <string_view>

namespace cnpd::kernels::emulator {

// Threads run through barriers at this place, "pgd/pgd.cu:90", as if they were not there; empty:
// none is left out. Before the first call it is $CNPD_EMULATOR_LEAVE_OUT. Throws Error when the
// place has no line.
void leave_out_barrier(std::string_view place);
bool is_left_out(std::source_location barrier);

// Called once for each time that a block or warp has met. At the end of the program every barrier
// is a line "file:line:kernel" at the end of $CNPD_EMULATOR_BARRIERS, where this is set.
void note_barrier(std::source_location barrier, const char* kernel);

}  // namespace cnpd::kernels::emulator
