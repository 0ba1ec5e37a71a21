#include "server/page.h"

#include <fmt/format.h>

#include <span>

namespace bezel {

std::span<const PageFile> page_files();  // made by cmake/embed.cmake

namespace {

// Nothing but this server's own files runs, and nothing else is asked for anything.
constexpr std::string_view kRules =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Permissions-Policy: camera=(), geolocation=(), microphone=()\r\n";

}  // namespace

const PageFile* page_file(std::string_view path) {
  for (const PageFile& file : page_files())
    if (path == file.path) return &file;
  return nullptr;
}

void send_page(const PageFile& file, http::Exchange& exchange) {
  // Names below /assets/ change with what they hold.
  const bool named = std::string_view(file.path).substr(0, 8) == "/assets/";
  exchange.respond(200, file.type, std::string(file.bytes),
                   fmt::format("{}Cache-Control: {}\r\n", kRules,
                               named ? "public, max-age=31536000, immutable" : "no-cache"));
}

Json page_facts(const ModelsContext& context, bool saves) {
  const auto now = context.loader->loaded();
  Json j;
  j["model"] = now ? now->name : context.first;
  j["loaded"] = now.has_value();
  j["store"] = context.store != nullptr;
  j["version"] = BEZEL_VERSION;
  j["chats"] = saves;
  if (!now) return j;
  const Engine& engine = now->service->engine();
  const EngineInfo& info = engine.info();
  const Sampling s = engine.default_sampling();
  j["family"] = info.family;
  j["variant"] = info.variant;
  j["context"] = info.context;
  j["thinking"] = info.family == "gemma4";
  j["sampling"]["temperature"] = s.temperature;
  j["sampling"]["top_k"] = s.top_k;
  j["sampling"]["top_p"] = s.top_p;
  j["sampling"]["min_p"] = s.min_p;
  return j;
}

}  // namespace bezel
