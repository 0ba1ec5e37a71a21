#!/usr/bin/env python3
"""The huggingface_hub package and Bezel in one cache, against the test hub.

    interop.py BEZEL TEST_HUB_SERVER MODEL.gguf      needs the package huggingface_hub

Prints `ok NAME` or `FAIL NAME`. Exit status 1 when something failed.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

BEZEL, SERVER, MODEL = sys.argv[1:4]
REPO = "org/gemma-4-E2B-it-GGUF"
FAILED = []


def check(name, right, detail=""):
    print(f"{'ok' if right else 'FAIL'} {name}{'' if right else f': {detail}'}", flush=True)
    if not right:
        FAILED.append(name)


def bezel(*words):
    done = subprocess.run([BEZEL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    files = folder / "repos" / REPO
    files.mkdir(parents=True)
    shutil.copyfile(MODEL, files / "e2b-it-Q4_0.gguf")
    shutil.copyfile(MODEL, files / "e2b-it-Q8_0.gguf")
    with open(files / "e2b-it-Q8_0.gguf", "ab") as out:
        out.write(b"another file")
    (files / "README.md").write_text("A small file.\n")
    hub = subprocess.Popen([SERVER, str(folder / "repos")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    url = hub.stdout.readline().strip()
    os.environ.update(HF_ENDPOINT=url, HF_HOME=str(folder / "hf"), HOME=str(folder), no_proxy="127.0.0.1,localhost",
                      BEZEL_MODELS=str(folder / "own"), HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_XET="1")
    os.environ.pop("HF_TOKEN", None)
    try:
        both_ways(folder)
        over_http()
    finally:
        hub.stdin.close()
        hub.wait(timeout=10)
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if FAILED else 0


def both_ways(folder):
    import huggingface_hub
    print(f"huggingface_hub {huggingface_hub.__version__}", flush=True)
    status, path, text = bezel("pull", f"{REPO}:q4_0")
    check("bezel pulls", status == 0 and os.path.isfile(path), text)
    found = huggingface_hub.try_to_load_from_cache(REPO, "e2b-it-Q4_0.gguf")
    check("the package finds what bezel pulled", found == path, f"{found} and {path}")
    again = huggingface_hub.hf_hub_download(REPO, "e2b-it-Q4_0.gguf", local_files_only=True)
    check("and takes it without a connection", again == path, again)
    scan = huggingface_hub.scan_cache_dir()
    check("its scan of the cache has no complaint", not scan.warnings and len(scan.repos) == 1, scan.warnings)
    if hasattr(huggingface_hub.HfApi, "verify_repo_checksums"):
        verified = huggingface_hub.HfApi().verify_repo_checksums(REPO)
        check("and verifies it", not verified.mismatches and verified.checked_count >= 1, verified)
    theirs = huggingface_hub.hf_hub_download(REPO, "e2b-it-Q8_0.gguf")
    readme = huggingface_hub.hf_hub_download(REPO, "README.md")
    check("the package pulls into the same folder", os.path.dirname(theirs) == os.path.dirname(path), theirs)
    check("also a small file", open(readme).read() == "A small file.\n")
    models = json.loads(bezel("list", "--json")[1])
    by_type = {m["type"]: m for m in models}
    check("bezel lists both", sorted(by_type) == ["Q4_0", "Q8_0"] and by_type["Q8_0"]["path"] == theirs, models)
    check("and knows which is its own", by_type["Q4_0"]["ours"] and not by_type["Q8_0"]["ours"], models)
    status, _, text = bezel("show", f"{REPO}:q4_0", "--offline")
    check("bezel opens it by name", status == 0, text)
    status, shown, text = bezel("pull", f"{REPO}:q8_0")
    check("bezel takes what the package pulled", status == 0 and shown == theirs, text)
    status, _, text = bezel("rm", f"{REPO}:q8_0", "--yes")
    check("and does not remove it", status == 1 and os.path.isfile(theirs), text)
    status, _, text = bezel("rm", f"{REPO}:q4_0", "--yes")
    check("its own it removes", status == 0 and not os.path.lexists(path), text)
    scan = huggingface_hub.scan_cache_dir()
    check("the package's scan still has no complaint", not scan.warnings, scan.warnings)
    deleted = subprocess.Popen([BEZEL, "pull", f"{REPO}:q4_0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    together = huggingface_hub.hf_hub_download(REPO, "e2b-it-Q4_0.gguf")
    deleted.communicate(timeout=60)
    check("both at once end in one file", deleted.returncode == 0 and os.path.isfile(together)
          and open(together, "rb").read() == open(MODEL, "rb").read())


def over_http():
    """The server fetches, lists, names and removes the same."""
    server = subprocess.Popen([BEZEL, "serve", "--port", "0", "--chats", "off"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True)
    url = re.search(r"http://\S+", server.stdout.readline())[0]

    def ask(method, path, body=None):
        request = urllib.request.Request(url + path, None if body is None else json.dumps(body).encode(), method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def names():
        return sorted(m["name"] for m in json.loads(ask("GET", "/api/tags")[1])["models"])

    model = f"{REPO}:q8_0"
    shutil.rmtree(pathlib.Path(os.environ["HF_HOME"]))
    status, text = ask("POST", "/api/pull", {"model": model})
    lines = [json.loads(line) for line in text.splitlines()]
    size = os.path.getsize(MODEL) + len(b"another file")
    check("a server pulls", status == 200 and lines[-1] == {"status": "success"} and lines[-2]["status"].startswith("verifying")
          and any(line.get("total") == size for line in lines), text)
    have = names()
    check("and lists what it pulled", len(have) == 1 and bezel("show", have[0])[0] == 0, have)
    status, text = ask("POST", "/api/pull", {"model": "org/nothing"})
    check("a repository that the hub does not show is said", status == 400 and "error" in json.loads(text), text)
    check("a second name is given", ask("POST", "/api/copy", {"source": model, "destination": "mine"})[0] == 200)
    check("and found", json.loads(ask("POST", "/api/show", {"model": "mine"})[1])["details"]["quantization_level"] == "Q8_0")
    check("the name is taken away alone", ask("DELETE", "/api/delete", {"model": "mine"})[0] == 200 and names() == have)
    status, text = ask("DELETE", "/api/delete", {"model": have[0]})
    check("then the model", status == 200 and names() == [], text)
    server.terminate()
    check("the server ends well", server.wait(timeout=30) == 0)


if __name__ == "__main__":
    sys.exit(main())
