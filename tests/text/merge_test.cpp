// The fast encoder against the plain algorithm, and the merge list that scores stand for.
#include <chrono>
#include <unordered_map>

#include "base/utf8.h"
#include "harness.h"
#include "text/vocab/load.h"

namespace bezel::test {
namespace {

// Byte pair encoding as it is defined, with strings and no shortcut: look at all neighbours, join
// the leftmost pair of the lowest rank, begin again.
class PlainEncoder {
 public:
  explicit PlainEncoder(const Json& json) {
    const Json& merges = json.at("model").at("merges");
    for (std::size_t i = 0; i < merges.size(); ++i)
      rank_.emplace(merges[i][0].get<std::string>() + '\0' + merges[i][1].get<std::string>(), i);
    for (const auto& [piece, id] : json.at("model").at("vocab").items())
      id_.emplace(piece, id.get<TokenId>());
  }

  std::vector<TokenId> encode(const std::string& text) const {
    std::vector<std::string> symbols = characters(text);
    for (;;) {
      std::size_t best = rank_.size(), at = 0;
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        const auto it = rank_.find(symbols[i] + '\0' + symbols[i + 1]);
        if (it != rank_.end() && it->second < best) best = it->second, at = i;
      }
      if (best == rank_.size()) break;
      symbols[at] += symbols[at + 1];
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
    std::vector<TokenId> ids;
    for (const std::string& s : symbols) {
      if (const auto it = id_.find(s); it != id_.end()) {
        ids.push_back(it->second);
      } else {
        for (const char c : s) ids.push_back(id_.at(byte_piece(c)));
      }
    }
    return ids;
  }

 private:
  static std::vector<std::string> characters(const std::string& text) {
    std::vector<std::string> symbols;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t n = utf8_length_at(text, i);
      EXPECT_GT(n, 0U);
      symbols.push_back(text[i] == ' ' ? "\xE2\x96\x81" : text.substr(i, n));
      i += n;
    }
    return symbols;
  }
  static std::string byte_piece(char c) {
    const auto u = static_cast<unsigned char>(c);
    const std::string digits = "0123456789ABCDEF";
    return std::string("<0x") + digits[u / 16U] + digits[u % 16U] + ">";
  }
  std::unordered_map<std::string, std::size_t> rank_;
  std::unordered_map<std::string, TokenId> id_;
};

// Strings that press on segment borders, on ties and on long unbroken runs.
std::string hard_text(Random& random) {
  static const std::vector<std::vector<std::string>> alphabets = {
      {"a", "b"},
      {"t", "h", "e", " ", "i", "n", "s", "o"},
      {" ", "\xE2\x96\x81", "\n", "\t", "a"},
      {"\n", "\n\n\n", " "},
      {">", " ", "<", "/", "d", "i", "v"},
      {"e", "r", "\xC3\xA9", "\xE4\xB8\xAD", "\xF0\x9F\x98\x80", "\r", "1", "2", "\x7F"},
      {"\xD0\xBF", "\xD1\x80", "\xD0\xB8", "\xD0\xB2", "\xD0\xB5", "\xD1\x82", " "},
      {"\xE3\x81\xAE", "\xE3\x82\xAB", "\xE6\x97\xA5", "\xE6\x9C\xAC", "\xE8\xAA\x9E", "x"},
      {"<|turn>", "<bos>", "<|", "|>", "<", "user", "\n"}};
  const auto& alphabet = alphabets[random.below(alphabets.size())];
  const std::size_t length = random.below(6) == 0 ? 200 + random.below(400) : random.below(70);
  std::string text;
  if (random.below(3) == 0) {  // periodic
    std::string period;
    for (std::size_t i = random.below(7) + 1; i > 0; --i)
      period += alphabet[random.below(alphabet.size())];
    while (text.size() < length) text += period;
  } else {
    for (std::size_t i = 0; i < length; ++i) text += alphabet[random.below(alphabet.size())];
  }
  return text;
}

void expect_same(const Tokenizer& fast, const PlainEncoder& plain, int rounds) {
  Random random(5);
  std::string all;
  for (int round = 0; round < rounds; ++round) {
    const std::string text = hard_text(random);
    ASSERT_EQ(fast.encode_plain(text), plain.encode(text)) << text;
    // In a long text repeated segments are copied from earlier output.
    all += text + '\n';
  }
  all.resize(std::min<std::size_t>(all.size(), 6000));
  while (!valid_utf8(all)) all.pop_back();
  ASSERT_EQ(fast.encode_plain(all), plain.encode(all));
}

TEST(Merges, SegmentsQueueAndMemoryGiveThePlainAlgorithmsIds) {
  expect_same(*small_json(), PlainEncoder(read_json(tokenizer_fixture("small/tokenizer.json"))),
              1500);
}

TEST(Merges, SegmentsQueueAndMemoryGiveThePlainAlgorithmsIdsWithTheWholeVocabulary) {
  BEZEL_NEEDS_GEMMA4();
  expect_same(*gemma4(), PlainEncoder(read_json(gemma4_json_path())), 500);
}

// A tokenizer of three letters and random pieces of them, with merges in random order: pieces that
// form in several ways, and merges whose parts form after them.
Json random_tokenizer(Random& random) {
  Json json = read_json(tokenizer_fixture("small/tokenizer.json"));
  Json vocab = Json::object(), merges = Json::array();
  for (const auto& [piece, id] : json.at("model").at("vocab").items())
    if (piece.rfind("<0x", 0) == 0) vocab[piece] = vocab.size();
  std::vector<std::string> pieces = {"a", "b", "c"};
  for (std::size_t i = 0; i < 40; ++i) {
    std::string piece = pieces[random.below(pieces.size())];
    piece += pieces[random.below(pieces.size())];
    if (piece.size() <= 12) pieces.push_back(piece);
  }
  for (const std::string& piece : pieces)
    if (!vocab.contains(piece)) vocab[piece] = vocab.size();
  for (const auto& [piece, id] : vocab.items())
    for (std::size_t cut = 1; cut < piece.size(); ++cut)
      if (vocab.contains(piece.substr(0, cut)) && vocab.contains(piece.substr(cut)))
        merges.push_back({piece.substr(0, cut), piece.substr(cut)});
  for (std::size_t i = merges.size(); i > 1; --i) std::swap(merges[i - 1], merges[random.below(i)]);
  json["added_tokens"] = Json::array();
  json["model"]["vocab"] = std::move(vocab);
  json["model"]["merges"] = std::move(merges);
  return json;
}

TEST(Merges, RandomMergeListsGiveThePlainAlgorithmsIds) {
  Random random(17);
  for (int round = 0; round < 100; ++round) {
    const Json json = random_tokenizer(random);
    const auto fast = take(Tokenizer::parse_json(json.dump(), "random"));
    const PlainEncoder plain(json);
    for (const std::size_t length : {40U, 255U, 256U, 257U, 500U}) {
      std::string text;
      for (std::size_t i = 0; i < length; ++i)
        text.push_back("aaabbc"[random.below(round % 2 == 0 ? 5 : 6)]);
      ASSERT_EQ(fast->encode(text), plain.encode(text)) << text;
    }
  }
}

TEST(Merges, Gemma3ScoresRebuildTheMergeListInOrder) {
  BEZEL_NEEDS_GEMMA3();
  BEZEL_NEEDS_GEMMA4();
  const auto file = open_tensor_file(gemma3_gguf_path());
  ASSERT_TRUE(file);
  const auto vocab = vocab_from_gguf(*file);
  ASSERT_TRUE(vocab) << vocab.error().text();
  const Json merges = read_json(gemma4_json_path()).at("model").at("merges");
  ASSERT_EQ(merges.size(), 514906U);
  ASSERT_EQ(vocab->result.size(), merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const TokenId left = vocab->pieces.find(with_spaces(merges[rank][0].get<std::string>()));
    const TokenId right = vocab->pieces.find(with_spaces(merges[rank][1].get<std::string>()));
    ASSERT_EQ(vocab->merges.rank(left, right), rank);
  }
}

TEST(Merges, EncodingTimeGrowsWithTheLengthAndNotItsSquare) {
  const auto seconds = [](const std::string& text) {
    double best = 1e9;
    for (int i = 0; i < 2; ++i) {
      const auto start = std::chrono::steady_clock::now();
      EXPECT_FALSE(small_json()->encode(text).empty());
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      best = std::min(best, took.count());
    }
    return best;
  };
  for (const std::string period :
       {"a", " ", "\n", "abcab", "the", "<|turn", "\xE2\x96\x81", "\xFF", "\xE4\xB8\xAD"}) {
    std::string small, big;
    while (small.size() < 200'000) small += period;
    while (big.size() < 3'200'000) big += period;
    EXPECT_LT(seconds(big), 80 * seconds(small) + 0.05) << period;  // 16 times the text
  }
}

TEST(Merges, AHitIsTheLeftmostAndThereTheLongest) {
  Matcher matcher;
  matcher.add("ab", 1);
  matcher.add("abcd", 2);
  matcher.add("bcx", 3);
  matcher.add("ab", 9);  // a second mention changes nothing
  matcher.finish();
  const auto at = [&](std::string_view text, std::size_t from) {
    const auto hit = matcher.next(text, from);
    return hit ? std::to_string(hit->at) + ":" + std::to_string(hit->id) : std::string("none");
  };
  EXPECT_EQ(at("xxabcd", 0), "2:2");
  EXPECT_EQ(at("abcx", 0), "0:1");
  EXPECT_EQ(at("abcx", 1), "1:3");
  EXPECT_EQ(at("abc", 0), "0:1");
  EXPECT_EQ(at("a", 0), "none");
  EXPECT_EQ(at("", 0), "none");
}

}  // namespace
}  // namespace bezel::test
