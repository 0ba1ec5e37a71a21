// Wrong tokenizers end in one clear sentence.
#include <functional>
#include <limits>

#include "harness.h"

namespace bezel::test {
namespace {

Json small() {
  static const Json json = read_json(tokenizer_fixture("small/tokenizer.json"));
  return json;
}

std::string error_of(const std::string& json) {
  const auto t = Tokenizer::parse_json(json, "t.json");
  if (t) return "";
  EXPECT_EQ(t.error().where, "t.json");
  return t.error().what;
}

std::string error_after(const std::function<void(Json&)>& change) {
  Json json = small();
  change(json);
  return error_of(json.dump());
}

TEST(BadJson, TheUnchangedFileLoads) {
  EXPECT_EQ(error_of(small().dump()), "");
}

TEST(BadJson, MergesMayBeLinesOrPairs) {
  const auto lines = [](Json& j) {
    for (Json& m : j["model"]["merges"])
      m = m[0].get<std::string>() + " " + m[1].get<std::string>();
  };
  Json json = small();
  lines(json);
  const auto t = take(Tokenizer::parse_json(json.dump(), "t.json"));
  const std::string text = "The quick brown fox\n\n\n   jumps over <|turn>user";
  EXPECT_EQ(t->encode(text), small_json()->encode(text));
  EXPECT_EQ(t->n_merges(), small_json()->n_merges());
}

void expect_error(const std::function<void(Json&)>& change, const std::string& part) {
  const std::string what = error_after(change);
  EXPECT_NE(what.find(part), std::string::npos) << "wanted \"" << part << "\", got: " << what;
}

TEST(BadJson, EachWrongPieceOrMergeHasItsSentence) {
  const auto expect = expect_error;
  expect([](Json& j) { j.erase("model"); }, "\"model\" must be an object");
  expect([](Json& j) { j["model"] = 3; }, "\"model\" must be an object");
  expect([](Json& j) { j["model"].erase("vocab"); }, "\"vocab\" must be an object");
  expect([](Json& j) { j["model"]["vocab"] = Json::array(); }, "\"vocab\" must be an object");
  expect([](Json& j) { j["model"]["vocab"] = Json::object(); }, "none of its pieces has id");
  expect([](Json& j) { j["model"]["vocab"] = Json::object(), j["added_tokens"] = nullptr; },
         "has 0 pieces");
  expect([](Json& j) { j["model"].erase("merges"); }, "\"merges\" must be an array");
  expect([](Json& j) { j["model"]["merges"] = Json::array(); }, "has 0 merges");
  expect([](Json& j) { j["model"]["merges"][7] = 1; }, "merge 7 must be");
  expect([](Json& j) { j["model"]["merges"][7] = "ab"; }, "merge 7 must be");
  expect([](Json& j) { j["model"]["merges"][7] = "ab "; }, "merge 7 must be");
  expect([](Json& j) { j["model"]["merges"][7] = ""; }, "merge 7 must be");
  expect([](Json& j) { j["model"]["merges"][7] = {"a", "b", "c"}; }, "merge 7 must be");
  expect([](Json& j) { j["model"]["merges"][7] = {"a", ""}; }, "merge 7 must be");
  expect(
      [](Json& j) {
        j["model"]["merges"][7] = {"qqq", "b"};
      },
      "\"qqq\" is not in the vocabulary");
  expect([](Json& j) { j["model"]["merges"][7] = {"a", "\x01"}; }, "is not in the vocabulary");
  expect(
      [](Json& j) {
        j["model"]["merges"][7] = {std::string(900, 'a'), std::string(900, 'b')};
      },
      "more than 1024 bytes");
  expect([](Json& j) { j["model"]["merges"][7] = j["model"]["merges"][3]; },
         "an earlier merge joins already");
  expect(
      [](Json& j) {
        j["model"]["merges"][7] = {"<|turn", ">"}, j["model"]["vocab"]["<|turn"] = 2048;
      },
      "which text must never become");
  expect(
      [](Json& j) {
        j["model"]["merges"][7] = {"<0x0", "1>"}, j["model"]["vocab"]["<0x0"] = 2048,
        j["model"]["vocab"]["1>"] = 2049;
      },
      "which text must never become");
  expect([](Json& j) { j["model"]["vocab"]["new"] = 5; }, "id 5 is given to two pieces");
  expect([](Json& j) { j["model"]["vocab"]["new"] = 2049; }, "none of its pieces has id 2048");
  expect([](Json& j) { j["model"]["vocab"]["new"] = -1; }, "must be a text with an id");
  expect([](Json& j) { j["model"]["vocab"]["new"] = 1.5; }, "must be a text with an id");
  expect([](Json& j) { j["model"]["vocab"]["new"] = 4000000000U; }, "ids below 1048575");
  expect([](Json& j) { j["model"]["vocab"][""] = 2048; }, "must be a text with an id");
  expect([](Json& j) { j["model"]["vocab"][std::string(2000, 'x')] = 2048; }, "has 2000 bytes");
  expect([](Json& j) { j["model"]["vocab"][" "] = 2048; }, "the same piece twice");
  expect([](Json& j) { j["model"]["vocab"].erase("<0x41>"); }, "none of its pieces has id");
  expect(
      [](Json& j) {
        const int id = j["model"]["vocab"]["<0x41>"];
        j["model"]["vocab"].erase("<0x41>");
        j["model"]["vocab"]["spare"] = id;
      },
      "no piece <0x41>");
}

TEST(BadJson, EachWrongAdditionOrKindHasItsSentence) {
  const auto expect = expect_error;
  expect([](Json& j) { j["added_tokens"] = 1; }, "\"added_tokens\" must be an array");
  expect([](Json& j) { j["added_tokens"][2] = 1; }, "added_tokens[2] must be an object");
  expect([](Json& j) { j["added_tokens"][2].erase("content"); }, "added_tokens[2] must be");
  expect([](Json& j) { j["added_tokens"][2]["content"] = ""; }, "added_tokens[2] must be");
  expect([](Json& j) { j["added_tokens"][2]["id"] = -2; }, "added_tokens[2] must be");
  expect([](Json& j) { j["added_tokens"][2]["content"] = "other"; }, "is given to two pieces");
  expect([](Json& j) { j["added_tokens"][2]["lstrip"] = true; }, "asks for lstrip");
  expect([](Json& j) { j["model"]["type"] = "Unigram"; }, "not Gemma's (BPE");
  expect([](Json& j) { j["model"]["byte_fallback"] = false; }, "not Gemma's (BPE");
  expect([](Json& j) { j["model"]["ignore_merges"] = true; }, "not Gemma's (BPE");
  expect([](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }, "not Gemma's (BPE");
  expect([](Json& j) { j["normalizer"]["content"] = "_"; }, "normalizer is not Gemma's");
  expect([](Json& j) { j["normalizer"] = nullptr; }, "\"normalizer\" must be an object");
  expect([](Json& j) { j["pre_tokenizer"]["type"] = "ByteLevel"; }, "pre_tokenizer is not Gemma's");
}

TEST(BadJson, MarkersStayMarkersWhenTheFileCallsThemOrdinary) {
  Json json = small();
  for (Json& a : json["added_tokens"]) a["special"] = false;
  const auto t = take(Tokenizer::parse_json(json.dump(), "t.json"));
  EXPECT_TRUE(t->is_marker(*t->find("<|tool_call>")));
  EXPECT_EQ(t->encode_plain("<|turn>"), small_json()->encode_plain("<|turn>"));
}

TEST(BadJson, AnAddedTokenThatIsNotSpecialIsFoundInPlainText) {
  Json json = small();
  json["added_tokens"].push_back({{"id", 2048}, {"content", "<figure>"}, {"special", false}});
  const auto t = take(Tokenizer::parse_json(json.dump(), "t.json"));
  const auto plain = t->encode_plain("a<figure><|turn>");
  EXPECT_EQ(plain[1], 2048);
  EXPECT_FALSE(t->is_marker(2048));
  EXPECT_GT(plain.size(), 3U);
}

TEST(BadJson, NotJsonAtAllIsAnError) {
  const std::string whole = read_text(tokenizer_fixture("small/tokenizer.json"));
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("7"), std::string("null"),
        std::string("{}"), std::string("\xFF\xFE"), std::string("{\"model\":\"\xFF\"}"),
        std::string(100'000, '['), whole + "x", whole + whole})
    EXPECT_NE(error_of(text), "") << text.substr(0, 40);
  std::string deep = R"({"model":)";
  for (int i = 0; i < 10'000; ++i) deep += R"({"a":)";
  EXPECT_NE(error_of(deep), "");
  for (std::size_t n = 0; n < whole.size() - 3; n += 997)
    EXPECT_NE(error_of(whole.substr(0, n)), "") << n;
}

// Whatever loads must still encode and decode.
void use(const Tokenizer& t) {
  const std::string text =
      "The <|turn> \xFF\n\n\n    1234 \xE4\xB8\xAD\xE6\x96\x87 aaaaaaaaaaaaaaa";
  for (const auto& ids : {t.encode(text), t.encode_plain(text)}) {
    ASSERT_FALSE(ids.empty());
    ASSERT_TRUE(t.decode(ids, true));
    for (const TokenId id : ids) ASSERT_LT(id, t.vocab_size());
  }
}

TEST(BadJson, FlippedBitsGiveAnErrorOrAWorkingTokenizer) {
  const std::string whole = read_text(tokenizer_fixture("small/tokenizer.json"));
  Random random(1);
  int loaded = 0, refused = 0;
  for (int round = 0; round < 400; ++round) {
    std::string text = whole;
    for (std::size_t flips = 1 + random.below(4); flips > 0; --flips) {
      char& c = text[random.below(text.size())];
      c = static_cast<char>(c ^ (1 << random.below(8)));
    }
    const auto t = Tokenizer::parse_json(text, "t.json");
    t ? ++loaded : ++refused;
    if (t) use(**t);
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(loaded, 0);
}

TEST(BadGguf, FlippedBitsGiveAnErrorOrAWorkingTokenizer) {
  const std::string whole = read_text(tokenizer_fixture("small/tokenizer.gguf"));
  Random random(2);
  int loaded = 0, refused = 0;
  for (int round = 0; round < 400; ++round) {
    std::string bytes = whole;
    for (std::size_t flips = 1 + random.below(4); flips > 0; --flips) {
      char& c = bytes[random.below(bytes.size())];
      c = static_cast<char>(c ^ (1 << random.below(8)));
    }
    const auto file = parse_gguf(std::as_bytes(std::span(bytes)), "t.gguf");
    if (!file) continue;
    const auto t = Tokenizer::load(*file);
    t ? ++loaded : ++refused;
    if (t) use(**t);
  }
  EXPECT_GT(refused, 10);
  EXPECT_GT(loaded, 10);
}

// The keys of a Gemma 3 file with a few pieces: bytes, two letters, and what they make.
class Gguf {
 public:
  Gguf() {
    const std::string digits = "0123456789ABCDEF";
    for (const char* piece : {"<pad>", "<eos>", "<bos>"}) add(piece, 3, -1000);
    for (unsigned b = 0; b < 256; ++b) {
      bytes_.push_back(std::string("<0x") + digits[b / 16] + digits[b % 16] + ">");
    }
    for (const std::string& piece : bytes_) add(piece, 6, 0);
    for (const char* piece : {"a", "b"}) add(piece, 1, -10);
    add("ab", 1, -1);
    add("aba", 1, -2);
    add("<b>", 4, -1000);
  }
  void add(std::string_view piece, std::int64_t type, double score) {
    tokens.push_back(piece);
    types.push_back(type);
    scores.push_back(score);
  }
  TensorFile file() const {
    TensorFile f;
    f.path = "t.gguf";
    f.meta["tokenizer.ggml.model"] = std::string_view(model);
    f.meta["tokenizer.ggml.tokens"] = MetaArray(tokens);
    f.meta["tokenizer.ggml.token_type"] = MetaArray(types);
    f.meta["tokenizer.ggml.scores"] = MetaArray(scores);
    if (!merges.empty()) f.meta["tokenizer.ggml.merges"] = MetaArray(merges);
    return f;
  }
  std::string error() const {
    const auto t = Tokenizer::load(file());
    return t ? "" : t.error().text();
  }
  std::string model = "llama";
  std::vector<std::string_view> tokens, merges;
  std::vector<std::int64_t> types;
  std::vector<double> scores;

 private:
  std::vector<std::string> bytes_;
};

TEST(BadGguf, AFileOfFewPiecesLoadsAndMergesByScore) {
  const Gguf gguf;
  const auto t = take(Tokenizer::load(gguf.file()));
  const auto id = [&](const char* piece) { return *t->find(piece); };
  EXPECT_EQ(t->kind(), "gemma3 scores");
  EXPECT_EQ(t->n_merges(), 2U);  // a + b, ab + a
  EXPECT_EQ(t->encode("abab"), (std::vector<TokenId>{id("ab"), id("ab")}));
  EXPECT_EQ(t->encode("aba<b>"), (std::vector<TokenId>{id("aba"), id("<b>")}));
  EXPECT_EQ(t->bos(), 2);
  EXPECT_EQ(t->eos(), 1);
}

TEST(BadGguf, EachWrongKeyHasItsSentence) {
  const auto expect = [](const std::function<void(Gguf&)>& change, const std::string& part) {
    Gguf gguf;
    change(gguf);
    const std::string what = gguf.error();
    EXPECT_NE(what.find(part), std::string::npos) << "wanted \"" << part << "\", got: " << what;
    EXPECT_EQ(what.rfind("t.gguf: ", 0), 0U) << what;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  expect([](Gguf& g) { g.model = "gpt2"; }, "tokenizer.ggml.model is \"gpt2\"");
  expect([](Gguf& g) { g.model = "gemma4"; }, "no tokenizer.ggml.merges");
  expect([](Gguf& g) { g.model = "gemma4", g.merges = {"ab"}; }, "merge 0 of");
  expect([](Gguf& g) { g.model = "gemma4", g.merges = {"a b", "a c"}; }, "merge 1 joins");
  expect([](Gguf& g) { g.tokens.pop_back(); },
         "token_type has 264 entries, but the vocabulary has 263");
  expect([](Gguf& g) { g.scores.pop_back(); },
         "scores has 263 entries, but the vocabulary has 264");
  expect([nan](Gguf& g) { g.scores[7] = nan; }, "scores[7] is not a finite number");
  expect([](Gguf& g) { g.tokens[261] = "b"; },
         "the same piece twice, as id 260 (\"b\") and as id 261");
  expect([](Gguf& g) { g.tokens[261] = ""; }, "piece 261 has 0 bytes");
  expect([](Gguf& g) { g.tokens[261] = "\xFF"; }, "piece 261 is not valid UTF-8");
  expect([](Gguf& g) { g.tokens[9] = "x"; }, "no piece <0x06>");
  expect([](Gguf& g) { g.tokens[261] = "zz", g.tokens[262] = "zzz"; }, "has 0 merges");
}

TEST(BadGguf, AMissingKeyOrAKeyOfAnotherTypeIsNamed) {
  const Gguf gguf;
  for (const char* key :
       {"tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.scores"}) {
    TensorFile missing = gguf.file();
    missing.meta.erase(key);
    const auto absent = Tokenizer::load(missing);
    ASSERT_FALSE(absent);
    EXPECT_NE(absent.error().what.find(key), std::string::npos);
    TensorFile wrong = gguf.file();
    wrong.meta[key] = true;
    const auto other = Tokenizer::load(wrong);
    ASSERT_FALSE(other);
    EXPECT_NE(other.error().what.find(std::string(key) + " must be an array"), std::string::npos);
  }
  TensorFile bos = gguf.file();
  bos.meta["tokenizer.ggml.bos_token_id"] = std::int64_t{5000};
  EXPECT_FALSE(Tokenizer::load(bos));
}

TEST(BadGguf, AFolderWithoutTokenizerJsonIsAnError) {
  TensorFile folder;
  folder.kind = FileKind::HuggingFace;
  folder.path = "folder";
  const auto t = Tokenizer::load(folder);
  ASSERT_FALSE(t);
  EXPECT_EQ(t.error().code, Errc::NotFound);
  EXPECT_FALSE(Tokenizer::load_json(tokenizer_fixture("no such file.json")));
}

}  // namespace
}  // namespace bezel::test
