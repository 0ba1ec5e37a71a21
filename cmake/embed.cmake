# Makes a C++ file that holds every file of a folder.
#   cmake -DFOLDER=web/dist -DOUT=page_files.cpp -P cmake/embed.cmake
cmake_policy(SET CMP0057 NEW)
file(GLOB_RECURSE files RELATIVE ${FOLDER} ${FOLDER}/*)
list(SORT files)
if(NOT "index.html" IN_LIST files)
  message(FATAL_ERROR "${FOLDER} lacks index.html: it is committed; `npm run build` in web/ makes it anew")
endif()
set(arrays "")
set(table "")
set(number 0)
foreach(file IN LISTS files)
  get_filename_component(ending ${file} LAST_EXT)
  if(ending STREQUAL ".html")
    set(type "text/html; charset=utf-8")
  elseif(ending STREQUAL ".js")
    set(type "text/javascript; charset=utf-8")
  elseif(ending STREQUAL ".css")
    set(type "text/css; charset=utf-8")
  elseif(ending STREQUAL ".svg")
    set(type "image/svg+xml")
  elseif(ending STREQUAL ".txt")
    set(type "text/plain; charset=utf-8")
  else()
    message(FATAL_ERROR "cmake/embed.cmake knows no content type for ${file}")
  endif()
  file(READ ${FOLDER}/${file} hex HEX)
  string(LENGTH "${hex}" size)
  math(EXPR size "${size} / 2")
  string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${hex}")
  # Lines of 64 bytes, as literals that the compiler joins.
  string(REGEX REPLACE "(................................................................................................................................................................................................................................................................)" "\\1\"\n\"" bytes "${bytes}")
  string(APPEND arrays "const char file_${number}[] =\n\"${bytes}\";\n")
  if(file STREQUAL "index.html")
    set(path "/")
  else()
    set(path "/${file}")
  endif()
  string(APPEND table "    {\"${path}\", \"${type}\", {file_${number}, ${size}}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT}.new "// Made by cmake/embed.cmake.
#include <span>

#include \"server/page.h\"

namespace bezel {

std::span<const PageFile> page_files();

namespace {

${arrays}
const PageFile kFiles[] = {
${table}};

}  // namespace

std::span<const PageFile> page_files() {
  return kFiles;
}

}  // namespace bezel
")
file(COPY_FILE ${OUT}.new ${OUT} ONLY_IF_DIFFERENT)
file(REMOVE ${OUT}.new)
