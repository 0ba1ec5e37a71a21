#include <algorithm>

#include "base/json.h"
#include "text/automaton/decode.h"
#include "text/constrain/constraint.h"

namespace bezel::constrain {

namespace {

// The value of a JSON string's body; `broken`: it ends inside a character.
std::string decoded(std::string_view raw, bool& broken) {
  std::string out;
  std::uint32_t decoder = 0;
  for (const char c : raw) {
    const Decoded d = decode(decoder, static_cast<std::uint8_t>(c), true, std::uint8_t{'"'});
    decoder = d.decoder;
    if (d.kind == Decoded::Kind::Code) append_utf8(out, d.code);
  }
  broken = decoder != 0;
  return out;
}

}  // namespace

Walk::Walk(LanguagePtr language) : Walk(language, language->automaton()) {}

Walk::Walk(LanguagePtr language, std::shared_ptr<Automaton> automaton)
    : language_(std::move(language)), automaton_(std::move(automaton)) {
  state_ = automaton_->start();
}

// Whether the string that a quote ends here may end so; then `next` also knows what it said.
bool Walk::closes_string(Automaton::State& next) {
  const bool waits = automaton_->waits_for_text(next);
  if (!is_key_ && !waits) return true;
  bool broken = false;
  const std::string text = decoded(raw_, broken);
  if (waits) next = automaton_->remember(next, text);
  if (!is_key_ || levels_.empty()) return next != Automaton::kDead;
  const auto& keys = levels_.back().keys;
  return std::find(keys.begin(), keys.end(), text) == keys.end();
}

// Whether a key that stands at `text` can become one that is not taken. Only the ways along taken
// keys need a look.
bool Walk::key_can_close(Automaton::State state, const std::string& text) const {
  const auto& taken = levels_.back().keys;
  if (automaton_->next(state, '"') != Automaton::kDead &&
      std::find(taken.begin(), taken.end(), text) == taken.end())
    return true;
  std::string longer = text;
  longer.push_back(0);
  for (int byte = 0x20; byte < 0xF8; ++byte) {
    if (byte == '"' || byte == '\\') continue;
    const Automaton::State to = automaton_->next(state, static_cast<std::uint8_t>(byte));
    if (to == Automaton::kDead) continue;
    longer.back() = static_cast<char>(byte);
    const bool apart = std::none_of(taken.begin(), taken.end(), [&](const std::string& key) {
      return key.compare(0, longer.size(), longer) == 0;
    });
    if (apart || key_can_close(to, longer)) return true;
  }
  return false;
}

// Whether a key that this byte begins or goes on with can become one that is not taken.
bool Walk::keeps_keys_apart(Automaton::State next, std::uint8_t byte) const {
  if (levels_.empty() || levels_.back().keys.empty()) return true;
  std::string text;
  if (in_string_ && is_key_) {
    bool broken = false;
    std::string raw = raw_;
    raw.push_back(static_cast<char>(byte));
    text = decoded(raw, broken);
    if (broken) return true;
  } else if (in_string_ || !key_next_ || byte != '"') {
    return true;
  }
  const auto& taken = levels_.back().keys;
  const bool along = std::any_of(taken.begin(), taken.end(), [&](const std::string& key) {
    return key.compare(0, text.size(), text) == 0;
  });
  return !along || key_can_close(next, text);
}

void Walk::track(std::uint8_t byte, bool known_key) {
  if (in_string_) {
    if (byte != '"' || escaped_) {
      raw_.push_back(static_cast<char>(byte));
      escaped_ = byte == '\\' && !escaped_;
      return;
    }
    in_string_ = false;
    bool broken = false;
    if (is_key_ && !known_key) levels_.back().keys.push_back(decoded(raw_, broken));
    is_key_ = key_next_ = false;
    return;
  }
  switch (byte) {
    case '"':
      in_string_ = true;
      escaped_ = false;
      raw_.clear();
      is_key_ = key_next_ && !levels_.empty();
      break;
    case '{':
    case '[':
      levels_.push_back({byte == '{', {}});
      key_next_ = byte == '{';
      break;
    case '}':
    case ']':
      if (!levels_.empty()) levels_.pop_back();
      key_next_ = false;
      break;
    case ',':
      key_next_ = !levels_.empty() && levels_.back().object;
      break;
    default:
      break;
  }
}

// The way again from the start, in an automaton that has found nothing yet.
void Walk::renew() {
  Walk fresh(language_);
  const std::string all = std::move(all_);
  fresh.push(all);
  *this = std::move(fresh);
}

bool Walk::push(std::uint8_t byte) {
  if (automaton_->size() > kMaxStates) renew();
  Automaton::State next = automaton_->next(state_, byte);
  if (next == Automaton::kDead) return false;
  if (byte == kQuoteMark) {
    if (automaton_->waits_for_text(next)) next = automaton_->remember(next, marked_);
    marked_.clear();
  } else if (byte < 0xF8) {
    marked_.push_back(static_cast<char>(byte));
  }
  if (language_->json() && automaton_->tracks(next)) {
    const bool closes = in_string_ && byte == '"' && !escaped_;
    if (closes ? !closes_string(next) : !keeps_keys_apart(next, byte)) return false;
    track(byte, in_string_ && is_key_ && automaton_->knows_key(state_));
  }
  all_.push_back(static_cast<char>(byte));
  state_ = next;
  return true;
}

std::size_t Walk::push(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (!push(static_cast<std::uint8_t>(bytes[i]))) return i;
  return bytes.size();
}

Walk::Keys Walk::keys() const {
  Keys k;
  if (levels_.empty() || !levels_.back().object || levels_.back().keys.empty()) return k;
  if (in_string_ && !is_key_) return k;
  k.taken = &levels_.back().keys;
  k.open = in_string_;
  if (in_string_) k.begun = decoded(raw_, k.broken);
  return k;
}

}  // namespace bezel::constrain
