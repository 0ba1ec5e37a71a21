// Runs a model the way a test wants it and gives back plain vectors.
#pragma once
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/fingerprint.h"
#include "formats/tensor_file.h"
#include "model/model.h"

namespace bezel::test {

inline std::string text_fixture(const std::string& name) {
  return std::string(BEZEL_FIXTURES) + "/text/" + name;
}

// The tensors of an expected.safetensors file.
class Expected {
 public:
  explicit Expected(const std::string& path) {
    auto map = MappedFile::open(path);
    EXPECT_TRUE(map) << path;
    if (!map) return;
    map_ = *map;
    auto ok = parse_safetensors(map_->bytes(), path, file_);
    EXPECT_TRUE(ok) << (ok ? "" : ok.error().text());
    file_.index();
  }
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  template <class T>
  std::vector<T> values(const std::string& name) const {
    const Tensor* t = file_.find(name);
    EXPECT_NE(t, nullptr) << name;
    if (t == nullptr) return {};
    std::vector<T> v(t->data.size() / sizeof(T));
    std::memcpy(v.data(), t->data.data(), v.size() * sizeof(T));
    return v;
  }

 private:
  std::shared_ptr<const MappedFile> map_;
  TensorFile file_;
};

struct RunSetup {
  int threads = 1;
  int chunk = 64;
  DType kv = DType::F32;
  Act act = Act::F32;
  const KernelTable* table = nullptr;  // null = best
};

inline std::unique_ptr<Model> load_model(const std::string& path) {
  auto file = open_tensor_file(path);
  EXPECT_TRUE(file) << (file ? "" : file.error().text());
  if (!file) return nullptr;
  auto model = Model::load(*std::move(file));
  EXPECT_TRUE(model) << (model ? "" : model.error().text());
  return model ? *std::move(model) : nullptr;
}

// A model with everything a pass needs, for up to n_seqs sequences.
class Runner {
 public:
  Runner(const Model& model, const RunSetup& s, int context, int n_seqs = 1, int max_rows = 0)
      : model_(model),
        setup_(s),
        pool_(s.threads),
        scratch_(model.scratch_bytes(std::max(s.chunk, max_rows), std::max(s.chunk, max_rows),
                                     context, s.threads)),
        ops_(s.table != nullptr ? *s.table : best_kernels(), pool_, scratch_, s.act),
        kv_(model.config(), {n_seqs, context, s.chunk, 0, s.kv, 0}) {}

  KvCache& kv() { return kv_; }

  // Feeds ids to sequence `seq` in chunks; returns the logits of the last `n_read` of them.
  std::vector<float> feed(const std::vector<std::int32_t>& ids, int n_read, int seq = 0,
                          const Tap& tap = nullptr) {
    std::vector<float> out;
    const int n = static_cast<int>(ids.size());
    for (int at = 0; at < n; at += setup_.chunk) {
      Batch b;
      for (int i = at; i < std::min(n, at + setup_.chunk); ++i)
        b.add(seq, kv_.length(seq) + i - at, ids[static_cast<std::size_t>(i)], i >= n - n_read);
      append(out, run(b, tap));
    }
    return out;
  }

  std::vector<float> run(const Batch& b, const Tap& tap = nullptr) {
    std::map<int, int> end;
    for (const RowPos& r : b.rows) end[r.seq] = r.pos + 1;
    for (const auto& [seq, length] : end) {
      auto ok = kv_.reserve(seq, length);
      EXPECT_TRUE(ok) << (ok ? "" : ok.error().text());
    }
    const auto frame = ops_.frame();
    auto logits = model_.forward(b, kv_, ops_, tap);
    EXPECT_TRUE(logits) << (logits ? "" : logits.error().text());
    std::vector<float> out;
    if (!logits) return out;
    for (int r = 0; r < logits->rows; ++r) {
      const auto row = logits->row_span(r);
      out.insert(out.end(), row.begin(), row.end());
    }
    return out;
  }

  static void append(std::vector<float>& to, const std::vector<float>& from) {
    to.insert(to.end(), from.begin(), from.end());
  }

 private:
  const Model& model_;
  RunSetup setup_;
  ThreadPool pool_;
  Scratch scratch_;
  Ops ops_;
  KvCache kv_;
};

inline std::string fingerprint(const std::vector<float>& x) {
  Fingerprint f;
  f.add(x.data(), x.size());
  return f.hex();
}

}  // namespace bezel::test
