// The test hub as a program, for scripts: serves FOLDER/OWNER/REPO/FILE and prints its address.
// Files of more than 1,000 bytes lie behind the redirect. Ends when standard input does.
//   test_hub_server FOLDER [BYTES]     BYTES: most of a second and connection
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "hub/test_hub.h"

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  if (argc < 2) return 2;
  bezel::test::TestHub hub;
  for (const auto& entry : fs::recursive_directory_iterator(argv[1])) {
    if (!entry.is_regular_file()) continue;
    const std::string path = fs::relative(entry.path(), argv[1]).string();
    const std::size_t file = path.find('/', path.find('/') + 1);
    std::ostringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    const bool large = text.str().size() > 1000;
    hub.add(path.substr(0, file), path.substr(file + 1), {text.str(), large});
  }
  if (argc > 2) hub.set_bytes_per_second(std::stoul(argv[2]));
  std::printf("%s\n", hub.url().c_str());
  (void)std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}
