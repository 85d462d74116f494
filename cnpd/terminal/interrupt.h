// Ctrl-C and SIGTERM: the run writes a checkpoint and stops at its next step.
#pragma once

namespace cnpd {

// From here SIGINT and SIGTERM only set a flag and say so on stderr. The second one ends the
// process at once, as it would have without this.
void install_interrupt_handler();

// Whether the signal has come.
bool interrupted();

// Throws Interrupted when it has.
void throw_if_interrupted();

}  // namespace cnpd
