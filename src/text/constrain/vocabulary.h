// A tokenizer's pieces, sorted so that an automaton can go through all of them at once. Built once
// for a tokenizer; read-only afterwards.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/automaton/automaton.h"
#include "text/constrain/mask.h"
#include "text/tokenizer.h"

namespace bezel::constrain {

// Texts as a tree that lies flat: a node's children follow it directly.
class Tree {
 public:
  struct Entry {
    TokenId id;
    std::uint32_t prefix;  // code points of the piece before this text
  };
  struct Text {
    std::string_view bytes;
    Entry entry;
  };
  explicit Tree(std::vector<Text> texts);

  // Calls `each` with the entries of every text that the automaton can read from `state`.
  template <class Each>
  void walk(Automaton& automaton, Automaton::State state, const Each& each) const {
    std::vector<Automaton::State>& path = path_of(state);
    // The first two bytes by tables: their nodes are many, and far apart.
    for_each_byte(automaton.may(state), [&](std::uint8_t first) {
      const Branch& branch = branches_[first];
      if (branch.node == kNone) return;
      path[1] = automaton.next(state, first);
      if (path[1] == Automaton::kDead) return;
      const Node& n = nodes_[branch.node];
      if (n.count > 0) each(std::span(entries_).subspan(n.first, n.count));
      if (branch.below == kNone) return;
      for_each_byte(automaton.may(path[1]), [&](std::uint8_t second) {
        const std::uint32_t at = seconds_[branch.below + second];
        if (at != kNone) walk_below(automaton, at, path, each);
      });
    });
  }
  // Calls `each` with the entries of every text that `bytes` begins with.
  template <class Each>
  void along(std::string_view bytes, const Each& each) const {
    std::size_t at = 0, end = nodes_.size();
    for (const char c : bytes) {
      while (at < end && nodes_[at].byte != static_cast<std::uint8_t>(c)) at = nodes_[at].end;
      if (at >= end) return;
      if (nodes_[at].count > 0)
        each(std::span(entries_).subspan(nodes_[at].first, nodes_[at].count));
      end = nodes_[at].end;
      ++at;
    }
  }
  // The entries of all texts that begin with `bytes`.
  std::span<const Entry> below(std::string_view bytes) const;

 private:
  struct Node {
    std::uint32_t end;           // index behind the last node below
    std::uint32_t first, count;  // entries that end here
    std::uint16_t depth;
    std::uint8_t byte;
  };
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;
  struct Branch {
    std::uint32_t node = kNone;   // of a first byte
    std::uint32_t below = kNone;  // where its 256 second bytes are in `seconds_`
  };
  // `bytes` is a copy: the automaton's own moves when it finds a state.
  template <class Each>
  static void for_each_byte(Automaton::Bytes bytes, const Each& each) {
    for (std::size_t w = 0; w < bytes.size(); ++w)
      for (std::uint64_t left = bytes[w]; left != 0; left &= left - 1)
        each(static_cast<std::uint8_t>(w * 64 + static_cast<unsigned>(std::countr_zero(left))));
  }
  // A node and all below it.
  template <class Each>
  void walk_below(Automaton& automaton, std::size_t i, std::vector<Automaton::State>& path,
                  const Each& each) const {
    for (const std::size_t end = nodes_[i].end; i < end;) {
      const Node& n = nodes_[i];
      const Automaton::State to = automaton.next(path[n.depth], n.byte);
      if (to == Automaton::kDead) {
        i = n.end;
        continue;
      }
      path[n.depth + 1U] = to;
      if (n.count > 0) each(std::span(entries_).subspan(n.first, n.count));
      ++i;
    }
  }
  std::vector<Automaton::State>& path_of(Automaton::State state) const;
  void index();

  std::vector<Node> nodes_;
  std::array<Branch, 256> branches_{};
  std::vector<std::uint32_t> seconds_;
  std::vector<Entry> entries_;
  std::size_t depth_ = 0;
};

class Vocabulary {
 public:
  static constexpr std::size_t kLongest = 64;  // code points that are told apart

  explicit Vocabulary(const Tokenizer& tokenizer);

  std::size_t size() const { return size_; }
  std::size_t words() const { return (size_ + 63) / 64; }
  // The bytes that an automaton reads for an id: a control byte for markers that have one; nothing
  // for ids that a constrained answer never holds.
  std::string_view bytes_of(TokenId id) const { return bytes_[static_cast<std::size_t>(id)]; }

  const Tree& all() const { return all_; }
  // Pieces that are whole characters, none of them a quote, a backslash or a control character, and
  // of at most `length` code points.
  const Words& plain(std::size_t length) const { return plain_[std::min(length, kLongest)]; }
  // Of the other pieces: those that are such characters and then a tail; by their tails.
  const Tree& tails() const { return tails_; }
  // At least the code points of every piece that is plain or has a tail; kLongest at most.
  std::size_t longest() const { return longest_; }
  // And those that are not whole characters.
  const Tree& pieces() const { return pieces_; }
  // All pieces that are not plain.
  const Tree& others() const { return others_; }
  // Pieces of ASCII letters and digits alone, and all that are not.
  const Words& words_only() const { return words_only_; }
  const Tree& not_words() const { return not_words_; }
  // Pieces in which a JSON string may begin and end, or end after an escape.
  const std::vector<TokenId>& quoting() const { return quoting_; }

 private:
  struct Sorted;
  explicit Vocabulary(Sorted sorted);
  std::size_t size_;
  std::string storage_;
  std::vector<std::string_view> bytes_;
  std::vector<Words> plain_;
  Words words_only_;
  Tree all_, tails_, pieces_, others_, not_words_;
  std::vector<TokenId> quoting_;
  std::size_t longest_;
};

}  // namespace bezel::constrain
