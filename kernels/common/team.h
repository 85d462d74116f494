// The threads that share the loops of parallel.h: the caller and sleeping helpers, which it does
// not wait for.
//
// A network of small layers runs a loop every 20 us, and waking a thread takes 5 to 50 us. OpenMP's
// threads either sleep between two loops and are late for each of them, or spin at its barriers and
// occupy a core that another program needs. Here a helper spins for at most kSpin after its last
// loop, and a loop never waits for a helper that has not come: the caller computes whatever is
// left, and waits only for pieces that a helper has begun.
#pragma once

#include <cstdint>
#include <type_traits>

namespace cnpd::kernels {

// Whether the calling thread is computing a piece that it shares with others. Loops in it run on
// this thread alone.
bool in_team();

namespace team {
using Body = void (*)(const void* body, std::int64_t piece, int thread);
void run(std::int64_t pieces, int threads, Body call, const void* body);
}  // namespace team

// Calls body(piece, thread) once for each piece in [0, pieces), on up to `threads` threads, which
// are numbered from 0; the caller is 0. Thread t begins with the pieces of the t-th part of the
// range, in order, so that in a sequence of equal loops it finds its data in its cache. Which
// thread computes a piece differs between calls. The body must not throw. On a thread of a team, or
// while another thread uses the helpers, the caller computes all pieces.
template <class Call>
void run_pieces(std::int64_t pieces, int threads, const Call& body) {
    team::run(
        pieces, threads,
        [](const void* call, std::int64_t piece, int thread) {
            (*static_cast<const Call*>(call))(piece, thread);
        },
        &body);
}

}  // namespace cnpd::kernels
