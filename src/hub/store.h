// The ModelStore of the porch over this machine's folders and the hub.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bezel/store.h"
#include "hub/catalogue.h"
#include "hub/find/find.h"
#include "hub/find/places.h"

namespace bezel::hub {

class Store : public ModelStore {
 public:
  Store(Places places, Result<Catalogue> catalogue, bool offline)
      : places_(std::move(places)), catalogue_(std::move(catalogue)), offline_(offline) {}

  std::vector<StoredModel> list() const override;
  Result<FoundModel> find(const std::string& name) const override;
  Result<PullPlan> plan(const std::string& name) const override;
  Result<FoundModel> pull(const std::string& name, const PullOptions& options) override;
  Status remove(const std::string& name) override;
  Status alias(const std::string& name, const std::string& alias) override;

 private:
  using Aliases = std::map<std::string, std::string>;
  struct Source {
    ModelName name;  // a repository or a URL
    PullPlan plan;
  };
  Result<Source> source_of(const std::string& name) const;
  Result<Aliases> aliases() const;
  Status keep(const Aliases& aliases) const;
  std::string meant(const std::string& name) const;  // without alias
  Result<Choice> look(const std::vector<LocalModel>& here, const std::string& text) const;

  Places places_;
  Result<Catalogue> catalogue_;  // an Error matters only where a short name is asked for
  bool offline_;
  std::mutex aliases_mutex_;  // one change of aliases at a time
};

}  // namespace bezel::hub
