#!/usr/bin/env python3
"""What strace sees of `bezel run`, `chat` and `serve` with --offline: no socket but the one listened on.

    offline_check.py BEZEL MODEL      needs strace

Prints `ok NAME`, `skip REASON` or `FAIL NAME`. Exit status 1 when something failed.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

BEZEL, MODEL = sys.argv[1:3]
FAILED = []


def check(name, right, detail=""):
    print(f"{'ok' if right else 'FAIL'} {name}{'' if right else f': {detail}'}", flush=True)
    if not right:
        FAILED.append(name)


def traced(log, words, **more):
    return subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=%network", "-o", log, BEZEL, *words],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def calls(log, name):
    with open(log) as file:
        return [line for line in file if re.search(rf"\b{name}\(", line)]


def main():
    if not shutil.which("strace"):
        print("skip strace is not installed")
        return 0
    os.environ.update(HF_ENDPOINT="http://127.0.0.1:1", HF_HUB_OFFLINE="")
    with tempfile.TemporaryDirectory() as folder:
        log = f"{folder}/log"
        run = traced(log, ["run", MODEL, "Hello", "--raw", "-n", "3", "--offline"])
        _, text = run.communicate(timeout=300)
        check("run opens no socket", run.returncode == 0 and not calls(log, "socket"), text.decode())
        chat = traced(log, ["chat", MODEL, "--offline"])
        _, text = chat.communicate(b"", timeout=300)
        check("chat opens no socket", chat.returncode == 0 and not calls(log, "socket"), text.decode())
        name = traced(log, ["show", "e2b-nothing", "--offline"])
        name.communicate(timeout=300)
        check("a name that is not here opens no socket", name.returncode == 1 and not calls(log, "socket"))
        serve(log)
    return 1 if FAILED else 0


def serve(log):
    server = traced(log, ["serve", MODEL, "--offline", "--port", "0", "--ctx", "256", "--grace", "0"])
    line = server.stdout.readline().decode()
    url = re.search(r"http://\S+", line)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url[0]}/v1/models") as answer:
            check("the server answers", answer.status == 200)
    finally:
        for pid in subprocess.run(["pgrep", "-P", str(server.pid)], stdout=subprocess.PIPE, text=True).stdout.split():
            os.kill(int(pid), signal.SIGTERM)
        for _ in range(300):
            if server.poll() is not None:
                break
            time.sleep(0.1)
        server.kill()
        server.wait()
    sockets, connects = calls(log, "socket"), calls(log, "connect")
    check("serve opens the one socket that it listens on", len(sockets) == 1 and not connects, sockets + connects)
    check("and only that", len(calls(log, "listen")) == 1)


if __name__ == "__main__":
    sys.exit(main())
