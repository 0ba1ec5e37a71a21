#include "text/constrain/vocabulary.h"

#include <algorithm>

#include "base/utf8.h"

namespace bezel::constrain {

Tree::Tree(std::vector<Text> texts) {
  std::sort(texts.begin(), texts.end(), [](const Text& a, const Text& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.entry.prefix < b.entry.prefix;
  });
  entries_.reserve(texts.size());
  std::vector<std::uint32_t> open;  // nodes of the current text
  std::string_view last;
  const auto close_to = [&](std::size_t depth) {
    for (; open.size() > depth; open.pop_back())
      nodes_[open.back()].end = static_cast<std::uint32_t>(nodes_.size());
  };
  for (const Text& t : texts) {
    std::size_t shared = 0;
    while (shared < last.size() && shared < t.bytes.size() && last[shared] == t.bytes[shared])
      ++shared;
    close_to(shared);
    for (std::size_t d = shared; d < t.bytes.size(); ++d) {
      open.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back({0, static_cast<std::uint32_t>(entries_.size()), 0,
                        static_cast<std::uint16_t>(d), static_cast<std::uint8_t>(t.bytes[d])});
    }
    if (!open.empty()) ++nodes_[open.back()].count;
    entries_.push_back(t.entry);
    last = t.bytes;
    depth_ = std::max(depth_, t.bytes.size());
  }
  close_to(0);
  index();
}

void Tree::index() {
  for (std::uint32_t i = 0; i < nodes_.size(); i = nodes_[i].end) {
    Branch& branch = branches_[nodes_[i].byte];
    branch.node = i;
    if (nodes_[i].end == i + 1) continue;
    branch.below = static_cast<std::uint32_t>(seconds_.size());
    seconds_.resize(seconds_.size() + 256, kNone);
    for (std::uint32_t k = i + 1; k < nodes_[i].end; k = nodes_[k].end)
      seconds_[branch.below + nodes_[k].byte] = k;
  }
}

std::vector<Automaton::State>& Tree::path_of(Automaton::State state) const {
  thread_local std::vector<Automaton::State> path;
  if (path.size() < depth_ + 2) path.resize(depth_ + 2);
  path[0] = state;
  return path;
}

std::span<const Tree::Entry> Tree::below(std::string_view bytes) const {
  std::size_t at = 0, end = nodes_.size();
  for (std::size_t d = 0; d < bytes.size(); ++d) {
    while (at < end && nodes_[at].byte != static_cast<std::uint8_t>(bytes[d])) at = nodes_[at].end;
    if (at >= end) return {};
    if (d + 1 < bytes.size()) {
      end = nodes_[at].end;
      ++at;
    }
  }
  const std::size_t after = nodes_[at].end;
  const std::size_t last = after < nodes_.size() ? nodes_[after].first : entries_.size();
  return std::span(entries_).subspan(nodes_[at].first, last - nodes_[at].first);
}

namespace {

bool special(char c) {
  return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
}

bool letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// Whether a string's end, and what makes it matter to the names of keys, are in one piece.
bool quotes(std::string_view s) {
  const std::size_t last = s.rfind('"');
  if (last == std::string_view::npos || last == 0) return false;
  return s.find_first_of("\"\\") < last;
}

}  // namespace

struct Vocabulary::Sorted {
  std::size_t size = 0;
  std::string storage;
  std::vector<std::string_view> bytes;
  std::vector<Words> plain;
  Words words_only;
  std::vector<Tree::Text> all, tails, pieces, others, not_words;
  std::vector<TokenId> quoting;
  std::size_t longest = 0;

  explicit Sorted(const Tokenizer& tokenizer)
      : size(static_cast<std::size_t>(tokenizer.vocab_size())) {
    store(tokenizer);
    words_only.assign((size + 63) / 64, 0);
    plain.assign(kLongest + 1, Words((size + 63) / 64));
    for (std::size_t i = 0; i < size; ++i)
      if (!bytes[i].empty()) sort(static_cast<TokenId>(i), bytes[i]);
    for (std::size_t n = 1; n <= kLongest; ++n)
      for (std::size_t w = 0; w < plain[n].size(); ++w) plain[n][w] |= plain[n - 1][w];
  }

  // The bytes of every id, one behind the other.
  void store(const Tokenizer& tokenizer) {
    const std::pair<const char*, std::uint8_t> marks[] = {{"<|\"|>", kQuoteMark},
                                                          {"<|tool_call>", kCallMark},
                                                          {"<tool_call|>", kCallEndMark},
                                                          {"<|channel>", kThoughtMark},
                                                          {"<channel|>", kThoughtEndMark}};
    std::vector<std::string> texts(size);
    for (std::size_t i = 0; i < size; ++i) {
      const auto id = static_cast<TokenId>(i);
      const std::string_view s = tokenizer.bytes_of(id);
      const bool is_mark_byte = s.size() == 1 && static_cast<std::uint8_t>(s[0]) >= 0xF8;
      const bool unused = s.substr(0, 7) == "<unused" && s.back() == '>';
      if (!tokenizer.is_marker(id) && !is_mark_byte && !unused) texts[i] = s;
    }
    for (const auto& [name, byte] : marks)
      if (const auto id = tokenizer.find(name); id && tokenizer.is_marker(*id))
        texts[static_cast<std::size_t>(*id)] = std::string(1, static_cast<char>(byte));
    std::size_t total = 0;
    for (const std::string& t : texts) total += t.size();
    storage.reserve(total);
    for (const std::string& t : texts) {
      const std::size_t from = storage.size();
      storage += t;
      bytes.push_back(std::string_view(storage).substr(from, t.size()));
    }
  }

  void sort(TokenId id, std::string_view s) {
    all.push_back({s, {id, 0}});
    if (std::all_of(s.begin(), s.end(), letter_or_digit))
      set_bit(words_only, id);
    else
      not_words.push_back({s, {id, 0}});
    if (quotes(s)) quoting.push_back(id);
    std::uint32_t codes = 0;
    std::size_t i = 0;
    while (i < s.size() && !special(s[i])) {
      const std::size_t n = utf8_length_at(s, i);
      if (n == 0) break;
      i += n;
      ++codes;
    }
    if (i == s.size()) {
      longest = std::max<std::size_t>(longest, codes);
      set_bit(plain[std::min<std::size_t>(codes, kLongest)], id);
      return;
    }
    others.push_back({s, {id, 0}});
    if (special(s[i])) longest = std::max(longest, codes + (s.size() - i));
    if (special(s[i]))
      tails.push_back({s.substr(i), {id, codes}});
    else
      pieces.push_back({s, {id, 0}});
  }
};

Vocabulary::Vocabulary(const Tokenizer& tokenizer) : Vocabulary(Sorted(tokenizer)) {}

Vocabulary::Vocabulary(Sorted s)
    : size_(s.size),
      storage_(std::move(s.storage)),
      bytes_(std::move(s.bytes)),
      plain_(std::move(s.plain)),
      words_only_(std::move(s.words_only)),
      all_(std::move(s.all)),
      tails_(std::move(s.tails)),
      pieces_(std::move(s.pieces)),
      others_(std::move(s.others)),
      not_words_(std::move(s.not_words)),
      quoting_(std::move(s.quoting)),
      longest_(std::min(s.longest, kLongest)) {}

}  // namespace bezel::constrain
