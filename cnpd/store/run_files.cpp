#include "cnpd/store/run_files.h"

#include "cnpd/store/run_directory.h"

namespace cnpd::store {

std::filesystem::path RunFiles::in(std::string_view name) const {
    return run_file(run_, name);
}

bool RunFiles::has(std::string_view name) const {
    return std::filesystem::exists(in(name));
}

}  // namespace cnpd::store
