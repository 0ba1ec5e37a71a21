#include "text/chat/pieces.h"

#include <fmt/format.h>

namespace bezel::chat {

std::string Pieces::joined() const {
  std::string out;
  for (const Piece& p : list_) out += p.text;
  return out;
}

Result<std::vector<TokenId>> Pieces::ids(const Tokenizer& tokenizer) const {
  std::vector<TokenId> out;
  for (const Piece& p : list_) {
    if (!p.marker) {
      const auto ids = tokenizer.encode_plain(p.text);
      out.insert(out.end(), ids.begin(), ids.end());
    } else if (p.text == "<bos>" && tokenizer.bos() >= 0) {
      out.push_back(tokenizer.bos());
    } else if (const auto id = tokenizer.find(p.text)) {
      out.push_back(*id);
    } else {
      const bool turn = p.text.find("turn") != std::string::npos || p.text == "<bos>";
      return Error{
          Errc::Unsupported,
          turn ? fmt::format("the vocabulary has no {}, so this model cannot chat; use it "
                             "with a plain prompt",
                             p.text)
               : fmt::format("the vocabulary has no {}, which this conversation needs", p.text),
          ""};
    }
  }
  return out;
}

bool Pieces::ends_in_thought() const {
  for (auto p = list_.rbegin(); p != list_.rend(); ++p)
    if (p->marker) return p->text == "<|channel>";
  return false;
}

}  // namespace bezel::chat
