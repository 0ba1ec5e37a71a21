// Speculation without a second model: what followed the last ids when they stood in the text before
// is tried as a draft. A draft changes how many rows a forward pass has, never what is chosen.
#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "bezel/engine.h"

namespace bezel {

// Finds drafts in the ids of prompt and answer.
class Lookup {
 public:
  static constexpr std::size_t kMatch = 3;  // ids that must repeat

  // One more id of the sequence.
  void push(TokenId id);
  void push(std::span<const TokenId> ids) {
    for (const TokenId id : ids) push(id);
  }
  // Up to n ids that followed the latest earlier place of the last kMatch ids; a text that repeats
  // itself goes on repeating. Empty when there is no such place.
  std::vector<TokenId> draft(int n) const;

 private:
  static std::uint64_t key(const TokenId* ids);

  std::vector<TokenId> ids_;
  std::unordered_map<std::uint64_t, std::size_t> after_;  // of kMatch ids: the latest id after them
};

// Decides how long a draft may be, by what passes cost and drafts brought. Only speed depends on
// it.
class Pace {
 public:
  static constexpr int kLongest =
      7;  // ids of a draft: eight rows still share one reading of weights

  // Ids to draft now; 0 = none.
  int wanted();
  // A pass of one row took so long.
  void plain(double seconds);
  // A pass with `drafted` more rows took so long, and `accepted` of them were right.
  void tried(int drafted, int accepted, double seconds);

 private:
  double plain_seconds_ = 0;  // running mean; 0 = not known yet
  double gain_ = 1;           // running mean: tokens of a pass over what it cost in plain passes
  int length_ = 3, pause_ = 0, next_pause_ = 16;
};

}  // namespace bezel
