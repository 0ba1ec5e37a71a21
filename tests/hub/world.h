// A machine of its own for a test: folders, environment, and models that only look like some.
#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "base/temp_folder.h"
#include "hub/find/places.h"

namespace bezel::test {

// The beginning of a GGUF file, and then filler.
inline std::string gguf_head(const std::string& architecture, int layers, const std::string& name,
                             std::size_t filler = 1000) {
  std::string out = "GGUF";
  const auto number = [&](std::uint64_t v, int bytes) {
    for (int i = 0; i < bytes; ++i)
      out += static_cast<char>((v >> (8U * static_cast<unsigned>(i))) & 0xFFU);
  };
  const auto text = [&](const std::string& s) {
    number(s.size(), 8);
    out += s;
  };
  number(3, 4);
  number(0, 8);
  number(3, 8);
  text("general.architecture");
  number(8, 4);
  text(architecture);
  text("general.name");
  number(8, 4);
  text(name);
  text(architecture + ".block_count");
  number(4, 4);
  number(static_cast<std::uint64_t>(layers), 4);
  for (std::size_t i = 0; i < filler; ++i) out += static_cast<char>((i * 7919U) >> 5U);
  return out;
}

// Sets variables of the environment while it lives. One at a time in a process.
class World {
 public:
  World() {
    set("HOME", folder_.path());
    set("HF_HOME", folder_.file("hf"));
    set("OLLAMA_MODELS", folder_.file("ollama"));
    set("LLAMA_CACHE", folder_.file("llama"));
    set("BEZEL_MODELS", folder_.file("own"));
    set("no_proxy", "127.0.0.1,localhost");
    for (const char* name :
         {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_TOKEN",
          "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_OFFLINE",
          "TRANSFORMERS_OFFLINE", "BEZEL_CATALOGUE", "CURL_CA_BUNDLE", "SSL_CERT_FILE",
          "SSL_CERT_DIR"})
      ::unsetenv(name);
  }
  void set(const char* name, const std::string& value) const { ::setenv(name, value.c_str(), 1); }
  const TempFolder& folder() const { return folder_; }
  hub::Places places() const { return hub::Places::from_environment(); }
  std::string cache() const { return folder_.file("hf/hub"); }

  // Every ordinary file below the folder, as relative paths, but for locks.
  std::vector<std::string> files(const std::string& below = "") const {
    namespace fs = std::filesystem;
    std::vector<std::string> out;
    std::error_code error;
    for (fs::recursive_directory_iterator it(folder_.path() + "/" + below, error), end;
         !error && it != end; it.increment(error))
      if (fs::is_regular_file(fs::symlink_status(it->path())) && it->path().extension() != ".lock")
        out.push_back(fs::relative(it->path(), folder_.path()).string());
    std::sort(out.begin(), out.end());
    return out;
  }

 private:
  TempFolder folder_;
};

}  // namespace bezel::test
