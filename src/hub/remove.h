// Takes models that Bezel pulled off the disk.
#pragma once
#include <vector>

#include "hub/find/find.h"

namespace bezel::hub {

// The files of `model`, which is one of `all` and ours. In the Hugging Face cache only links to
// contents that Bezel pulled go (of the same file in other revisions, too), and the contents where
// nothing else links to them. Busy: another program is fetching one of the files. After an Error it
// can be tried again.
Status remove_model(const Places& places, const LocalModel& model,
                    const std::vector<LocalModel>& all);

}  // namespace bezel::hub
