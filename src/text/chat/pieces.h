// A rendered prompt: control tokens and plain text apart. Text never becomes a control token,
// whatever it says, because nothing looks for markers in it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "bezel/result.h"
#include "text/tokenizer.h"

namespace bezel::chat {

struct Piece {
  std::string text;  // of a marker: its name, such as <|turn>
  bool marker = false;
};

// Pieces in order. Neighbouring texts are one piece, so that merges of the tokenizer across the
// joints of role, newline and message are those of the whole prompt.
class Pieces {
 public:
  void text(std::string_view s) {
    if (s.empty()) return;
    if (list_.empty() || list_.back().marker) list_.push_back({"", false});
    list_.back().text += s;
  }
  void marker(std::string_view name) { list_.push_back({std::string(name), true}); }
  void append(const Pieces& other) {
    for (const Piece& p : other.list_) p.marker ? marker(p.text) : text(p.text);
  }
  const std::vector<Piece>& list() const { return list_; }

  // The whole prompt as one text, as a template would print it.
  std::string joined() const;
  // The ids. An Error for a vocabulary without one of the markers.
  Result<std::vector<TokenId>> ids(const Tokenizer& tokenizer) const;
  // The prompt ends inside a thought, so that the answer begins there.
  bool ends_in_thought() const;

 private:
  std::vector<Piece> list_;
};

}  // namespace bezel::chat
