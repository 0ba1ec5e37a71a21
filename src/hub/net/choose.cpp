// Which files of a repository make the model that was asked for.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "hub/net/pull.h"

namespace bezel::hub {

namespace {

const RepoFile* named(const RepoInfo& info, const std::string& path) {
  for (const RepoFile& f : info.files)
    if (f.path == path) return &f;
  return nullptr;
}

// All parts of a split model, the first one last; one file alone otherwise.
Result<std::vector<RepoFile>> with_parts(const RepoInfo& info, const RepoFile& first) {
  const auto split = split_of(first.path);
  if (!split || split->part != 1) return std::vector<RepoFile>{first};
  std::vector<RepoFile> out;
  for (int i = 2; i <= split->count; ++i) {
    const std::string path = split->name(i);
    const RepoFile* part = named(info, path);
    if (part == nullptr)
      return Error{Errc::NotFound, fmt::format("the repository lacks the part {}", path), ""};
    out.push_back(*part);
  }
  out.push_back(first);
  return out;
}

std::uint64_t bytes_of(const std::vector<RepoFile>& files) {
  std::uint64_t sum = 0;
  for (const RepoFile& f : files) sum += f.size;
  return sum;
}

// The folder form: weights first, config.json last, for that is what makes it a model.
std::vector<RepoFile> folder_files(const RepoInfo& info) {
  std::vector<RepoFile> out;
  const auto ends = [](const std::string& path, std::string_view end) {
    return path.size() >= end.size() &&
           path.compare(path.size() - end.size(), end.size(), end) == 0;
  };
  for (const RepoFile& f : info.files)
    if (f.path.find('/') == std::string::npos && ends(f.path, ".safetensors")) out.push_back(f);
  if (out.empty() || named(info, "config.json") == nullptr) return {};
  for (const char* name :
       {"model.safetensors.index.json", "generation_config.json", "tokenizer.json",
        "tokenizer_config.json", "chat_template.jinja", "config.json"})
    if (const RepoFile* f = named(info, name)) out.push_back(*f);
  return out;
}

std::string file_list(const std::vector<const RepoFile*>& files) {
  std::string out;
  for (std::size_t i = 0; i < files.size() && i < 12; ++i)
    out += (i == 0 ? "" : ", ") + files[i]->path;
  if (files.size() > 12) out += fmt::format(" and {} more", files.size() - 12);
  return out;
}

// Without a wish: the best of the usual types that fits into half of the memory, else the smallest.
const RepoFile* usual(const RepoInfo& info, const std::vector<const RepoFile*>& files,
                      std::uint64_t free_memory) {
  if (files.size() == 1) return files[0];
  const auto size = [&](const RepoFile* f) {
    const auto all = with_parts(info, *f);
    return all ? bytes_of(*all) : f->size;
  };
  for (const char* tag : {"q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "q4_k_s"})
    for (const RepoFile* f : files)
      if (names_tag(f->path, tag) && size(f) <= free_memory / 2) return f;
  return *std::min_element(files.begin(), files.end(),
                           [&](const auto* a, const auto* b) { return size(a) < size(b); });
}

}  // namespace

Result<std::vector<RepoFile>> choose_files(const RepoInfo& info, const ModelName& name,
                                           std::uint64_t free_memory) {
  if (!name.file.empty()) {
    const RepoFile* f = named(info, name.file);
    if (f == nullptr)
      return Error{Errc::NotFound, fmt::format("{} has no file {}", name.repo, name.file), ""};
    return with_parts(info, *f);
  }
  std::vector<const RepoFile*> files, fitting;
  for (const RepoFile& f : info.files)
    if (is_gguf_name(f.path) && !is_side_file(f.path)) files.push_back(&f);
  for (const RepoFile* f : files)
    if (names_tag(f->path, name.tag)) fitting.push_back(f);
  const std::vector<RepoFile> folder = folder_files(info);
  if (files.empty() && !folder.empty()) return folder;
  if (files.empty())
    return Error{Errc::NotFound,
                 fmt::format("{} holds no model: neither a .gguf file nor config.json with "
                             "safetensors",
                             name.repo),
                 ""};
  if (name.tag.empty()) return with_parts(info, *usual(info, files, free_memory));
  if (fitting.empty() && files.size() == 1 && names_tag(name.repo, name.tag)) fitting = files;
  if (fitting.empty() && name.tag == "bf16" && !folder.empty()) return folder;
  if (fitting.empty())
    return Error{
        Errc::NotFound,
        fmt::format("{} has no file of type {}; it has {}", name.repo, name.tag, file_list(files)),
        ""};
  const RepoFile* shortest = *std::min_element(
      fitting.begin(), fitting.end(),
      [](const auto* a, const auto* b) { return a->path.size() < b->path.size(); });
  auto all = with_parts(info, *shortest);
  if (all && bytes_of(*all) == 0)
    return Error{Errc::BadFile, fmt::format("{} is empty", shortest->path), ""};
  return all;
}

}  // namespace bezel::hub
