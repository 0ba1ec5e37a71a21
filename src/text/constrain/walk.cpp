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
  at_.state = automaton_->start();
}

std::vector<std::string_view> Walk::taken() const {
  std::vector<std::string_view> out;
  if (at_.level == kNone) return out;
  for (std::uint32_t k = levels_[at_.level].last_key; k != kNone; k = keys_[k].before)
    out.push_back(keys_[k].text);
  return out;
}

// Whether the string that a quote ends here may end so; then `next` also knows what it said.
bool Walk::closes_string(Automaton::State& next) {
  const bool waits = automaton_->waits_for_text(next);
  if (!at_.is_key && !waits) return true;
  bool broken = false;
  const std::string text = decoded(open_string(), broken);
  if (waits) next = automaton_->remember(next, text);
  if (!at_.is_key || at_.level == kNone) return next != Automaton::kDead;
  const auto keys = taken();
  return std::find(keys.begin(), keys.end(), text) == keys.end();
}

// Whether a key that stands at `text` can become one that is not taken. Only the ways along taken
// keys need a look.
bool Walk::key_can_close(Automaton::State state, const std::string& text,
                         const std::vector<std::string_view>& taken) const {
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
    const bool apart = std::none_of(taken.begin(), taken.end(), [&](std::string_view key) {
      return key.substr(0, longer.size()) == longer;
    });
    if (apart || key_can_close(to, longer, taken)) return true;
  }
  return false;
}

// Whether a key that this byte begins or goes on with can become one that is not taken.
bool Walk::keeps_keys_apart(Automaton::State next, std::uint8_t byte) const {
  if (at_.level == kNone || levels_[at_.level].last_key == kNone) return true;
  std::string text;
  if (at_.in_string && at_.is_key) {
    bool broken = false;
    std::string raw(open_string());
    raw.push_back(static_cast<char>(byte));
    text = decoded(raw, broken);
    if (broken) return true;
  } else if (at_.in_string || !at_.key_next || byte != '"') {
    return true;
  }
  const auto keys = taken();
  const bool along = std::any_of(keys.begin(), keys.end(), [&](std::string_view key) {
    return key.substr(0, text.size()) == text;
  });
  return !along || key_can_close(next, text, keys);
}

// Called before the byte is added to all_.
void Walk::track(std::uint8_t byte, bool known_key) {
  if (at_.in_string) {
    if (byte != '"' || at_.escaped) {
      at_.escaped = byte == '\\' && !at_.escaped;
      return;
    }
    at_.in_string = false;
    if (at_.is_key && !known_key) {
      bool broken = false;
      Level& level = levels_[at_.level];
      const auto number = static_cast<std::uint32_t>(keys_.size());
      keys_.push_back({decoded(open_string(), broken), at_.level, level.last_key});
      level.last_key = number;
    }
    at_.is_key = at_.key_next = false;
    return;
  }
  switch (byte) {
    case '"':
      at_.in_string = true;
      at_.escaped = false;
      at_.string_from = all_.size() + 1;
      at_.is_key = at_.key_next && at_.level != kNone;
      break;
    case '{':
    case '[':
      levels_.push_back({byte == '{', at_.level, kNone});
      at_.level = static_cast<std::uint32_t>(levels_.size() - 1);
      at_.key_next = byte == '{';
      break;
    case '}':
    case ']':
      if (at_.level != kNone) at_.level = levels_[at_.level].outer;
      at_.key_next = false;
      break;
    case ',':
      at_.key_next = at_.level != kNone && levels_[at_.level].object;
      break;
    default:
      break;
  }
}

// The way again from the start, in an automaton that has found nothing yet.
void Walk::renew() {
  Walk fresh(language_);
  for (const char c : all_) fresh.step(static_cast<std::uint8_t>(c));
  *this = std::move(fresh);
}

bool Walk::step(std::uint8_t byte) {
  Automaton::State next = automaton_->next(at_.state, byte);
  if (next == Automaton::kDead) return false;
  if (byte == kQuoteMark && automaton_->waits_for_text(next))
    next = automaton_->remember(next, all_.substr(at_.mark_end));
  if (language_->json() && automaton_->tracks(next)) {
    const bool closes = at_.in_string && byte == '"' && !at_.escaped;
    if (closes ? !closes_string(next) : !keeps_keys_apart(next, byte)) return false;
    track(byte, at_.in_string && at_.is_key && automaton_->knows_key(at_.state));
  }
  all_.push_back(static_cast<char>(byte));
  if (byte == kQuoteMark) at_.mark_end = all_.size();
  at_.state = next;
  at_.length = all_.size();
  at_.levels = levels_.size();
  at_.keys = keys_.size();
  return true;
}

void Walk::back_to(const Place& place) {
  at_ = place;
  all_.resize(place.length);
  levels_.resize(place.levels);
  while (keys_.size() > place.keys) {
    const Key& last = keys_.back();
    if (last.level < levels_.size()) levels_[last.level].last_key = last.before;
    keys_.pop_back();
  }
}

bool Walk::push(std::uint8_t byte) {
  if (automaton_->size() > kMaxStates) renew();
  return step(byte);
}

std::size_t Walk::push(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (!push(static_cast<std::uint8_t>(bytes[i]))) return i;
  return bytes.size();
}

bool Walk::push_all(std::string_view bytes) {
  if (automaton_->size() > kMaxStates) renew();
  const Place before = at_;
  for (const char c : bytes) {
    if (step(static_cast<std::uint8_t>(c))) continue;
    back_to(before);
    return false;
  }
  return true;
}

bool Walk::fits(std::string_view bytes) {
  const Place before = at_;
  const bool all = std::all_of(bytes.begin(), bytes.end(),
                               [&](char c) { return step(static_cast<std::uint8_t>(c)); });
  back_to(before);
  return all;
}

Walk::Keys Walk::keys() const {
  Keys k;
  if (at_.level == kNone || !levels_[at_.level].object || (at_.in_string && !at_.is_key)) return k;
  k.taken = taken();
  k.open = at_.in_string;
  if (at_.in_string && !k.taken.empty()) k.begun = decoded(open_string(), k.broken);
  return k;
}

}  // namespace bezel::constrain
