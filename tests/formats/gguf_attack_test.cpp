// Files made to break a reader. Each test is a kind of hole that was found in some program.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "formats/gguf_builder.h"
#include "formats/tensor_file.h"
namespace bezel {
namespace {

constexpr std::uint64_t kEdges[] = {
    0x7FFFFFFFULL,         0x80000000ULL,         0x80000001ULL,         0xFFFFFFFFULL,
    0x100000000ULL,        0x100000001ULL,        0x3FFFFFFFFFFFFFFFULL, 0x4000000000000000ULL,
    0x4000000000000001ULL, 0x7FFFFFFFFFFFFFFFULL, 0x8000000000000000ULL, 0x8000000000000001ULL,
    0xFFFFFFFFFFFFFFE0ULL, 0xFFFFFFFFFFFFFFFFULL};

// The error for a file, or "" when it was read.
std::string refusal(const std::string& file) {
  const AlignedBytes bytes(file);
  auto parsed = parse_gguf(bytes.span(), "m.gguf");
  return parsed ? "" : parsed.error().text();
}
std::string refusal(const GgufBuilder& b) {
  return refusal(b.build());
}

#define EXPECT_REFUSED(file, word)                                      \
  do {                                                                  \
    const std::string why = refusal(file);                              \
    EXPECT_NE(why.find(word), std::string::npos) << "refusal: " << why; \
    EXPECT_EQ(why.find("m.gguf"), 0U) << "names the file: " << why;     \
  } while (false)

GgufBuilder good() {
  GgufBuilder b;
  b.key_text("general.architecture", "gemma4").tensor("a", {8}).tensor("b", {4, 2});
  return b;
}

TEST(GgufAttack, TheGoodFileThatTheOthersAreMadeFromIsRead) {
  EXPECT_EQ(refusal(good()), "");
}

TEST(GgufAttack, WrongMagicAndOtherVersionsAreNamed) {
  EXPECT_REFUSED(std::string("GGML") + good().build().substr(4), "not a GGUF file");
  EXPECT_REFUSED(std::string(), "not a GGUF file");
  for (const std::uint32_t version : {0U, 1U, 2U, 4U}) {
    GgufBuilder b = good();
    b.version = version;
    EXPECT_REFUSED(b, "version " + std::to_string(version));
  }
  GgufBuilder b = good();
  b.version = 0x03000000;
  EXPECT_REFUSED(b, "big-endian");
}

TEST(GgufAttack, CountsLargerThanTheFileAreRefusedBeforeMemoryIsTaken) {
  for (const std::uint64_t n : kEdges) {
    GgufBuilder b = good();
    b.n_tensors = n;
    EXPECT_REFUSED(b, "tensors");
    b = good();
    b.n_keys = n;
    EXPECT_REFUSED(b, "keys");
  }
}

TEST(GgufAttack, LengthsOfTextsAtTheEdgesOfIntegersAreRefused) {
  for (const std::uint64_t n : kEdges) {
    GgufBuilder b = good();
    b.keys.put(n).raw("key").put<std::uint32_t>(4).put<std::uint32_t>(0);
    ++b.n_keys;
    EXPECT_REFUSED(b, "ends");
    b = good();
    b.keys.text("key").put<std::uint32_t>(8).put(n).raw("value");
    ++b.n_keys;
    EXPECT_REFUSED(b, "ends");
    b = good();
    b.tensors.put(n).raw("name");
    b.tensors.raw(std::string(64, 'x'));
    ++b.n_tensors;
    EXPECT_REFUSED(b, "ends");
  }
}

TEST(GgufAttack, GiantMetadataArraysAreRefusedBeforeMemoryIsTaken) {
  for (const std::uint32_t type : {0U, 1U, 2U, 4U, 6U, 7U, 8U, 10U, 12U}) {
    for (const std::uint64_t n : kEdges) {
      GgufBuilder b = good();
      b.key_array("giant", type, n).keys.raw(std::string(100, '\0'));
      EXPECT_REFUSED(b, "giant");
    }
    GgufBuilder b = good();
    b.key_array("large", type, 1U << 23U).keys.raw(std::string(100, '\0'));
    EXPECT_REFUSED(b, "ends");
  }
}

TEST(GgufAttack, ManyArraysTogetherHaveOneLimit) {
  GgufBuilder b = good();
  for (int i = 0; i < 5; ++i) {
    b.key_array(fmt::format("a{}", i), 0, 1U << 22U).keys.raw(std::string(1U << 22U, '\0'));
  }
  EXPECT_REFUSED(b, "all arrays");
}

TEST(GgufAttack, ArraysOfArraysAreRefusedWithoutRecursion) {
  GgufBuilder b = good();
  b.key_array("deep", 9, 1);
  for (int i = 0; i < 100'000; ++i) b.keys.put<std::uint32_t>(9).put<std::uint64_t>(1);
  EXPECT_REFUSED(b, "array of arrays");
}

TEST(GgufAttack, UnknownValueTypesAreRefused) {
  EXPECT_REFUSED(good().key<std::uint32_t>("odd", 13, 0), "odd");
  EXPECT_REFUSED(good().key<std::uint32_t>("odd", 0xFFFFFFFF, 0), "odd");
  EXPECT_REFUSED(good().key_array("odd", 13, 0), "odd");
  GgufBuilder b = good();
  b.key_array("odd", 10, 1).keys.put<std::uint64_t>(1ULL << 63U);
  EXPECT_REFUSED(b, "odd");
}

TEST(GgufAttack, KeysAndNamesThatOccurTwiceAreRefused) {
  EXPECT_REFUSED(good().key_text("general.architecture", "gemma3"), "twice");
  EXPECT_REFUSED(good().tensor("a", {8}), "twice");
}

TEST(GgufAttack, NamesMustBeReadableText) {
  for (const std::string& name :
       {std::string(), std::string("a\nb"), std::string("\x1b[2J"), std::string("\xFF"),
        std::string("a\0b", 3), std::string(100'000, 'x')}) {
    EXPECT_REFUSED(good().tensor(name, {8}), "name");
    EXPECT_REFUSED(good().key_text(name, ""), "key");
  }
}

TEST(GgufAttack, TheAlignmentMustBeAPowerOfTwoWithinLimits) {
  for (const std::uint32_t a : {0U, 1U, 4U, 24U, 33U, 131072U, 0x80000000U, 0xFFFFFFFFU}) {
    EXPECT_REFUSED(good().key<std::uint32_t>("general.alignment", 4, a), "general.alignment");
  }
  EXPECT_REFUSED(good().key_text("general.alignment", "32"), "general.alignment");
  EXPECT_REFUSED(good().key<std::uint64_t>("general.alignment", 10, UINT64_MAX),
                 "general.alignment");
}

TEST(GgufAttack, TensorsHaveOneToFourDimensionsOfAtLeastOne) {
  EXPECT_REFUSED(good().describe("t", {}, 0, 0), "dimensions");
  EXPECT_REFUSED(good().describe("t", {1, 1, 1, 1, 1}, 0, 0), "dimensions");
  for (std::size_t zero = 0; zero < 4; ++zero) {
    std::vector<std::uint64_t> ne(4, 1);
    ne[zero] = 0;
    EXPECT_REFUSED(good().describe("t", ne, 0, 0), "tensor t");
    ne[zero] = UINT64_MAX;  // -1
    EXPECT_REFUSED(good().describe("t", ne, 0, 0), "tensor t");
  }
  GgufBuilder b = good();
  b.tensors.text("t").put<std::uint32_t>(0xFFFFFFFF).raw(std::string(64, '\1'));
  ++b.n_tensors;
  EXPECT_REFUSED(b, "dimensions");
}

TEST(GgufAttack, SizesThatOverflowAreRefused) {
  const std::vector<std::vector<std::uint64_t>> shapes = {
      {1ULL << 32U, 1ULL << 32U},        // 2^64 values: 0 when it wraps
      {1ULL << 62U, 4},                  // 2^64
      {1ULL << 62U},                     // 2^64 bytes of F32
      {(1ULL << 62U) + 8},               // wraps to 32 bytes
      {1ULL << 31U, 1ULL << 31U, 2, 2},  // 2^64
      {0x8000000000000001ULL, 2},        // wraps to 2
      {1ULL << 16U, 1ULL << 16U, 1ULL << 16U, 1ULL << 16U}};
  for (const auto& ne : shapes) {
    for (const std::uint32_t type : {0U, 1U, 30U}) {
      EXPECT_REFUSED(good().describe("t", ne, type, 0), "tensor t");
    }
  }
  for (const std::uint64_t n : kEdges) {
    EXPECT_REFUSED(good().describe("t", {n}, 0, 0), "tensor t");
    EXPECT_REFUSED(good().describe("t", {8, n}, 0, 0), "tensor t");
    EXPECT_REFUSED(good().describe("t", {256, n}, 12, 0), "tensor t");
  }
}

TEST(GgufAttack, RowsMustConsistOfWholeBlocks) {
  EXPECT_REFUSED(good().describe("t", {31}, 2, 0), "multiple of 32");
  EXPECT_REFUSED(good().describe("t", {128, 2}, 12, 0), "multiple of 256");
}

TEST(GgufAttack, OffsetsPastTheEndOrNearTheEdgesOfIntegersAreRefused) {
  for (const std::uint64_t n : kEdges) {
    EXPECT_REFUSED(good().describe("t", {8}, 0, n), "tensor t");
    EXPECT_REFUSED(good().describe("t", {8}, 0, n / 32 * 32), "tensor t");
  }
  EXPECT_REFUSED(good().describe("t", {8}, 0, 33), "multiple of 32");
  EXPECT_REFUSED(good().describe("t", {8}, 0, 64), "tensor t");  // begins where the data ends
}

TEST(GgufAttack, ATensorThatEndsOneByteAfterTheFileIsRefused) {
  GgufBuilder b;
  b.describe("t", {16}, 0, 0).data.raw(std::string(64, 'x'));
  EXPECT_EQ(refusal(b), "");
  std::string file = b.build();
  file.pop_back();
  EXPECT_REFUSED(file, "not complete");
}

TEST(GgufAttack, TensorsThatShareBytesAreRefused) {
  EXPECT_REFUSED(good().describe("t", {8}, 0, 0), "overlaps");
  EXPECT_REFUSED(good().describe("t", {8, 2}, 0, 0), "overlaps");
  EXPECT_REFUSED(good().describe("t", {1}, 0, 32), "overlaps");
}

TEST(GgufAttack, UnreadableTypesNameTheTensorAndWhatIsRead) {
  EXPECT_REFUSED(good().describe("blk.0.w", {32}, 39, 0), "tensor blk.0.w: type MXFP4");
  EXPECT_REFUSED(good().describe("blk.0.w", {32}, 0xFFFFFFFF, 0), "Q4_K");
}

// ---- Damage to a real file

GgufBuilder rich() {
  GgufBuilder b = good();
  b.key<float>("f", 6, 1.0F)
      .key<std::uint8_t>("y", 7, 1)
      .key<std::uint32_t>("general.alignment", 4, 32);
  b.key_array("s", 8, 3).keys.text("one").text("two").text("three");
  b.key_array("n", 5, 4).keys.raw(std::string(16, '\2'));
  b.describe("q", {32, 2}, 2, b.data.str().size()).data.raw(std::string(64, 'q'));
  return b;
}

TEST(GgufDamage, EveryShorterFileIsRefused) {
  const std::string file = rich().build();
  ASSERT_EQ(refusal(file), "");
  // The padding behind the last tensor is the only part that may be missing.
  constexpr std::size_t kPadding = 64 - 36;
  for (std::size_t n = 0; n < file.size() - kPadding; ++n) {
    EXPECT_NE(refusal(file.substr(0, n)), "") << "cut to " << n << " of " << file.size();
  }
}

TEST(GgufDamage, EverySingleFlippedBitEndsInAResult) {
  const std::string file = rich().build();
  std::uint64_t sum = 0;
  for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
    std::string damaged = file;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const AlignedBytes bytes(damaged);
    auto parsed = parse_gguf(bytes.span(), "m.gguf");
    if (parsed) {
      sum += touch(*parsed);
    } else {
      ASSERT_FALSE(parsed.error().what.empty());
    }
  }
  EXPECT_GT(sum, 0U);
}

TEST(GgufDamage, ThousandsOfRandomlyDamagedFilesEndInAResult) {
  const std::string file = rich().build();
  std::mt19937 random(7);
  int read = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = file;
    const auto n = 1 + random() % 8;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = random() % damaged.size();
      constexpr unsigned char kLoud[] = {0, 1, 0x7F, 0x80, 0xFF};
      damaged[at] = static_cast<char>(random() % 2 ? random() : kLoud[random() % 5]);
    }
    if (random() % 4 == 0) damaged.resize(random() % damaged.size());
    const AlignedBytes bytes(damaged);
    auto parsed = parse_gguf(bytes.span(), "m.gguf");
    ++(parsed ? read : refused);
    if (parsed) touch(*parsed);
  }
  EXPECT_GT(read, 100) << "damage to data alone is not seen";
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace bezel
