// In place of what downloads in this folder, and of hub/http, where libcurl or OpenSSL is missing.
#include "hub/net/pull.h"

namespace bezel::hub {

Result<Pulled> pull(const Places&, const PullWish&, const PullOptions&, const PullTuning&) {
  return Error{Errc::Unsupported,
               "this Bezel was built without downloads (libcurl and OpenSSL were not there); fetch "
               "the file with another tool, models in its folder are found",
               ""};
}

}  // namespace bezel::hub
