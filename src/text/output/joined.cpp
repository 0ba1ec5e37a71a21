#include "text/output/joined.h"

namespace bezel::output {

void join(std::vector<Item>& items, const std::vector<Event>& events) {
  for (const Event& e : events) {
    if (e.kind == Event::Kind::CallBegin) {
      items.push_back({Item::Kind::Call, e.text, "", e.index});
    } else if (e.kind == Event::Kind::CallArguments) {
      items.back().arguments += e.text;
    } else if (e.kind != Event::Kind::CallEnd) {
      const auto kind = e.kind == Event::Kind::Thought ? Item::Kind::Thought : Item::Kind::Text;
      if (items.empty() || items.back().kind != kind) items.push_back({kind, "", "", 0});
      items.back().text += e.text;
    }
  }
}

}  // namespace bezel::output
