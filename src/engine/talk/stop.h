// Stop texts in a running answer: the same output for any cut of the stream.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace bezel {

// Ends the answer where a stop text is complete for the first time (several complete at the same
// byte: the longest counts). Text that may still become a stop text is held back.
class StopScanner {
 public:
  explicit StopScanner(std::vector<std::string> stops);  // none may be empty

  // What may be shown now. After a stop text: nothing, for ever.
  std::string push(std::string_view piece);
  // What was held back, at the end of the answer.
  std::string finish();

  bool stopped() const { return stopped_; }
  const std::string& found() const { return found_; }  // the stop text, once stopped

 private:
  std::vector<std::string> stops_;
  std::string held_, found_;
  bool stopped_ = false;
};

}  // namespace bezel
