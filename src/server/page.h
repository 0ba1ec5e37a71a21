// The chat page: files that were put into the program when it was built, and what they need to
// know.
#pragma once
#include <string>
#include <string_view>

#include "server/models/routes.h"

namespace bezel {

struct PageFile {
  const char* path;  // "/assets/index.js"; of index.html: "/"
  const char* type;  // its Content-Type
  std::string_view bytes;
};

// The file at a path, or null.
const PageFile* page_file(std::string_view path);
void send_page(const PageFile& file, http::Exchange& exchange);
// What is loaded, its context and defaults: the body of /page.json. `saves`: whether chats are
// saved.
Json page_facts(const ModelsContext& context, bool saves);

}  // namespace bezel
