#!/usr/bin/env python3
"""The house rules as a test: sizes, who may include whom, and what must or must not stand in the tree.

    check_house.py [ROOT]      one line a problem; exit status 1 when there is one

A limit is never raised in passing: a room that is full is split, or something is deleted.
"""
import os
import pathlib
import re
import sys

MAX_LINES, MAX_FILES, MAX_FUNCTION = 600, 12, 60
MAX_FILE_BYTES, MAX_FIXTURES_BYTES = 4 << 20, 80 << 20

# Rooms of src/ and what each may include besides itself and the porch (include/bezel).
MAY_USE = {
    "base": [],
    "formats": ["base"],
    "kernels": ["formats", "base"],
    "model": ["kernels", "formats", "base"],
    "text": ["formats", "base"],
    "engine": ["model", "text", "kernels", "formats", "base"],
    "train": ["model", "text", "kernels", "formats", "base"],
    "hub": ["formats", "base"],
    "server": ["base"],
}
# Libraries and the only places that may include them: (pattern of the header, places).
LIBRARIES = [
    (r"nlohmann/", ["src/base/json.h"]),
    (r"simdjson", ["src/text/"]),
    (r"CLI/", ["apps/"]),
    (r"boost/", ["src/server/http/"]),
    (r"sqlite3", ["src/server/chats/", "tests/server/"]),
    (r"curl/", ["src/hub/"]),
    (r"(sys/socket|netinet/.*|arpa/.*|netdb)\.h", ["src/server/", "src/hub/", "tests/"]),
    (r"([a-z0-9]*intrin|arm_neon|arm_acle|wasm_simd128)\.h", ["src/kernels/", "src/base/", "bench/", "tests/"]),
    (r"(format|expected|source_location)", []),  # not in GCC 12's library, or not without holes
]
PORCH_C_HEADERS = {"stddef.h", "stdint.h", "stdbool.h"}  # for the C interface
SKIPPED_FOLDERS = {".git", "build", "node_modules", "__pycache__", ".cache"}
CODE_ROOTS = ("src", "apps", "include", "tests", "bench", "tools", "cmake", "web")
DATA_FOLDERS = ("tests/fixtures", "tests/fuzz/corpus", "web/dist")
MUST_EXIST = ["README.md", "CHANGELOG.md", "LICENSE", "docs/map.md", "docs/notation.md", "docs/model.md",
              "docs/numerics.md", "docs/speed.md"]
MUST_RUN = ["run", "test", ".ci/run"]
# Paths of single machines, and marks of unfinished work. Written in pieces, so that this file passes.
FORBIDDEN = [
    ("a path of one machine", r"(?<![\w.])/" + r"(work|farm|root)/|/tmp/" + r"bash_jobs|\.\./" + "shared"),
    ("unfinished work", r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b"),
]
TEXT = {".cpp", ".h", ".py", ".sh", ".md", ".txt", ".json", ".cmake", ".ts", ".tsx", ".css", ".mjs", ".html", ".yml", ""}


def files(root):
    """Every file below root that is not built, as paths relative to it."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(names):
            yield pathlib.PurePosixPath(pathlib.Path(folder, name).relative_to(root).as_posix())


def is_data(path):
    return any(str(path).startswith(folder + "/") for folder in DATA_FOLDERS)


def is_code(path):
    return path.suffix in (".cpp", ".h", ".py", ".sh", ".cmake", ".ts", ".tsx", ".css", ".mjs") or path.name in ("run", "test", "CMakeLists.txt")


# ---- sizes

def check_sizes(root, paths):
    fixtures = 0
    for path in paths:
        size = (root / path).lstat().st_size
        if str(path).startswith("tests/fixtures/"):
            fixtures += size
        elif size > MAX_FILE_BYTES:
            yield f"{path}: {size / (1 << 20):.1f} MB, limit {MAX_FILE_BYTES >> 20} MB outside tests/fixtures"
    if fixtures > MAX_FIXTURES_BYTES:
        yield f"tests/fixtures: {fixtures / (1 << 20):.1f} MB, limit {MAX_FIXTURES_BYTES >> 20} MB"
    per_folder = {}
    for path in paths:
        if not is_data(path) and path.parts[0] in CODE_ROOTS:
            per_folder.setdefault(path.parent, []).append(path)
    for folder, inside in sorted(per_folder.items()):
        if len(inside) > MAX_FILES:
            yield f"{folder}: {len(inside)} files, limit {MAX_FILES}"


def check_code_file(path, text):
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"{path}: {lines} lines, limit {MAX_LINES}"
    if path.suffix in (".cpp", ".h"):
        for line, length, head in long_functions(text):
            yield f"{path}:{line}: function of {length} lines, limit {MAX_FUNCTION}: {head}"


def blank(match):
    """Spaces in place of a match, with its line ends kept."""
    return re.sub(r"[^\n]", " ", match[0])


def strip_code(text):
    """The code with comments, strings and preprocessor lines blanked, of the same length."""
    tokens = (r'R"(?P<d>[^()\\\s]*)\((?:.|\n)*?\)(?P=d)"|//[^\n]*|/\*(?:.|\n)*?\*/|"(?:\\.|[^"\\\n])*"'
              r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'")
    text = re.sub(tokens, blank, text)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.MULTILINE)


def is_scope(head):
    """namespace, class, struct, union, enum and extern "C" hold functions; they are none."""
    words = re.sub(r"\b(alignas|template|requires)\b\s*(<[^{}]*>|\([^()]*\))?", " ", head)
    return re.search(r"^\s*(inline\s+)?(namespace|extern)\b", words) or (
        re.search(r"\b(class|struct|union|enum)\b", words) and not re.search(r"\)\s*(const|noexcept|override|final|\s)*$", words))


def is_function(head):
    return "(" in head and not head.rstrip().endswith(("=", ",", "(", "return"))


def is_member_initialiser(head):
    """`Foo() : a_` before `{`: braces of a member, not of the body."""
    return re.search(r"\)[^:]*(?<!:):(?!:).*[\w>]\s*$", head, re.DOTALL)


def long_functions(text):
    """(first line, lines, signature) of every function longer than the limit."""
    code = strip_code(text)
    found, stack, head_start = [], [], 0  # stack of ("scope" | "function" | "other", start, head)
    inside = 0                             # open functions and other non-scope braces
    for at in (m.start() for m in re.finditer(r"[{};]", code)):
        if code[at] == ";":
            if not inside:
                head_start = at + 1
            continue
        if code[at] == "{":
            head = code[head_start:at]
            kind = "other"
            if not inside:
                if is_scope(head):
                    kind = "scope"
                elif is_member_initialiser(head):
                    kind = "initialiser"
                elif is_function(head):
                    kind = "function"
            lead = re.match(r"\s*((public|private|protected)\s*:\s*)*", head).end()
            stack.append((kind, head_start + lead, head[lead:]))
            if kind == "scope":
                head_start = at + 1
            else:
                inside += 1
        elif stack:
            kind, start, head = stack.pop()
            if kind != "scope":
                inside -= 1
            if kind == "function":
                length = code.count("\n", start, at) + 1
                if length > MAX_FUNCTION:
                    found.append((code.count("\n", 0, start) + 1, length, " ".join(head.split())[:80]))
            if not inside and kind != "initialiser":
                head_start = at + 1
    return found


# ---- includes

def check_includes(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
        if not match:
            continue
        where, name, ours = f"{path}:{number}", match[1] or match[2], match[1] is not None
        if problem := wrong_include(path, name, ours):
            yield f"{where}: {problem}"


def wrong_include(path, name, ours):
    top = path.parts[0]
    if ours and top == "include" and not name.startswith("bezel/"):
        return f'the porch may not include "{name}": only std and bezel/ headers'
    if top == "include" and not ours and "." in name and name not in PORCH_C_HEADERS:
        return f"the porch may not include <{name}>: only std headers"
    if top == "src" and ours:
        room, other = path.parts[1], name.split("/")[0]
        if room not in MAY_USE:
            return f"src/{room} is not a room that tools/check_house.py knows"
        if other in MAY_USE and other != room and other not in MAY_USE[room]:
            return f"{room} may not include {other}"
        if "/" not in name:
            return f'"{name}": ours are included as room/file.h'
    if not ours:
        for pattern, places in LIBRARIES:
            if re.fullmatch(pattern + (".*" if pattern.endswith("/") else r"(\.h)?"), name) and not any(
                    str(path).startswith(place) for place in places):
                return f"<{name}> may be included only in {', '.join(places) or 'nothing'}"
    return None


# ---- the whole tree

def check_presence(root):
    for name in MUST_EXIST:
        if not (root / name).is_file():
            yield f"{name} is missing"
    for name in MUST_RUN:
        if not (root / name).is_file():
            yield f"{name} is missing"
        elif not os.access(root / name, os.X_OK):
            yield f"{name} has no run bit"
    ci = root / ".ci/run"
    if ci.is_file() and "./test" not in ci.read_text():
        yield ".ci/run does not call ./test"


def problems(root):
    paths = list(files(root))
    yield from check_presence(root)
    yield from check_sizes(root, paths)
    for path in paths:
        if is_data(path) or path.suffix not in TEXT:
            continue
        text = (root / path).read_text(encoding="utf-8", errors="replace")
        for what, pattern in FORBIDDEN:
            for match in re.finditer(pattern, text):
                yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {what}: {match[0]}"
        if is_code(path):
            yield from check_code_file(path, text)
        if path.suffix in (".cpp", ".h"):
            yield from check_includes(path, text)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = list(problems(root))
    for line in found:
        print(line)
    print(f"house check: {len(found)} problems" if found else "house check: in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
