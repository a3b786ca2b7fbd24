// No exception may cross into Rust.
#pragma once

#include <cstring>
#include <exception>

namespace lcsl {

/// Does `work`. Null when all went well, else what an exception said, as a C string to be released with
/// `lcsl_release_message`.
template <typename Work>
char* guarded(Work work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an exception of unknown type");
  }
}

}  // namespace lcsl
