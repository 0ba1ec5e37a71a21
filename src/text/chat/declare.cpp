// Tool declarations: the function's JSON schema in the template's notation.
#include <fmt/format.h>

#include <optional>

#include "text/chat/render.h"
#include "text/chat/values.h"

namespace bezel::chat {
namespace {

constexpr std::string_view kQuote = "<|\"|>";
constexpr int kMaxDepth = 256;

// Writes into `out`; what cannot be written is kept as the first error.
class Declaration {
 public:
  explicit Declaration(std::string where) : where_(std::move(where)) {}

  Result<Pieces> write(const Json& tool) {
    const Json& f = member(tool, "function");
    if (!f.is_object()) return Error{Errc::BadInput, "a tool needs an object \"function\"", where_};
    out_.text("declaration:");
    out_.text(text_of(f, "name"));
    out_.text("{description:");
    quoted(truthy(member(f, "description")) ? text_of(f, "description") : "");
    if (const Json& p = member(f, "parameters"); truthy(p)) parameters(p);
    if (f.contains("response")) response(f["response"]);
    out_.text("}");
    if (error_) return *std::move(error_);
    return std::move(out_);
  }

 private:
  void fail(std::string what) {
    if (!error_) error_ = Error{Errc::BadInput, std::move(what), where_};
  }
  void quoted(std::string_view text) {
    out_.marker(kQuote);
    out_.text(text);
    out_.marker(kQuote);
  }
  std::string_view text_of(const Json& object, const char* key) {
    const Json& value = member(object, key);
    if (value.is_string()) return value.get_ref<const std::string&>();
    fail(fmt::format("\"{}\" of a tool must be a text", key));
    return "";
  }

  // key:[<|"|>a<|"|>,...]
  void names(std::string_view key, const Json& list, bool capitals) {
    out_.text(fmt::format("{}:[", key));
    if (!list.is_array()) fail(fmt::format("\"{}\" of a schema must be an array of texts", key));
    for (std::size_t i = 0; list.is_array() && i < list.size(); ++i) {
      if (i > 0) out_.text(",");
      if (!list[i].is_string()) {
        fail(fmt::format("\"{}\" of a schema must be an array of texts", key));
        break;
      }
      const auto& text = list[i].get_ref<const std::string&>();
      quoted(capitals ? upper(text) : text);
    }
    out_.text("]");
  }

  void parameters(const Json& p) {
    if (!p.is_object()) return fail("\"parameters\" of a tool must be an object");
    out_.text(",parameters:{");
    if (const Json& all = member(p, "properties"); truthy(all)) {
      out_.text("properties:{");
      properties(all, 0);
      out_.text("},");
    }
    if (truthy(member(p, "required"))) {
      names("required", member(p, "required"), false);
      out_.text(",");
    }
    if (truthy(member(p, "type"))) {
      out_.text("type:");
      quoted(upper(text_of(p, "type")));
      out_.text("}");
    }
  }

  void response(const Json& r) {
    if (!r.is_object()) return fail("\"response\" of a tool must be an object");
    out_.text(",response:{");
    if (truthy(member(r, "description"))) {
      out_.text("description:");
      quoted(text_of(r, "description"));
      out_.text(",");
    }
    if (const Json& type = member(r, "type");
        type.is_string() && upper(type.get<std::string>()) == "OBJECT") {
      out_.text("type:");
      quoted("OBJECT");
      out_.text("}");
    }
  }

  // name:{...},... in order of names; `left_out` drops the keywords that describe an object itself.
  void properties(const Json& all, int depth, bool left_out = false) {
    if (depth > kMaxDepth) return fail("a schema is nested deeper than 256 levels");
    if (!all.is_object()) return fail("\"properties\" of a schema must be an object");
    bool first = true;
    for (const auto& [name, schema] : sorted_members(all)) {
      if (left_out && (*name == "description" || *name == "type" || *name == "properties" ||
                       *name == "required" || *name == "nullable"))
        continue;
      if (!first) out_.text(",");
      first = false;
      out_.text(*name);
      out_.text(":{");
      property(*schema, depth + 1);
      out_.text("}");
    }
  }

  void property(const Json& schema, int depth) {
    const Json& type = member(schema, "type");
    const bool typed = schema.is_object() && schema.contains("type");
    const std::string kind = typed ? upper(python_text(type)) : "";
    if (truthy(member(schema, "description"))) {
      out_.text("description:");
      quoted(text_of(schema, "description"));
      out_.text(",");
    }
    if (kind == "STRING" && truthy(member(schema, "enum"))) {
      out_.text("enum:");
      value(member(schema, "enum"));
      out_.text(",");
    }
    if (const Json& all = member(schema, "items");
        kind == "ARRAY" && all.is_object() && truthy(all)) {
      items(all, depth);
      out_.text(",");
    }
    if (truthy(member(schema, "nullable"))) out_.text("nullable:true,");
    if (kind == "OBJECT") object(schema, depth);
    out_.text("type:");
    quoted(kind);
  }

  void object(const Json& schema, int depth) {
    const Json& all = member(schema, "properties");
    out_.text("properties:{");
    // Without properties the template takes the schema's other keywords for properties.
    all.is_object() ? properties(all, depth) : properties(schema, depth, true);
    out_.text("},");
    if (!truthy(member(schema, "required"))) return;
    names("required", member(schema, "required"), false);
    out_.text(",");
  }

  void items(const Json& schema, int depth) {
    out_.text("items:{");
    bool first = true;
    for (const auto& [key, value_of] : sorted_members(schema)) {
      if (value_of->is_null()) continue;
      if (!first) out_.text(",");
      first = false;
      if (*key == "properties") {
        out_.text("properties:{");
        if (value_of->is_object()) properties(*value_of, depth + 1);
        out_.text("}");
      } else if (*key == "required") {
        names("required", *value_of, false);
      } else if (*key == "type" && value_of->is_string()) {
        out_.text("type:");
        quoted(upper(value_of->get<std::string>()));
      } else if (*key == "type") {
        names("type", *value_of, true);
      } else {
        out_.text(*key + ":");
        value(*value_of);
      }
    }
    out_.text("}");
  }

  void value(const Json& json) {
    if (!write_value(out_, json, true)) fail("a schema is nested deeper than 256 levels");
  }

  std::string where_;
  Pieces out_;
  std::optional<Error> error_;
};

}  // namespace

Result<Pieces> declare_tool(const Json& tool, const std::string& where) {
  return Declaration(where).write(tool);
}

}  // namespace bezel::chat
