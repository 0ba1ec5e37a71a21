// Finding words in text of any case.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bezel {

// Letters of Latin, Greek and Cyrillic in lower case, all else as it is; of the same length, so
// that places in one are places in the other.
std::string folded(std::string_view text);
// The words of a search, folded: what stands between white space.
std::vector<std::string> search_words(std::string_view search);
// When every word is in `title` or `text`: the text around the first place in `text`, on one line,
// or "" when all are in the title. Otherwise nothing.
std::optional<std::string> find_words(std::string_view title, std::string_view text,
                                      const std::vector<std::string>& words);

}  // namespace bezel
