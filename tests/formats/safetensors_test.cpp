#include <gtest/gtest.h>

#include <random>

#include "base/temp_folder.h"
#include "formats/gguf_builder.h"
#include "formats/tensor_file.h"

namespace bezel {
namespace {

std::string safetensors(std::string header, std::string_view data) {
  while (header.size() % 8 != 0) header += ' ';
  return Bytes().text(header).raw(data).str();
}

std::string refusal(const std::string& file) {
  const AlignedBytes bytes(file);
  TensorFile into;
  const Status ok = parse_safetensors(bytes.span(), "m.safetensors", into);
  if (!ok) {
    EXPECT_TRUE(into.tensors.empty()) << "nothing of a wrong file is used";
  }
  return ok ? "" : ok.error().text();
}

// The refusal of one tensor "t" with these fields over 16 bytes of data.
std::string refusal_of(std::string_view fields) {
  return refusal(safetensors(R"({"t":{)" + std::string(fields) + "}}", std::string(16, '\0')));
}

#define EXPECT_REFUSED(why_not, word)                                   \
  do {                                                                  \
    const std::string why = why_not;                                    \
    EXPECT_NE(why.find(word), std::string::npos) << "refusal: " << why; \
    EXPECT_EQ(why.find("m.safetensors"), 0U) << "names the file";       \
  } while (false)

constexpr const char* kGood =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[16,24]},)"
    R"("a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"s":{"dtype":"F16","shape":[],"data_offsets":[24,26]}})";

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirDataAndScalarsAsOneValue) {
  const AlignedBytes bytes(safetensors(kGood, "0123456789abcdefBBBBBBBBss"));
  TensorFile file;
  const Status ok = parse_safetensors(bytes.span(), "m", file);
  ASSERT_TRUE(ok) << ok.error().text();
  ASSERT_EQ(file.tensors.size(), 3U);
  EXPECT_EQ(file.tensors[0].name, "a");
  EXPECT_EQ(file.tensors[1].shape_text(), "[2, 2]");
  EXPECT_EQ(file.tensors[1].type, DType::BF16);
  EXPECT_EQ(static_cast<char>(file.tensors[1].data[0]), 'B');
  EXPECT_EQ(file.tensors[2].shape_text(), "[1]");
}

TEST(Safetensors, ATensorIsDescribedByTypeShapeAndPlaceThatAgree) {
  EXPECT_EQ(refusal_of(R"("dtype":"F32","shape":[2,2],"data_offsets":[0,16])"), "");
  EXPECT_REFUSED(refusal_of(R"("dtype":"F32","shape":[2],"data_offsets":[0,16])"),
                 "expected 8 bytes");
  EXPECT_REFUSED(refusal_of(R"("dtype":"F16","shape":[2,2],"data_offsets":[0,16])"),
                 "expected 8 bytes");
  EXPECT_REFUSED(refusal_of(R"("shape":[2,2],"data_offsets":[0,16])"), "tensor t");
  EXPECT_REFUSED(refusal_of(R"("dtype":"F32","data_offsets":[0,16])"), "shape");
  EXPECT_REFUSED(refusal_of(R"("dtype":"F32","shape":[2,2])"), "data_offsets");
  EXPECT_REFUSED(refusal_of(R"("dtype":32,"shape":[2,2],"data_offsets":[0,16])"), "dtype");
  EXPECT_REFUSED(refusal_of(R"("dtype":"F32","shape":"x","data_offsets":[0,16])"), "shape");
  EXPECT_REFUSED(refusal_of(R"("dtype":"F32","shape":[2,2],"data_offsets":[0,16,0])"),
                 "data_offsets");
  EXPECT_REFUSED(refusal_of(R"("dtype":"F64","shape":[2],"data_offsets":[0,16])"), "type F64");
  EXPECT_REFUSED(refusal(safetensors(R"({"t":[]})", "")), "tensor t");
}

TEST(Safetensors, ShapesAtTheEdgesOfIntegersAreRefused) {
  for (const char* n : {"-1", "0", "0.5", "1e3", "2147483648", "4294967296", "4611686018427387904",
                        "4611686018427387908", "9223372036854775807", "9223372036854775808",
                        "18446744073709551615", "18446744073709551616", "1e400", "null", "\"4\""}) {
    const std::string field = n;
    EXPECT_NE(refusal_of(R"("dtype":"F32","shape":[)" + field + R"(],"data_offsets":[0,16])"), "")
        << n;
    EXPECT_NE(refusal_of(R"("dtype":"F32","shape":[4,)" + field + R"(],"data_offsets":[0,16])"), "")
        << n;
    if (field == "0") continue;  // the right place
    EXPECT_NE(refusal_of(R"("dtype":"F32","shape":[4],"data_offsets":[)" + field + ",16]"), "")
        << n;
  }
}

TEST(Safetensors, ProductsThatOverflowAreRefused) {
  for (const char* shape :
       {"4294967296,4294967296", "4611686018427387904,4", "65536,65536,65536,65536",
        "4611686018427387904", "4611686018427387908"}) {
    EXPECT_REFUSED(refusal_of(R"("dtype":"F32","shape":[)" + std::string(shape) +
                              R"(],"data_offsets":[0,16])"),
                   "tensor t");
  }
  EXPECT_REFUSED(refusal_of(R"("dtype":"F32","shape":[1,1,1,1,4],"data_offsets":[0,16])"),
                 "dimensions");
}

TEST(Safetensors, PlacesPastTheEndOrBackwardsAreRefused) {
  for (const char* place :
       {"0,17", "16,32", "16,0", "1,17", "9223372036854775807,9223372036854775807",
        "0,9223372036854775807", "18446744073709551600,0", "-16,0"}) {
    EXPECT_REFUSED(
        refusal_of(R"("dtype":"F32","shape":[4],"data_offsets":[)" + std::string(place) + "]"),
        "tensor t");
  }
}

TEST(Safetensors, TensorsCoverTheDataWithoutHolesAndWithoutOverlap) {
  const auto two = [](const char* first, const char* second, std::size_t n) {
    return refusal(
        safetensors(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + std::string(first) +
                        R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}",
                    std::string(n, 'x')));
  };
  EXPECT_EQ(two("[0,4]", "[4,8]", 8), "");
  EXPECT_EQ(two("[4,8]", "[0,4]", 8), "");
  EXPECT_REFUSED(two("[0,4]", "[0,4]", 8), "overlaps");
  EXPECT_REFUSED(two("[0,4]", "[2,6]", 6), "overlaps");
  EXPECT_REFUSED(two("[0,4]", "[5,9]", 9), "belong to none");
  EXPECT_REFUSED(two("[1,5]", "[5,9]", 9), "belong to none");
  EXPECT_REFUSED(two("[0,4]", "[4,8]", 9), "belong to no tensor");
}

TEST(Safetensors, AFloatTensorAtAnOddPlaceIsRefused) {
  EXPECT_REFUSED(refusal(safetensors(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                     R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
                                     "12345")),
                 "multiple of 4");
}

TEST(Safetensors, HeadersLongerThanTheFileOrTheLimitAreRefused) {
  EXPECT_REFUSED(refusal(""), "not a safetensors file");
  EXPECT_REFUSED(refusal("1234567"), "not a safetensors file");
  for (const std::uint64_t n :
       {3ULL, 100'000'001ULL, 0x80000000ULL, 0x100000000ULL, 0x7FFFFFFFFFFFFFFFULL,
        0x8000000000000000ULL, 0xFFFFFFFFFFFFFFF8ULL, 0xFFFFFFFFFFFFFFFFULL}) {
    EXPECT_REFUSED(refusal(Bytes().put(n).raw("{}").str()), "header");
  }
  EXPECT_REFUSED(refusal(safetensors("[]", "")), "object");
  EXPECT_REFUSED(refusal(safetensors("{", "")), "not valid JSON");
  EXPECT_REFUSED(refusal(safetensors(std::string(100'000, '['), "")), "nesting");
  EXPECT_REFUSED(refusal(safetensors(R"({"a\n":{}})", "")), "name");
}

TEST(SafetensorsDamage, EveryShorterFileIsRefused) {
  const std::string file = safetensors(kGood, "0123456789abcdefBBBBBBBBss");
  ASSERT_EQ(refusal(file), "");
  for (std::size_t n = 0; n < file.size(); ++n) EXPECT_NE(refusal(file.substr(0, n)), "") << n;
}

TEST(SafetensorsDamage, ThousandsOfRandomlyDamagedFilesEndInAResult) {
  const std::string file = safetensors(kGood, "0123456789abcdefBBBBBBBBss");
  std::mt19937 random(11);
  int read = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = file;
    constexpr std::string_view kLoud = "0123456789-,:{}[]\"\\eE.";
    const auto n = 1 + random() % 3;
    for (std::size_t i = 0; i < n; ++i) {
      const auto kind = random() % 3;
      const std::size_t at = random() % damaged.size();
      if (kind == 0) damaged[at] = kLoud[random() % kLoud.size()];
      if (kind == 1) damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
      if (kind == 2) damaged.insert(at, 1, kLoud[random() % kLoud.size()]);
    }
    const AlignedBytes bytes(damaged);
    TensorFile into;
    const bool ok = static_cast<bool>(parse_safetensors(bytes.span(), "m", into));
    ++(ok ? read : refused);
    touch(into);
  }
  EXPECT_GT(read, 100) << "damage to data alone is not seen";
  EXPECT_GT(refused, 1000);
}

// ---- Writing

TEST(SafetensorsWriter, WhatItWritesIsReadBackWhateverTheOrderOfThePieces) {
  const TempFolder folder;
  auto writer = SafetensorsWriter::create(folder.file("out.safetensors"),
                                          {{"x", DType::F32, {2, 2}}, {"ids", DType::I32, {3}}});
  ASSERT_TRUE(writer) << writer.error().text();
  const float x[] = {1, 2, 3, 4};
  const std::int32_t ids[] = {7, 8, 9};
  (*writer)->append(1, ids, 4);
  (*writer)->append(0, x, 8);
  (*writer)->append(1, ids + 1, 8);
  (*writer)->append(0, x + 2, 8);
  const Status done = (*writer)->finish();
  ASSERT_TRUE(done) << done.error().text();
  auto file = open_tensor_file(folder.file("out.safetensors"));
  ASSERT_TRUE(file) << file.error().text();
  ASSERT_EQ(file->find("x")->data.size(), sizeof x);
  EXPECT_EQ(std::memcmp(file->find("x")->data.data(), x, sizeof x), 0);
  EXPECT_EQ(std::memcmp(file->find("ids")->data.data(), ids, sizeof ids), 0);
  EXPECT_EQ(file->find("ids")->type, DType::I32);
  EXPECT_EQ(folder.n_files(), 1);
}

TEST(SafetensorsWriter, ASlotThatIsNotFullIsAnErrorAndLeavesNoFile) {
  const TempFolder folder;
  {
    auto writer =
        SafetensorsWriter::create(folder.file("out.safetensors"), {{"x", DType::F32, {2}}});
    ASSERT_TRUE(writer);
    (*writer)->append(0, "1234", 4);
    const Status done = (*writer)->finish();
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().what.find("tensor x"), std::string::npos);
  }
  EXPECT_EQ(folder.n_files(), 0);
}

TEST(SafetensorsWriter, AFullDiskIsASentence) {
  auto writer = SafetensorsWriter::create("/dev/full", {{"x", DType::F32, {1}}});
  ASSERT_TRUE(writer);
  (*writer)->append(0, "1234", 4);
  const Status done = (*writer)->finish();
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().what.find("disk is full"), std::string::npos) << done.error().text();
}

}  // namespace
}  // namespace bezel
