#include "hub/find/places.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.h"
#include "hub/name.h"

namespace bezel::hub {

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string with_home(const std::string& path) {
  if (path == "~" || path.rfind("~/", 0) == 0) return home_folder() + path.substr(1);
  return path;
}

std::string first_of(std::initializer_list<const char*> names, const std::string& otherwise) {
  for (const char* name : names)
    if (const std::string value = variable(name); !value.empty()) return with_home(value);
  return otherwise;
}

std::string trimmed(std::string text) {
  constexpr const char* kSpace = " \t\r\n";
  text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
  text.erase(text.find_last_not_of(kSpace) + 1);
  return text;
}

std::string cache_base() {
  return first_of({"XDG_CACHE_HOME"}, home_folder() + "/.cache");
}

std::string hub_home() {
  return first_of({"HF_HOME"}, cache_base() + "/huggingface");
}

bool is_true(const std::string& value) {
  const std::string v = lower(value);
  return v == "1" || v == "on" || v == "yes" || v == "true";
}

}  // namespace

std::string home_folder() {
  if (const std::string home = variable("HOME"); !home.empty()) return home;
  const passwd* user = ::getpwuid(::getuid());
  return user != nullptr && user->pw_dir != nullptr ? user->pw_dir : "";
}

std::string config_folder() {
  return first_of({"XDG_CONFIG_HOME"}, home_folder() + "/.config") + "/bezel";
}

Places Places::from_environment() {
  const std::string home = home_folder();
  Places p;
  p.hub_cache = first_of({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}, hub_home() + "/hub");
  if (const std::string models = variable("OLLAMA_MODELS"); !models.empty()) {
    p.ollama = {with_home(models)};
  } else {
    p.ollama = {home + "/.ollama/models", "/usr/share/ollama/.ollama/models",
                "/var/lib/ollama/.ollama/models"};
  }
  p.llama_cpp = {first_of({"LLAMA_CACHE"}, cache_base() + "/llama.cpp")};
  p.lm_studio = {home + "/.lmstudio/models", home + "/.cache/lm-studio/models"};
  if (const auto moved = read_file(home + "/.lmstudio-home-pointer", 4096))
    p.lm_studio.insert(p.lm_studio.begin(), trimmed(*moved) + "/models");
  p.own = first_of({"BEZEL_MODELS"}, cache_base() + "/bezel");
  return p;
}

std::string hub_endpoint() {
  std::string out = trimmed(first_of({"HF_ENDPOINT"}, "https://huggingface.co"));
  while (!out.empty() && out.back() == '/') out.pop_back();
  return out;
}

std::string hub_token() {
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
    if (const std::string value = trimmed(variable(name)); !value.empty()) return value;
  const auto file = read_file(first_of({"HF_TOKEN_PATH"}, hub_home() + "/token"), 4096);
  return file ? trimmed(*file) : "";
}

bool offline_by_environment() {
  return is_true(variable("HF_HUB_OFFLINE")) || is_true(variable("TRANSFORMERS_OFFLINE"));
}

}  // namespace bezel::hub
