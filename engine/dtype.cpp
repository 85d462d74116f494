#include "engine/dtype.h"

#include "kernels/common/error.h"

namespace cnpd::engine {

std::size_t size_of(DType dtype) {
    switch (dtype) {
        case DType::float32:
            return 4;
        case DType::bfloat16:
            return 2;
        case DType::uint8:
            return 1;
        case DType::int32:
            return 4;
        case DType::int64:
            return 8;
        case DType::float64:
            return 8;
    }
    throw Error("unknown element type");
}

std::string_view name_of(DType dtype) {
    switch (dtype) {
        case DType::float32:
            return "float32";
        case DType::bfloat16:
            return "bfloat16";
        case DType::uint8:
            return "uint8";
        case DType::int32:
            return "int32";
        case DType::int64:
            return "int64";
        case DType::float64:
            return "float64";
    }
    throw Error("unknown element type");
}

}  // namespace cnpd::engine
