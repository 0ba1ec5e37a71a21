"""The stages of ./test. Each takes a Run, reports to it, and never stops the ones after it."""
import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree

import pulling
import serving

CODE = (".cpp", ".h")
TIDY_SECONDS = 240       # clang-tidy stops taking new files after this
TEST_SECONDS = 600       # one test
LONG_TEST_SECONDS = 6 * 3600
# Not under ASan + UBSan: real weights and full products (too slow there), and tests that measure time.
NOT_IN_DEBUG = r"^Real\.|^SameBitsPairs\.|Time(Grows|InProportion)"
# Long comparisons of one algorithm with another, which a sanitizer makes several times longer: the release build's.
LONG_WITH_SANITIZERS = r"^Merges\.|^Ids\.EveryPiece|^RandomSchema\.|FromPackedWeights|OverEveryFloat"
# Long, and what other tests do on the same threads: nothing more for the thread sanitizer.
NOT_IN_TSAN = (r"^Sampler\.|^EngineText\.EveryPiece|^Speculation\.(Answers|UnderA)|^Reuse\.TwentyTurns"
               r"|^Preemption\.(AnE|TheP)|StatesTheRangeOfEveryNumber")


@dataclasses.dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0


class Run:
    """What the stages share: options, log files, and the sums."""

    def __init__(self, root, options):
        self.root, self.options = root, options
        self.logs = root / "build" / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.table, self.failures = [], []
        self.name, self.counts = "", Counts()
        self.skip_reasons = collections.Counter()

    def stage(self, name, function):
        self.name, self.counts = name, Counts()
        self.skip_reasons.clear()
        print(f"\n== {name}", flush=True)
        begin = time.monotonic()
        try:
            function(self)
        except Exception:  # a stage that breaks is a failure; the rest still runs
            self.fail("the stage itself", traceback.format_exc())
        for reason, n in self.skip_reasons.items():
            print(f"   skipped{f' ({n} tests)' if n > 1 else ''}: {reason}")
        seconds = time.monotonic() - begin
        self.table.append((name, seconds, self.counts))
        print(f"   {seconds:.0f} s: {self.counts.passed} passed, {self.counts.failed} failed, "
              f"{self.counts.skipped} skipped", flush=True)

    def totals(self):
        return tuple(sum(getattr(counts, field) for _, _, counts in self.table)
                     for field in ("passed", "failed", "skipped"))

    def ok(self, n=1):
        self.counts.passed += n

    def fail(self, what, output=""):
        self.counts.failed += 1
        self.failures.append(f"{self.name}: {what}")
        print(f"   FAILED: {what}")
        lines = output.rstrip().splitlines()
        for line in lines[-40:]:
            print(f"     {line}")

    def skip(self, reason, n=1):
        self.counts.skipped += n
        self.skip_reasons[reason] += n

    def command(self, command, log, **more):
        """Runs a command with its output in build/logs/LOG. Gives (exit status, output)."""
        path = self.logs / f"{log}.log"
        with open(path, "w") as file:
            file.write(f"$ {shlex.join(map(str, command))}\n")
            file.flush()
            done = subprocess.run(command, cwd=self.root, stdin=subprocess.DEVNULL, stdout=file,
                                  stderr=subprocess.STDOUT, **more)
        return done.returncode, path.read_text(errors="replace")


def git(run, *args):
    """What git prints; empty when it fails. The tree may belong to someone else than root."""
    done = subprocess.run(["git", "-c", f"safe.directory={run.root}", *args], cwd=run.root, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    return os.fsdecode(done.stdout).strip() if done.returncode == 0 else ""


def tracked(run):
    """Files that git knows or would add."""
    out = git(run, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return sorted(name for name in out.split("\0") if name and (run.root / name).is_file())


def sources(run, suffixes=CODE):
    return [name for name in tracked(run) if name.endswith(suffixes) and not name.startswith("tests/fixtures/")]


# ---- house, format, data

def house(run):
    status, output = run.command([sys.executable, "tools/check_house.py", "."], "house")
    run.ok() if status == 0 else run.fail("tools/check_house.py", output)
    for script in sorted((run.root / "tests/tools").glob("test_*.py")):
        status, output = run.command([sys.executable, str(script)], script.stem)
        found = re.search(r"^Ran (\d+) test", output, re.MULTILINE)
        if status == 0 and found and int(found[1]) > 0:
            run.ok(int(found[1]))
        else:
            run.fail(str(script.relative_to(run.root)), output)


def clang_format(run):
    program = shutil.which("clang-format-14") or shutil.which("clang-format")
    if not program:
        run.skip("format: no clang-format is installed")
        return
    version = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True).stdout
    bad = []
    if not sources(run):
        run.fail("format: found no source files (is this a git checkout?)")
        return
    for name in sources(run):
        status, _ = run.command([program, "--dry-run", "-Werror", name], "format")
        if status != 0:
            bad.append(name)
    if not bad:
        run.ok()
    elif "version 14." in version:
        run.fail(f"{len(bad)} files are not formatted; put right with: clang-format-14 -i {' '.join(bad)}")
    else:
        run.skip(f"format: {len(bad)} files look different to {version.strip()}; version 14 decides")


def data(run):
    """The files of tools/fetch_data.py, for the tests that read them."""
    for what, text in (("tokenizer", "the full Gemma 4 tokenizer"), ("weights", "the Gemma 3 270M weights")):
        if run.options.offline:
            continue
        if what == "weights":
            print("   The Gemma 3 270M weights come under the Gemma Terms of Use (https://ai.google.dev/gemma/terms); "
                  "running these tests accepts them.")
        status, output = run.command([sys.executable, "tools/fetch_data.py", what, "--yes"], f"data-{what}")
        if status == 0:
            run.ok()
        else:
            run.skip(f"{text} could not be fetched, tests that need it are skipped: {output.rstrip().splitlines()[-1]}")


# ---- builds and their tests

def launcher(run, preset):
    """Compiler results that ccache keeps, where it has some; else precompiled headers, which it could not keep."""
    home = pathlib.Path.home()
    kept = [os.environ.get("CCACHE_DIR"), home / ".cache/ccache", home / ".ccache"]
    if (run.root / "build" / preset / "CMakeCache.txt").is_file():
        return []  # as it was begun: a change compiles everything anew
    if shutil.which("ccache") and any(folder and pathlib.Path(folder).is_dir() for folder in kept):
        return ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"]
    return ["-DBEZEL_PCH=ON"]


def build(run, preset, targets=(), extra=(), prefix=()):
    """Configures and builds a preset. True when that worked."""
    for step, command in (
            ("configure", ["cmake", "--preset", preset, *launcher(run, preset), *extra]),
            ("build", [*prefix, "cmake", "--build", f"build/{preset}", "-j", str(run.options.jobs),
                       *(["--target", *targets] if targets else [])])):
        status, output = run.command(command, f"{preset}-{step}")
        if status != 0:
            run.fail(f"{preset}: {step}", errors_of(output))
            return False
    return True


def errors_of(output):
    """The lines of a build log that say what went wrong, or its end."""
    lines = output.splitlines()
    errors = [line for line in lines if re.search(r"\b(error|undefined reference|FAILED)\b", line, re.IGNORECASE)]
    return "\n".join((errors or lines)[-30:] if len(errors) > 30 else errors or lines[-30:])


def ctest(run, preset, extra=(), prefix=()):
    junit = run.logs / f"{preset}-junit.xml"
    junit.unlink(missing_ok=True)
    limit = LONG_TEST_SECONDS if run.options.long else TEST_SECONDS
    status, output = run.command(
        [*prefix, "ctest", "--test-dir", f"build/{preset}", "--output-on-failure", "-j", str(run.options.jobs),
         "--timeout", str(limit), "--output-junit", str(junit), *extra], f"{preset}-ctest")
    if not junit.is_file():
        run.fail(f"{preset}: ctest gave no results", output)
        return
    cases = xml.etree.ElementTree.parse(junit).getroot().iter("testcase")
    n = failed = 0
    for case in cases:
        n += 1
        text = case.findtext("system-out") or ""
        if case.get("status") == "fail" or case.find("failure") is not None:
            failed += 1
            run.fail(f"{preset}: {case.get('name')}", text)
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            run.skip(skip_reason(text) or case.get("name"))
        else:
            run.ok()
    if n == 0:
        run.fail(f"{preset}: no test was found")
    elif status != 0 and failed == 0:
        run.fail(f"{preset}: ctest ended with status {status}", output)


def skip_reason(text):
    """What GTEST_SKIP() << "..." said: the lines after its `file:line: Skipped`."""
    found = re.search(r": Skipped\n(.+)", text)
    return found[1].strip() if found else ""


def release(run):
    extra = ["-DBEZEL_TESTS=ON", "-DBEZEL_WERROR=ON"]
    if build(run, "release", extra=extra):
        isa_symbols(run)
        ctest(run, "release", ["-R", run.options.filter] if run.options.filter else [])


def isa_symbols(run):
    """A weak symbol in a file built for one instruction set could replace everyone's copy of that function."""
    if run.options.filter:
        return
    if not shutil.which("nm"):
        run.skip("isa symbols: nm is not installed")
        return
    bad = []
    objects = sorted((run.root / "build/release/CMakeFiles/bezel_kernels.dir/src/kernels/isa").glob("x86_*.o"))
    for path in objects:
        out = subprocess.run(["nm", "-C", "--defined-only", str(path)], stdout=subprocess.PIPE, text=True).stdout
        bad += [f"{path.name}: {line}" for line in out.splitlines() if re.match(r"\S+ [WVu] ", line)]
    if bad:
        run.fail("instruction-set files define weak symbols", "\n".join(bad))
    elif objects:
        run.ok()
    else:
        run.skip("isa symbols: this machine's build has no x86 kernels")


def fuzzing_clang():
    """The newest clang whose libFuzzer links, or None."""
    found = versions_of("clang++")
    names = [found[n] for n in sorted(found, reverse=True)] + ([shutil.which("clang++")] if shutil.which("clang++") else [])
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "t.cpp"
        source.write_text('extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n')
        for name in names:
            done = subprocess.run([name, "-fsanitize=fuzzer,address,undefined", str(source), "-o", f"{folder}/t"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if done.returncode == 0:
                return name
    return None


def debug_options():
    """Clang with libFuzzer where there is one (it compiles faster, and fuzz shares this build), else GCC."""
    compiler = fuzzing_clang()
    return [f"-DCMAKE_CXX_COMPILER={compiler}", "-DBEZEL_FUZZ=ON", "-DBEZEL_WERROR=OFF"] if compiler else []


def debug(run):
    if build(run, "debug", extra=debug_options()):
        left_out = NOT_IN_DEBUG if run.options.long else f"{NOT_IN_DEBUG}|{LONG_WITH_SANITIZERS}"
        print(f"   only in the release build: tests that match {left_out}")
        ctest(run, "debug", ["-E", left_out], prefix=["env", "ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1",
                                    "UBSAN_OPTIONS=print_stacktrace=1"])


def tsan(run):
    """Threads live in base (the pool), kernels' users above it, engine and server. GCC, as Clang's thread sanitizer
    overlooks accesses of 32 and 64 bytes, which kernels are full of."""
    rooms = [room for room in ("base", "engine", "server") if list((run.root / "tests" / room).glob("*.cpp"))]
    if not rooms:
        run.skip("tsan: no tests of base, engine or server exist")
        return
    # ThreadSanitizer of older compilers cannot start under a large random address space.
    fixed = ["setarch", os.uname().machine, "-R"]
    works = shutil.which("setarch") and subprocess.run([*fixed, "true"], stderr=subprocess.DEVNULL).returncode == 0
    prefix = fixed if works else []
    if build(run, "tsan", [f"test_{room}" for room in rooms], prefix=prefix):
        left_out = f"_NOT_BUILT|{NOT_IN_DEBUG}|{LONG_WITH_SANITIZERS}" + ("" if run.options.long else f"|{NOT_IN_TSAN}")
        print(f"   only in the other builds: tests that match {left_out}")
        ctest(run, "tsan", ["-E", left_out], prefix=prefix)


def serve(run):
    serving.everything(run, build)


def hub(run):
    pulling.everything(run, build)


# ---- the page

def node_new_enough():
    if not shutil.which("node") or not shutil.which("npm"):
        return False
    found = re.match(r"v(\d+)\.(\d+)", subprocess.run(["node", "--version"], stdout=subprocess.PIPE, text=True).stdout)
    return bool(found) and (int(found[1]), int(found[2])) >= (20, 19)


def web(run):
    """The committed page is what its source makes; its logic and the page itself in a browser."""
    if not node_new_enough():
        run.skip("web: Node 20.19 or newer is not installed, so the page was not looked at", 3)
    elif not page_packages(run):
        run.skip("web: the packages of web/package-lock.json could not be fetched", 3)
    else:
        page_source(run)
        browser(run)


def page_packages(run):
    """Fetches what building the page and opening it in a browser need; says whether they are here."""
    if not run.options.offline:
        status, output = run.command(["npm", "ci", "--no-fund", "--no-audit", "--prefix", str(run.root / "web")], "web-npm")
        if status != 0:
            print("\n".join(output.splitlines()[-3:]))
            shutil.rmtree(run.root / "web/node_modules", ignore_errors=True)
    return (run.root / "web/node_modules").is_dir()


def page_source(run):
    folder, built = run.root / "web", run.root / "build/page"
    status, output = run.command(["npm", "--prefix", str(folder), "run", "build", "--", "--emptyOutDir", "--outDir",
                                  str(built)], "web-build")
    differ = page_differences(folder / "dist", built) if status == 0 else []
    if status != 0 or differ:
        run.fail("web: the committed page differs from its source (npm run build makes it anew): " + ", ".join(differ),
                 output if status else "")
    else:
        run.ok()
    status, output = run.command(["npm", "--prefix", str(folder), "test"], "web-test")
    run.fail("web: tests of its logic", output) if status else run.ok()


def page_differences(ours, other):
    """Names of files that differ or are in one folder alone."""
    names = {path.relative_to(top).as_posix() for top in (ours, other) for path in top.rglob("*") if path.is_file()}
    return sorted(name for name in names if not ((ours / name).is_file() and (other / name).is_file()
                                                 and (ours / name).read_bytes() == (other / name).read_bytes()))


def browser(run):
    """Every feature of the page in headless Chromium; pictures of them in build/page-pictures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        run.skip("web: no Chromium is installed, so the page was not opened in a browser")
        return
    if not build(run, "release", ["bezel", "test_hub_server"]):
        return
    serving.checked(run, "web-browser", ["node", "tests/web/run.mjs", "build/release/bezel", chromium, "build/page-pictures"], {})


# ---- clang

def versions_of(name, lowest=14):
    """Installed `name-N` programs, as {N: path}."""
    return {n: path for n in range(lowest, 40) if (path := shutil.which(f"{name}-{n}"))}


def oldest_clang():
    """The oldest clang we promise to build with that is here: what it takes, newer ones take."""
    found = versions_of("clang++")
    return found[min(found)] if found else shutil.which("clang++")


def clang_database(run):
    """compile_commands.json of a configured but unbuilt clang tree; None when that cannot be had."""
    compiler = oldest_clang()
    if not compiler:
        return None
    status, output = run.command(["cmake", "--preset", "clang", f"-DCMAKE_CXX_COMPILER={compiler}"], "clang-configure")
    if status != 0:
        run.fail("clang: configure", output)
        return None
    entries = json.loads((run.root / "build/clang/compile_commands.json").read_text())
    generated = str(run.root / "build") + os.sep  # written by a build only: nobody's source
    return [entry for entry in entries if not entry["file"].startswith(generated)]


# Read once for all files of a target: most of their time goes into these.
HEAVY_HEADERS = """#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <gtest/gtest.h>
#ifdef BEZEL_SIMDJSON
#include <CLI/CLI.hpp>
#endif
"""


def syntax_command(entry):
    """The compiler's command, without the file and where its result would go."""
    command = shlex.split(entry["command"])
    if "-o" in command:
        at = command.index("-o")
        del command[at:at + 2]
    return [word for word in command if word not in ("-c", entry["file"])]


def clang_syntax(run):
    entries = clang_database(run)
    if entries is None:
        if not oldest_clang():
            run.skip("clang: no clang is installed")
        return
    if fuzzing_clang() and not run.options.stage and not run.options.long:  # the debug stage compiles everything with it
        print("   the oldest clang looks at what has changed alone (at everything: --stage clang)")
        names = changed_and_users(run, entries)
        entries = [entry for entry in entries if os.path.relpath(entry["file"], run.root) in names]
    header = run.root / "build/clang/heavy.h"
    header.write_text(HEAVY_HEADERS)
    groups = collections.defaultdict(list)
    for entry in entries:
        groups[tuple(syntax_command(entry))].append(entry)

    def prepare(numbered):
        """A target's heavy headers, compiled; None where that is not worth it or does not work."""
        number, command = numbered
        path = run.root / f"build/clang/heavy-{number}.pch"
        if len(groups[command]) < 5:
            return command, None
        done = subprocess.run([*command, "-x", "c++-header", str(header), "-o", str(path)], cwd=run.root,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return command, path if done.returncode == 0 else None

    def check(work):
        entry, heavy = work
        more = ["-include-pch", str(heavy)] if heavy else []
        done = subprocess.run([*syntax_command(entry), *more, "-fsyntax-only", entry["file"]], cwd=entry["directory"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return entry["file"], done.returncode, done.stdout

    with concurrent.futures.ThreadPoolExecutor(run.options.jobs) as pool:
        ready = dict(pool.map(prepare, enumerate(groups)))
        work = [(entry, ready[command]) for command, group in groups.items() for entry in group]
        for file, status, output in pool.map(check, work):
            run.ok() if status == 0 else run.fail(f"clang: {file}", errors_of(output))


def changed_files(run):
    """Code files that differ from where this branch left origin/main, or else from the commit before."""
    head = git(run, "rev-parse", "HEAD")
    base = os.environ.get("BEZEL_BASE") or git(run, "merge-base", "HEAD", "origin/main")
    if not base or base == head:
        base = git(run, "rev-parse", "--verify", "--quiet", "HEAD~1")
    names = git(run, "diff", "--name-only", base).splitlines() if base else []
    names += git(run, "ls-files", "--others", "--exclude-standard").splitlines()
    return set(names) & set(sources(run))


def tidy(run):
    found = versions_of("clang-tidy")
    program = found[min(found)] if found else shutil.which("clang-tidy")
    if not program:
        run.skip("tidy: no clang-tidy is installed")
        return
    entries = clang_database(run)
    if entries is None:
        run.skip("tidy: needs a clang build tree")
        return
    todo = changed_and_users(run, entries)
    begin, late = time.monotonic(), []

    def check(name):
        if time.monotonic() - begin > TIDY_SECONDS and not run.options.long:
            late.append(name)
            return name, 0, ""
        done = subprocess.run([program, "-p", "build/clang", "--quiet", name], cwd=run.root, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        return name, done.returncode, done.stdout

    with concurrent.futures.ThreadPoolExecutor(run.options.jobs) as pool:
        for name, status, output in pool.map(check, todo):
            if name in late:
                run.skip(f"tidy: {name}: {TIDY_SECONDS} s were over")
            elif status == 0:
                run.ok()
            else:
                run.fail(f"tidy: {name}", output)
    if not todo:
        print("   no code file has changed")


def changed_and_users(run, entries):
    """Source files of `entries` that have changed, and one user of every header that has."""
    changed = changed_files(run)
    built = {os.path.relpath(entry["file"], run.root) for entry in entries}
    return sorted(changed & built) + sorted(users_of_headers(run, changed, built - changed))


def users_of_headers(run, changed, candidates):
    """For every changed header one source file that includes it (its own .cpp first)."""
    chosen = set()
    for header in (name for name in changed if name.endswith(".h")):
        own = header[:-2] + ".cpp"
        included = re.sub(r"^(src|include|tests)/", "", header)
        if own in changed:
            continue
        users = [own] if own in candidates else [
            name for name in sorted(candidates)
            if f'#include "{included}"' in (run.root / name).read_text(errors="replace")]
        chosen.update(users[:1])
    return chosen


# ---- fuzzing

def fuzz(run):
    names = sorted(path.stem for path in (run.root / "tests/fuzz").glob("*.cpp"))
    if not names:
        run.skip("fuzz: there are no targets")
        return
    options = debug_options()
    if not options:
        run.skip("fuzz: no clang with libFuzzer is installed (clang-19 and libclang-rt-19-dev)", len(names))
        return
    if not build(run, "debug", [f"fuzz_{name}" for name in names], options):
        return
    lanes = min(run.options.jobs, len(names))
    # Processor seconds are shared out: lanes run side by side, so the wall time is that much shorter.
    seconds = max(1, run.options.fuzz_seconds // len(names))
    print(f"   {len(names)} targets, {seconds} s each, {lanes} side by side")
    with concurrent.futures.ThreadPoolExecutor(lanes) as pool:
        for name, problem in pool.map(lambda name: (name, fuzz_one(run, name, seconds)), names):
            run.fail(f"fuzz: {name}", problem) if problem else run.ok()


def fuzz_one(run, name, seconds):
    """Runs one target; gives what went wrong, or nothing. New inputs stay in build/fuzz/corpus."""
    corpus, crashes = run.root / "build/fuzz/corpus" / name, run.root / "build/fuzz/crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    kept = run.root / "tests/fuzz/corpus" / name
    program = next((run.root / "build/debug").rglob(f"fuzz_{name}"))
    status, output = run.command(
        [str(program), f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=1536", "-malloc_limit_mb=512",
         "-print_final_stats=1", f"-artifact_prefix={crashes}/{name}-", str(corpus),
         *([str(kept)] if kept.is_dir() else [])], f"fuzz-{name}", timeout=seconds + 300)
    if status == 0:
        return ""
    return f"exit status {status}; the input is {crashes.relative_to(run.root)}/{name}-*\n{output[-6000:]}"


ALL = [("house", house), ("format", clang_format), ("data", data), ("release", release), ("debug", debug),
       ("tsan", tsan), ("serve", serve), ("hub", hub), ("web", web), ("clang", clang_syntax), ("tidy", tidy), ("fuzz", fuzz)]
