// Where models lie on this machine, by the environment.
#pragma once
#include <string>
#include <vector>

namespace bezel::hub {

struct Places {
  std::string hub_cache;               // Hugging Face: models--owner--name below it
  std::vector<std::string> ollama;     // folders with manifests/ and blobs/
  std::vector<std::string> llama_cpp;  // folders of files
  std::vector<std::string> lm_studio;  // owner/name/file below them
  std::string own;                     // Bezel's: files pulled by URL, aliases

  static Places from_environment();
};

std::string home_folder();    // "" when there is none
std::string config_folder();  // Bezel's, of the user

// The hub's address without a slash at its end: HF_ENDPOINT, or https://huggingface.co.
std::string hub_endpoint();
// HF_TOKEN, or the file where the hub's own tools keep it; empty: none.
std::string hub_token();
bool offline_by_environment();  // HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE

}  // namespace bezel::hub
