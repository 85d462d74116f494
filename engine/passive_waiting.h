// How OpenMP's threads wait.
#pragma once

namespace cnpd::engine {

// OpenMP's threads spin at barriers unless OMP_WAIT_POLICY says otherwise before the library is
// loaded, which makes every step many times slower as soon as another process runs. This starts the
// program again with the setting in its environment, and returns at once where it is there already.
// To be called first in main(), with main's argv.
void wait_passively(char** argv);

}  // namespace cnpd::engine
