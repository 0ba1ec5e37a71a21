#include "engine/batch/prefix_tree.h"

#include <algorithm>
#include <utility>

namespace bezel {

namespace {

std::size_t common(std::span<const TokenId> a, std::span<const TokenId> b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return static_cast<std::size_t>(end - a.begin());
}

}  // namespace

// Children may begin alike, where the checkpoint at which they part is gone: all are tried.
// `ids`: those behind the node; `length`: those before.
void PrefixTree::find_below(Node& node, std::span<const TokenId> ids, int length, Node*& best,
                            Found& found) const {
  for (const auto& child : node.children) {
    const std::size_t same = common(child->ids, ids);
    const int n = length + static_cast<int>(same);
    if (n > found.length && cache_.reaches(child->checkpoint, n)) {
      best = child.get();
      found = {&child->checkpoint, n};
    }
    if (same == child->ids.size()) find_below(*child, ids.subspan(same), n, best, found);
  }
}

PrefixTree::Found PrefixTree::find(std::span<const TokenId> ids) {
  Node* best = nullptr;
  Found found;
  find_below(root_, ids, 0, best, found);
  ++clock_;
  if (best != nullptr) best->used = clock_;
  return found;
}

// The last node on the way to `ids`; takes what leads to it off them.
PrefixTree::Node& PrefixTree::descend(std::span<const TokenId>& ids) {
  Node* node = &root_;
  for (bool deeper = true; deeper && !ids.empty();) {
    deeper = false;
    for (const auto& child : node->children) {
      if (common(child->ids, ids) != child->ids.size()) continue;
      ids = ids.subspan(child->ids.size());
      node = child.get();
      deeper = true;
      break;
    }
  }
  return *node;
}

void PrefixTree::insert(std::span<const TokenId> ids, KvCache::Checkpoint checkpoint) {
  auto rest = ids;
  if (Node& same = descend(rest); rest.empty()) {
    same.used = clock_;
    return;
  }
  while (size_ >= kMostCheckpoints && evict_one()) {
  }
  Node* const parent = &descend(ids);
  auto node = std::make_unique<Node>();
  node->parent = parent;
  node->ids.assign(ids.begin(), ids.end());
  node->checkpoint = std::move(checkpoint);
  node->used = clock_;
  auto& siblings = parent->children;
  siblings.reserve(siblings.size() + 1);
  node->children.reserve(siblings.size());
  for (auto& child : siblings) {  // those that lead on from the new one
    if (common(child->ids, ids) != ids.size()) continue;
    child->parent = node.get();
    child->ids.erase(child->ids.begin(),
                     child->ids.begin() + static_cast<std::ptrdiff_t>(ids.size()));
    node->children.push_back(std::move(child));
  }
  siblings.erase(std::remove(siblings.begin(), siblings.end(), nullptr), siblings.end());
  siblings.push_back(std::move(node));
  ++size_;
}

void PrefixTree::each(Node& node, const std::function<void(Node&)>& fn) {
  for (const auto& child : node.children) {
    fn(*child);
    each(*child, fn);
  }
}

bool PrefixTree::evict_one() {
  Node* victim = nullptr;
  bool victim_frees = false;
  double victim_loss = 0;
  each(root_, [&](Node& node) {
    const double loss =
        static_cast<double>(node.ids.size()) / static_cast<double>(clock_ - node.used + 1);
    const bool frees = node.checkpoint.own_bytes() > 0;
    const bool better = victim == nullptr || (frees != victim_frees ? frees : loss < victim_loss);
    if (!better) return;
    victim = &node;
    victim_frees = frees;
    victim_loss = loss;
  });
  if (victim == nullptr) return false;
  remove(*victim);
  return true;
}

// Its children begin at its parent then. When memory for their longer ids runs out, they go too.
void PrefixTree::remove(Node& node) {
  auto& siblings = node.parent->children;
  const auto place = std::find_if(siblings.begin(), siblings.end(),
                                  [&](const auto& child) { return child.get() == &node; });
  const std::unique_ptr<Node> gone = std::move(*place);
  siblings.erase(place);
  --size_;
  for (auto& child : gone->children) {
    try {
      siblings.reserve(siblings.size() + 1);
      child->ids.insert(child->ids.begin(), gone->ids.begin(), gone->ids.end());
    } catch (const std::bad_alloc&) {
      --size_;
      each(*child, [this](Node&) { --size_; });
      continue;
    }
    child->parent = gone->parent;
    siblings.push_back(std::move(child));
  }
}

void PrefixTree::clear() {
  root_.children.clear();
  size_ = 0;
}

void PrefixTree::visit(const Visit& fn) {
  std::vector<const Node*> nodes;
  each(root_, [&](Node& node) { nodes.push_back(&node); });
  std::sort(nodes.begin(), nodes.end(),
            [](const Node* a, const Node* b) { return a->used > b->used; });
  for (const Node* node : nodes) {
    std::vector<TokenId> ids;
    for (const Node* n = node; n != nullptr; n = n->parent)
      ids.insert(ids.begin(), n->ids.begin(), n->ids.end());
    fn(ids, node->checkpoint);
  }
}

}  // namespace bezel
