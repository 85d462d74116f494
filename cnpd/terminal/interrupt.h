// Ctrl-C and SIGTERM: the run writes a checkpoint and stops after the current step.
#pragma once

namespace cnpd {

// Makes SIGINT and SIGTERM set a flag and print a message on stderr. A second signal ends the
// process immediately.
void install_interrupt_handler();

// True after a signal.
bool interrupted();

// Throws Interrupted after a signal.
void throw_if_interrupted();

}  // namespace cnpd
