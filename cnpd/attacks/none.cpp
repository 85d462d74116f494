#include "cnpd/attacks/attack.h"

namespace cnpd::attacks {
namespace {

class None : public Attack {
  public:
    using Attack::Attack;
    std::string_view name() const override { return "none"; }
    bool plants_backdoor() const override { return false; }
};

}  // namespace

std::unique_ptr<Attack> make_none(const AttackOptions& options, const AttackedData& data) {
    return std::make_unique<None>(options, data);
}

}  // namespace cnpd::attacks
