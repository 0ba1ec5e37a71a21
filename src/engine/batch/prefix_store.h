// Prefixes on disk: what was read before a restart is not read again after it.
#pragma once
#include <cstdint>
#include <string>

#include "bezel/result.h"
#include "engine/batch/prefix_tree.h"
#include "model/kv_cache.h"
#include "model/model.h"

namespace bezel {

// Of everything that the bits of keys and values depend on: the numerics' version, the model's
// configuration and tensors (of large ones samples), how weights and activations are rounded, the
// type of keys and values.
std::uint64_t prefix_key(const Model& model, const EngineOptions& options);

// A file of its own in `folder` for every key; the folder is made when it is missing.
std::string prefix_file(const std::string& folder, std::uint64_t key);

// Writes checkpoints, the latest used first, as far as `limit` bytes of pages go; through a
// temporary file, so that the old one stays until the new one is whole.
Status store_prefixes(PrefixTree& tree, const KvCache& cache, std::uint64_t key,
                      const std::string& folder, std::uint64_t limit);

// Fills an empty tree as far as the memory of the cache goes; gives one sentence on what was found,
// empty when there is no file. An Error, and the tree stays empty, when the file is damaged or not
// one of this key.
Result<std::string> load_prefixes(PrefixTree& tree, KvCache& cache, std::uint64_t key, int vocab,
                                  const std::string& folder);

}  // namespace bezel
