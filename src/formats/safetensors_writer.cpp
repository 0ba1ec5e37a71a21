#include <fmt/format.h>

#include "base/check.h"
#include "formats/place.h"
#include "formats/tensor_file.h"

namespace bezel {

Result<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::create(const std::string& path,
                                                                     std::vector<Slot> slots) {
  std::unique_ptr<SafetensorsWriter> w(new SafetensorsWriter());
  Json header = Json::object();
  std::uint64_t end = 0;
  for (const Slot& s : slots) {
    BEZEL_CHECK(s.type == DType::F32 || s.type == DType::I32);
    const auto bytes = tensor_bytes(s.type, s.shape);
    if (!bytes) return about_tensor(bytes.error(), path, s.name);
    BEZEL_CHECK(!header.contains(s.name));
    header[s.name] = {
        {"dtype", format(s.type).name}, {"shape", s.shape}, {"data_offsets", {end, end + *bytes}}};
    w->offset_.push_back(end);
    w->size_.push_back(*bytes);
    end += *bytes;
  }
  std::string text = dump_json(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  for (std::uint64_t& offset : w->offset_) offset += sizeof length + length;
  w->filled_.assign(slots.size(), 0);
  w->slots_ = std::move(slots);
  BEZEL_TRY(w->file_, AtomicFile::create(path));
  w->file_->write(&length, sizeof length);
  w->file_->write(text.data(), text.size());
  return w;
}

void SafetensorsWriter::append(std::size_t i, const void* data, std::size_t n_bytes) {
  BEZEL_CHECK(i < slots_.size() && n_bytes <= size_[i] - filled_[i]);
  file_->write_at(offset_[i] + filled_[i], data, n_bytes);
  filled_[i] += n_bytes;
}

Status SafetensorsWriter::finish() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (filled_[i] == size_[i]) continue;
    return Error{Errc::BadInput,
                 fmt::format("expected {} bytes for the tensor {}, got {}", size_[i],
                             slots_[i].name, filled_[i]),
                 ""};
  }
  return file_->commit();
}

}  // namespace bezel
