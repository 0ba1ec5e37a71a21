#include <gtest/gtest.h>

#include <limits>

#include "formats/gguf_builder.h"
#include "formats/tensor_file.h"

namespace bezel {
namespace {

Result<TensorFile> parse(const AlignedBytes& bytes) {
  return parse_gguf(bytes.span(), "m.gguf");
}

// One key of every kind and three tensors of different rank.
GgufBuilder small_file() {
  GgufBuilder b;
  b.key_text("general.architecture", "gemma4").key_text("tokenizer.chat_template", "{{ x }}");
  b.key<std::uint8_t>("k.u8", 0, 200).key<std::int8_t>("k.i8", 1, -5);
  b.key<std::uint16_t>("k.u16", 2, 60000).key<std::int16_t>("k.i16", 3, -300);
  b.key<std::uint32_t>("k.u32", 4, 4000000000U).key<std::int32_t>("k.i32", 5, -70000);
  b.key<float>("k.f32", 6, 0.5F).key<std::uint8_t>("k.bool", 7, 1);
  b.key<std::uint64_t>("k.u64", 10, UINT64_MAX).key<std::int64_t>("k.i64", 11, INT64_MIN);
  b.key<double>("k.f64", 12, 1e300);
  b.key_array("a.bool", 7, 3).keys.raw(std::string_view("\1\0\1", 3));
  b.key_array("a.i8", 1, 2).keys.put<std::int8_t>(-1).put<std::int8_t>(7);
  b.key_array("a.u32", 4, 2).keys.put<std::uint32_t>(1).put<std::uint32_t>(4000000000U);
  b.key_array("a.f32", 6, 1).keys.put<float>(0.25F);
  b.key_array("a.text", 8, 2).keys.text("one").text("");
  b.key_array("a.empty", 4, 0);
  b.tensor("vector", {5}).tensor("matrix", {4, 3}).tensor("v.patch", {2, 2, 3});
  return b;
}

TEST(Gguf, ReadsEveryKindOfMetadata) {
  const AlignedBytes bytes(small_file().build());
  auto file = parse(bytes);
  ASSERT_TRUE(file) << file.error().text();
  const auto whole = [&](const char* key) { return *file->meta_int(key, 0, INT64_MIN, INT64_MAX); };
  EXPECT_EQ(whole("k.u8"), 200);
  EXPECT_EQ(whole("k.i8"), -5);
  EXPECT_EQ(whole("k.u16"), 60000);
  EXPECT_EQ(whole("k.i16"), -300);
  EXPECT_EQ(whole("k.u32"), 4000000000);
  EXPECT_EQ(whole("k.i32"), -70000);
  EXPECT_EQ(whole("k.bool"), 1);
  EXPECT_EQ(whole("k.i64"), INT64_MIN);
  EXPECT_EQ(std::get<std::uint64_t>(file->meta.at("k.u64")), UINT64_MAX);
  EXPECT_EQ(*file->meta_float("k.f32", 0), 0.5);
  EXPECT_EQ(*file->meta_float("k.f64", 0), 1e300);
  EXPECT_EQ(*file->meta_text("general.architecture", ""), "gemma4");
  EXPECT_EQ(file->chat_template, "{{ x }}");
  const auto array = [&](const char* key) { return std::get<MetaArray>(file->meta.at(key)); };
  using Whole = std::vector<std::int64_t>;
  EXPECT_EQ(std::get<Whole>(array("a.bool")), (Whole{1, 0, 1}));
  EXPECT_EQ(std::get<Whole>(array("a.i8")), (Whole{-1, 7}));
  EXPECT_EQ(std::get<Whole>(array("a.u32")), (Whole{1, 4000000000}));
  EXPECT_TRUE(std::get<Whole>(array("a.empty")).empty());
  EXPECT_EQ(std::get<std::vector<double>>(array("a.f32")), (std::vector<double>{0.25}));
  EXPECT_EQ(std::get<std::vector<std::string_view>>(array("a.text")),
            (std::vector<std::string_view>{"one", ""}));
}

TEST(Gguf, ShapesAreOutermostFirstAndDataPointsIntoTheFile) {
  const AlignedBytes bytes(small_file().build());
  auto file = parse(bytes);
  ASSERT_TRUE(file) << file.error().text();
  ASSERT_EQ(file->tensors.size(), 3U);
  EXPECT_EQ(file->kind, FileKind::Gguf);
  EXPECT_EQ(file->file_bytes, bytes.span().size());
  const Tensor* m = file->find("matrix");
  ASSERT_NE(m, nullptr);
  EXPECT_EQ(m->shape_text(), "[3, 4]");
  EXPECT_EQ(m->n_values(), 12);
  ASSERT_EQ(m->data.size(), 48U);
  float last;
  std::memcpy(&last, m->data.data() + 44, sizeof last);
  EXPECT_EQ(last, 11.0F);
  EXPECT_EQ(file->find("v.patch")->shape_text(), "[3, 2, 2]");
  EXPECT_EQ(file->find("missing"), nullptr);
}

TEST(Gguf, TheAlignmentKeyMovesTheData) {
  for (const std::uint32_t a : {8U, 64U, 65536U}) {
    GgufBuilder b;
    b.alignment = a;
    b.key<std::uint32_t>("general.alignment", 4, a).tensor("t", {2}).tensor("u", {3});
    const AlignedBytes bytes(b.build());
    auto file = parse(bytes);
    ASSERT_TRUE(file) << file.error().text();
    EXPECT_EQ((file->find("u")->data.data() - bytes.span().data()) % a, 0U);
  }
}

TEST(Gguf, AFileWithoutTensorsIsReadAsTheFirstPartOfASplitModelMayBe) {
  GgufBuilder b;
  b.key<std::uint16_t>("split.count", 2, 2);
  b.alignment = 1;  // the file ends before the data section would begin
  const AlignedBytes bytes(b.build());
  ASSERT_NE(bytes.span().size() % 32, 0U);
  EXPECT_TRUE(parse(bytes));
}

TEST(Gguf, TypedAccessChecksKindAndRangeAndNamesTheKey) {
  const AlignedBytes bytes(small_file().build());
  auto file = parse(bytes);
  ASSERT_TRUE(file);
  EXPECT_EQ(*file->meta_int("absent", 9, 0, 5), 9) << "the fallback is the caller's own";
  EXPECT_EQ(*file->meta_float("k.u8", 0), 200.0);
  EXPECT_EQ(*file->meta_text("absent", "x"), "x");
  EXPECT_TRUE(file->has("k.u8"));
  EXPECT_FALSE(file->has("absent"));
  const auto names = [](const Error& e, const char* key) {
    return e.what.find(key) != std::string::npos && e.where == "m.gguf";
  };
  EXPECT_TRUE(names(file->meta_int("k.u8", 0, 0, 199).error(), "k.u8"));
  EXPECT_TRUE(names(file->meta_int("k.i8", 0, 0, 199).error(), "k.i8"));
  EXPECT_TRUE(names(file->meta_int("k.u64", 0, 0, INT64_MAX).error(), "k.u64"));
  EXPECT_TRUE(names(file->meta_int("k.f32", 0, 0, 9).error(), "k.f32"));
  EXPECT_TRUE(names(file->meta_int("a.u32", 0, 0, 9).error(), "a.u32"));
  EXPECT_TRUE(names(file->meta_float("general.architecture", 0).error(), "general.architecture"));
  EXPECT_TRUE(names(file->meta_text("k.u8", "").error(), "k.u8"));
}

TEST(Gguf, AScalarWidensToAnArrayAndAnArrayMustHaveTheRightLength) {
  const AlignedBytes bytes(small_file().build());
  auto file = parse(bytes);
  ASSERT_TRUE(file);
  using Whole = std::vector<std::int64_t>;
  EXPECT_EQ(*file->meta_ints("k.u8", 3, 0, 0, 255), (Whole{200, 200, 200}));
  EXPECT_EQ(*file->meta_ints("absent", 2, 4, 0, 255), (Whole{4, 4}));
  EXPECT_EQ(*file->meta_ints("a.bool", 3, 0, 0, 1), (Whole{1, 0, 1}));
  EXPECT_FALSE(file->meta_ints("a.bool", 2, 0, 0, 1)) << "three values, not two";
  EXPECT_FALSE(file->meta_ints("a.i8", 2, 0, 0, 100)) << "-1 is out of range";
  EXPECT_FALSE(file->meta_ints("a.f32", 1, 0, 0, 100)) << "fractions";
  EXPECT_FALSE(file->meta_ints("a.text", 2, 0, 0, 100));
}

}  // namespace
}  // namespace bezel
