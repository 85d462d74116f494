// Makes OpenMP's threads wait passively.
#pragma once

namespace cnpd::engine {

// OpenMP's threads spin at barriers unless OMP_WAIT_POLICY is set before the library is loaded.
// Spinning makes every step many times slower as soon as another process runs. This function
// restarts the program with the setting in its environment, and returns at once if it is already
// set. Call it first in main(), with main's argv.
void wait_passively(char** argv);

}  // namespace cnpd::engine
