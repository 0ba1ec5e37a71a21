// The loaded model: one at a time, by name, and let go when nobody has asked it for a while.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bezel/result.h"
#include "bezel/service.h"
#include "bezel/store.h"

namespace bezel {

struct LoaderOptions {
  // How models are loaded. Its model_path is the first's, which is loaded at the start and is not
  // let go until another is asked for; empty: none is.
  ServiceOptions service;
  std::string first;            // the first model's name for clients
  ModelStore* store = nullptr;  // finds the others; null: there is the first alone
  // How long a model found by name stays after its last answer; negative: until another is asked
  // for.
  std::chrono::seconds keep_alive{300};
  int waiting = 64;  // requests that may wait for a model; more are refused
  // Told on the loader's thread when a model other than the first at the start is loaded, and with
  // null when one is let go.
  std::function<void(const std::string& name, const EngineInfo* info)> told;
  std::function<void(const Status&)> stored;  // told how storing its prefixes went
};

// A model that somebody uses: it stays at least as long as a copy of this.
struct LoadedModel {
  Service* service = nullptr;
  std::string name;  // for clients
  std::shared_ptr<const void> use;
};

// Any thread.
class Loader {
 public:
  using KeepAlive = std::optional<std::chrono::seconds>;
  using Gone = std::shared_ptr<const std::atomic<bool>>;  // the client has left; null: it stays
  using Use = std::function<void(Result<LoadedModel>)>;

  // Loads the first model before it returns.
  static Result<std::unique_ptr<Loader>> start(const LoaderOptions& options);
  virtual ~Loader() = default;  // stop(); nobody may hold a LoadedModel any more

  // Calls `use` once with the model of that name: here, when it is loaded and nobody waits for
  // another, else on the loader's thread after loading it. While one model answers, another waits
  // until it is done; requests go in their order, those for one model together. An empty name is
  // the first model's, or without one that of the loaded. A name that is none of the store's is
  // the first model's too, if there is one. NotFound: no such model is here. Busy: too many wait.
  // `keep_alive`: from now on in place of what the options say. Who is `gone` before the model is
  // there may be forgotten, and `use` never called.
  virtual void with(const std::string& name, KeepAlive keep_alive, const Gone& gone, Use use) = 0;
  // The model that is loaded now.
  virtual std::optional<LoadedModel> loaded() = 0;
  // Seconds until the loaded model is let go if nobody asks; nothing: it stays, or none is loaded.
  virtual std::optional<std::chrono::seconds> seconds_left() const = 0;
  // A model's files are going: it is let go as soon as nobody uses it.
  virtual void forget(const std::string& path) = 0;
  // Of all models since the start, added up; running and waiting ones of the loaded.
  virtual ServiceLoad load() const = 0;
  // Refuses everybody who waits or comes later, cancels what runs and lets the model go; waits for
  // a model that is being loaded. Once.
  virtual void stop() = 0;
};

}  // namespace bezel
