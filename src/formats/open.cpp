// From a path to a TensorFile: which kind of model it is, and which files belong to it.
#include <fmt/format.h>

#include <charconv>
#include <set>

#include "formats/place.h"
#include "formats/tensor_file.h"

namespace bezel {

namespace {

constexpr std::uint64_t kMaxSideFile = 64U << 20U;  // config.json, index, chat template

// ---- GGUF in parts: NAME-00001-of-00003.gguf

struct PartName {
  std::string stem;  // up to and without "-00001-of-00003.gguf"
  int number, count;
};

std::optional<PartName> part_name(const std::string& path) {
  constexpr std::size_t kTail = std::string_view("-00001-of-00003.gguf").size();
  if (path.size() < kTail) return std::nullopt;
  const std::string_view tail = std::string_view(path).substr(path.size() - kTail);
  PartName p{path.substr(0, path.size() - kTail), 0, 0};
  const auto digits = [&](std::size_t at, int& out) {
    const char* first = tail.data() + at;
    const auto [end, error] = std::from_chars(first, first + 5, out);
    return error == std::errc() && end == first + 5 && out >= 1;
  };
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf")
    return std::nullopt;
  if (!digits(1, p.number) || !digits(10, p.count) || p.number > p.count) return std::nullopt;
  return p;
}

std::string part_path(const PartName& p, int number) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", p.stem, number, p.count);
}

Result<TensorFile> open_gguf_part(const std::string& path, int number, int count) {
  BEZEL_TRY(auto map, MappedFile::open(path));
  BEZEL_TRY(TensorFile part, parse_gguf(std::move(map)));
  BEZEL_TRY(const std::int64_t no, part.meta_int("split.no", 0, 0, 99999));
  BEZEL_TRY(const std::int64_t of, part.meta_int("split.count", 1, 0, 99999));
  if (std::max<std::int64_t>(of, 1) != count || no != number - 1) {
    return Error{
        Errc::BadFile,
        fmt::format("expected part {} of {}, found part {} of {}; keep the parts' original "
                    "names (NAME-00001-of-0000N.gguf)",
                    number, count, no + 1, of),
        path};
  }
  return part;
}

Result<TensorFile> open_gguf(const std::string& path) {
  const auto name = part_name(path);
  if (!name || name->count == 1) return open_gguf_part(path, 1, 1);
  if (name->number != 1) {
    return Error{Errc::BadInput,
                 fmt::format("this is part {} of {}; open the first one, {}", name->number,
                             name->count, part_path(*name, 1)),
                 path};
  }
  BEZEL_TRY(TensorFile all, open_gguf_part(path, 1, name->count));
  for (int i = 2; i <= name->count; ++i) {
    BEZEL_TRY(TensorFile part, open_gguf_part(part_path(*name, i), i, name->count));
    all.file_bytes += part.file_bytes;
    std::move(part.tensors.begin(), part.tensors.end(), std::back_inserter(all.tensors));
    std::move(part.maps.begin(), part.maps.end(), std::back_inserter(all.maps));
  }
  BEZEL_DO(check_disjoint(all));
  const auto n = static_cast<std::int64_t>(all.tensors.size());
  BEZEL_TRY(const std::int64_t expected, all.meta_int("split.tensors.count", n, 0, INT64_MAX));
  if (expected != n) {
    return Error{
        Errc::BadFile,
        fmt::format("expected {} tensors in all parts, found {}; download them again", expected, n),
        path};
  }
  all.index();
  return all;
}

// ---- Hugging Face folders

Result<Json> read_json(const std::string& path) {
  BEZEL_TRY(const std::string text, read_file(path, kMaxSideFile));
  auto json = parse_json(text, path);
  if (!json) return Error{Errc::BadFile, json.error().what, path};
  return json;
}

// The chat template in tokenizer_config.json: a text, or a list of named ones.
std::string template_in(const Json& tokenizer_config) {
  if (!tokenizer_config.is_object()) return "";
  const auto at = tokenizer_config.find("chat_template");
  if (at == tokenizer_config.end()) return "";
  if (at->is_string()) return at->get<std::string>();
  if (!at->is_array()) return "";
  for (const Json& one : *at) {
    const auto name = json_get<std::string>(one, "name", "");
    const auto text = json_get<std::string>(one, "template", "");
    if (name && text && *name == "default") return *text;
  }
  return "";
}

// Everything in the folder except the tensors. Files that are not there leave their field empty.
Status read_companions(const std::string& folder, TensorFile& into) {
  const std::string config = folder + "/config.json";
  const std::string generation = folder + "/generation_config.json";
  const std::string tokenizer = folder + "/tokenizer.json";
  const std::string tokenizer_config = folder + "/tokenizer_config.json";
  const std::string jinja = folder + "/chat_template.jinja";
  if (is_file(config)) {
    BEZEL_TRY(into.config, read_json(config));
  }
  if (is_file(generation)) {
    BEZEL_TRY(into.generation_config, read_json(generation));
  }
  if (is_file(tokenizer)) into.tokenizer_json_path = tokenizer;
  if (is_file(jinja)) {
    BEZEL_TRY(into.chat_template, read_file(jinja, kMaxSideFile));
  } else if (is_file(tokenizer_config)) {
    BEZEL_TRY(Json json, read_json(tokenizer_config));
    const JsonGuard guard(json);
    into.chat_template = template_in(json);
  }
  return Ok{};
}

Status add_safetensors(const std::string& path, TensorFile& into) {
  BEZEL_TRY(auto map, MappedFile::open(path));
  BEZEL_DO(parse_safetensors(map->bytes(), path, into));
  into.file_bytes += map->bytes().size();
  into.maps.push_back(std::move(map));
  return Ok{};
}

// A shard's name from the index becomes a path, so it must stay inside the folder.
bool is_shard_name(std::string_view name) {
  return is_plain_name(name) && name.find_first_of("/\\") == std::string_view::npos &&
         name.front() != '.' && name.ends_with(".safetensors");
}

Status add_shards(const std::string& folder, const std::string& index_path, TensorFile& into) {
  BEZEL_TRY(Json index, read_json(index_path));
  const JsonGuard guard(index);
  const auto bad = [&](std::string what) {
    return Error{Errc::BadFile, std::move(what), index_path};
  };
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return bad("expected an object weight_map from tensor names to file names");
  }
  const Json& weights = index["weight_map"];
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : weights.items()) {
    if (!shard.is_string() || !is_shard_name(shard.get_ref<const std::string&>())) {
      return bad(
          "expected plain names of .safetensors files in the same folder as values of weight_map");
    }
    shards.insert(shard.get<std::string>());
  }
  for (const std::string& shard : shards) BEZEL_DO(add_safetensors(folder + "/" + shard, into));
  BEZEL_DO(check_disjoint(into));
  into.index();
  for (const auto& [tensor, shard] : weights.items()) {
    if (into.find(tensor) == nullptr) {
      return bad(fmt::format("a tensor that the index promises is missing in {}; download it again",
                             shard.get_ref<const std::string&>()));
    }
  }
  return Ok{};
}

Result<TensorFile> open_folder(const std::string& folder) {
  TensorFile out;
  out.kind = FileKind::HuggingFace;
  out.path = folder;
  BEZEL_DO(read_companions(folder, out));
  if (!out.config.is_object()) {
    return Error{Errc::NotFound,
                 "expected a folder with config.json and model.safetensors, found no config.json",
                 folder};
  }
  const std::string single = folder + "/model.safetensors";
  const std::string index = folder + "/model.safetensors.index.json";
  if (is_file(single)) {
    BEZEL_DO(add_safetensors(single, out));
  } else if (is_file(index)) {
    BEZEL_DO(add_shards(folder, index, out));
  } else {
    return Error{
        Errc::NotFound,
        "expected model.safetensors or model.safetensors.index.json, found neither; to open "
        "a GGUF file name the file itself",
        folder};
  }
  out.index();
  return out;
}

Result<TensorFile> open_safetensors(const std::string& path) {
  TensorFile out;
  out.kind = FileKind::HuggingFace;
  out.path = path;
  BEZEL_DO(add_safetensors(path, out));
  const auto slash = path.rfind('/');
  BEZEL_DO(read_companions(slash == std::string::npos ? "." : path.substr(0, slash), out));
  out.index();
  return out;
}

}  // namespace

Result<TensorFile> open_tensor_file(const std::string& path) {
  if (is_directory(path)) return open_folder(path);
  if (path.ends_with(".gguf")) return open_gguf(path);
  if (path.ends_with(".safetensors")) return open_safetensors(path);
  if (!is_file(path)) return Error{Errc::NotFound, "no such file or folder; check the path", path};
  return Error{Errc::BadInput,
               "expected a .gguf file, a .safetensors file or a Hugging Face folder, found another "
               "kind of file",
               path};
}

}  // namespace bezel
