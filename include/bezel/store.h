// The porch: models on this machine, by name. Found where any tool has put them, pulled from the
// hub, listed, removed. Std includes only. Names: "e2b", "e2b:q8_0", "owner/repo",
// "owner/repo:q4_0", "owner/repo:file.gguf", "hf.co/owner/repo", "https://...", or one given with
// alias().
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bezel/result.h"

namespace bezel {

// One model on this machine.
struct StoredModel {
  std::string name;          // finds it again
  std::string path;          // file, or folder with config.json; what Engine::load takes
  std::string place;         // "hugging face", "ollama", "llama.cpp", "lm studio", "bezel"
  std::string type;          // "Q4_0", "BF16", ...; may be empty
  std::string architecture;  // "gemma4"; may be empty
  int layers = 0;            // 0: not known
  std::uint64_t bytes = 0;   // of all its files
  bool ours = false;         // pulled by Bezel: remove() may take it
  bool instructed = false;   // its names say that it was trained to answer
};

struct FoundModel {
  StoredModel model;
  std::string why;        // one line: what was picked, and for what reason; may be empty
  bool by_alias = false;  // the name was one given with alias()
};

// What a pull would fetch.
struct PullPlan {
  std::string what;         // one line: which file of which repository, and why it
  std::uint64_t bytes = 0;  // to download; approximate before the hub was asked
};

struct PullProgress {
  enum class Stage { Asking, Waiting, Downloading, Checking };  // Waiting: for another program
  Stage stage = Stage::Asking;
  std::string file;          // under way; several files come one after another
  std::uint64_t done = 0;    // bytes of all files of this pull that are here
  std::uint64_t total = 0;   // bytes of all files of this pull
  double rate = 0;           // bytes a second, lately; 0: not known
  double seconds_left = -1;  // -1: not known
};

struct PullOptions {
  std::function<void(const PullProgress&)> on_progress;  // on the caller's thread, may be empty
  const std::atomic<bool>* cancel = nullptr;             // what is here is kept for the next time
};

struct StoreOptions {
  bool offline = false;  // no connection is tried; also with HF_HUB_OFFLINE in the environment
};

// From any thread; every call looks at the disk anew. Errors name what to do.
class ModelStore {
 public:
  // Places, the hub's address and its token come from the environment. A catalogue put in place of
  // ours that cannot be read is an Error of every call with a short name.
  static Result<std::unique_ptr<ModelStore>> open(const StoreOptions& options);
  virtual ~ModelStore() = default;

  // Everything that is here, by place and name. Places that cannot be read are left out.
  virtual std::vector<StoredModel> list() const = 0;
  // The model of that name on this machine. NotFound: it is not here (or there is no such name).
  virtual Result<FoundModel> find(const std::string& name) const = 0;
  // What pull() would do; asks nobody.
  virtual Result<PullPlan> plan(const std::string& name) const = 0;
  // Fetches a model, checks it and puts it into the Hugging Face cache (a URL: into Bezel's own
  // folder). Files that are here already cost nothing. Cancelled, Io (network, disk), NotFound,
  // Unsupported (offline, or built without downloads), TooLarge (disk), BadFile (wrong contents).
  virtual Result<FoundModel> pull(const std::string& name, const PullOptions& options) = 0;
  // Takes one model that Bezel pulled off the disk, or an alias. BadInput: not ours.
  // Busy: it is being fetched just now.
  virtual Status remove(const std::string& name) = 0;
  // `alias` finds what `name` finds, from now on. Letters, digits, . _ - : and at most 64 of them.
  virtual Status alias(const std::string& name, const std::string& alias) = 0;
};

}  // namespace bezel
