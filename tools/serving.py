"""The stage of ./test that runs other people's programs against `bezel serve`."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PACKAGES = {"clients": ["openai", "anthropic", "ollama"], "schemathesis": ["schemathesis==4.32.5"],
            "lm_eval": ["lm-eval[api]==0.4.13"], "hub": ["huggingface_hub==2.4.0"]}
CASES, LONG_CASES = 300, 10000        # of schemathesis
SECONDS, LONG_SECONDS = 600, 6 * 3600  # of one script
MINUTES, LONG_MINUTES = 0.2, (10, 30)  # of 64 clients; of 64 clients half of whose requests misbehave


def everything(run, build):
    if not build(run, "release", ["bezel"]):
        return
    sys.path.insert(0, str(run.root / "tests/server/scripts"))
    import tiny_model
    with tempfile.TemporaryDirectory() as folder:
        tiny = str(tiny_model.write(folder))
        load(run, tiny)
        clients(run, tiny)
        schemathesis(run, tiny)
    lm_eval(run)


def packages(run, name):
    """The folder with the packages that a part needs; None, and it is skipped, when they cannot be had."""
    folder = run.root / "build" / name
    if not folder.is_dir() and not run.options.offline:
        status, _ = run.command([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), *PACKAGES[name]],
                                f"{name}-pip")
        if status != 0:
            shutil.rmtree(folder, ignore_errors=True)
    if folder.is_dir():
        return {"PYTHONPATH": str(folder)}
    run.skip(f"{name}: the packages could not be fetched: {', '.join(PACKAGES[name])}")
    return None


def checked(run, log, command, environment):
    """Runs a program that prints a line for each of its checks: "ok NAME", "skip WHY" or "FAIL NAME"."""
    limit = LONG_SECONDS if run.options.long else SECONDS
    try:
        status, output = run.command(command, log, env={**os.environ, **environment}, timeout=limit)
    except subprocess.TimeoutExpired:
        run.fail(f"{log}: did not end within {limit} s")
        return
    passed, skipped, failed = (re.findall(rf"^{word} (.*)", output, re.MULTILINE) for word in ("ok", "skip", "FAIL"))
    run.ok(len(passed))
    for line in skipped:
        run.skip(line)
    for name in failed:
        run.fail(f"{log}: {name}", output)
    if not failed and (status != 0 or not passed and not skipped):
        run.fail(f"{log}: ended with status {status} after {len(passed)} checks", output)


def real_model(run, what):
    model = pathlib.Path(os.environ.get("BEZEL_GEMMA3_270M") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "bezel/gemma-3-270m-q4_k_m.gguf"))
    if model.is_file():
        return str(model)
    run.skip(f"{what}: the Gemma 3 270M weights are not here")
    return None


def load(run, tiny):
    """Many clients at once, well-behaved and not."""
    minutes = LONG_MINUTES if run.options.long else (MINUTES, MINUTES)
    script = [sys.executable, "tests/server/scripts/load.py", "build/release/bezel", tiny]
    checked(run, "load", [*script, "--minutes", str(minutes[0])], {})
    checked(run, "soak", [*script, "--minutes", str(minutes[1]), "--soak"], {})


def clients(run, tiny):
    """The official Python clients: a tiny model that knows tools, and the Gemma 3 270M weights."""
    found = packages(run, "clients")
    if found is None:
        return
    checked(run, "clients-tiny", [sys.executable, "tests/server/scripts/clients.py", "build/release/bezel", tiny, "--tools"], found)
    if model := real_model(run, "clients"):
        checked(run, "clients", [sys.executable, "tests/server/scripts/clients.py", "build/release/bezel", model], found)


def schemathesis(run, tiny):
    """Requests made from /openapi.json."""
    if found := packages(run, "schemathesis"):
        cases = LONG_CASES if run.options.long else CASES
        checked(run, "schemathesis", [sys.executable, "tests/server/scripts/schema_cases.py", "build/release/bezel", tiny,
                                      "--cases", str(cases)], found)


def lm_eval(run):
    """lm-evaluation-harness; with --long, for its packages are large."""
    if not run.options.long and not (run.root / "build/lm_eval").is_dir():
        run.skip("lm_eval: run by --long (it fetches 600 MB of packages)")
        return
    model = real_model(run, "lm_eval")
    found = packages(run, "lm_eval") if model else None
    if found:
        checked(run, "lm_eval", [sys.executable, "tests/server/scripts/lm_eval/run.py", "build/release/bezel", model], found)
