#!/usr/bin/env python3
"""schemathesis, unmodified, against `bezel serve` and its /openapi.json.

    schema_cases.py PROGRAM MODEL [--cases N] [--seed S]

Makes at least N requests, right and wrong, from what the document says. No answer may have a status of 5xx, one the document
does not tell, or a body of another form; none may take longer than 30 seconds. Exit status 1 otherwise.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

from served import served

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with (tempfile.TemporaryDirectory() as saved,
          served(options.program, options.model, "--ctx", 256, "--parallel", 4, chats=f"{saved}/chats.db") as (_, url)):
        document = json.load(urllib.request.urlopen(f"{url}/openapi.json"))
        operations = sum(1 for methods in document["paths"].values() for m in methods if m in ("get", "post", "put", "delete"))
        begin, generated, status, output, seed = time.monotonic(), 0, 0, "", options.seed
        while generated < options.cases and status == 0:  # paths without fields have few cases, whatever is asked for
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run(
                    [sys.executable, "-m", "schemathesis.cli", "--no-color", "run", f"{url}/openapi.json", "--checks", CHECKS, "--phases",
                     "examples,coverage,fuzzing", "--max-examples", str(max(10, options.cases // 30)), "--seed", str(seed),
                     "--max-response-time", "30", "--request-timeout", "60", "--workers", "1", "--continue-on-failure",
                     "--suppress-health-check", "all", "--max-failures", "20"],
                    cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            status, output, seed = done.returncode, done.stdout, seed + 1
            found = re.findall(r"(\d+)\s+generated", output)
            generated += int(found[-1]) if found else 0
            if not found:
                break
        alive = json.load(urllib.request.urlopen(f"{url}/health"))["status"] == "ok"
    good = status == 0 and alive and generated >= options.cases
    if not good:
        print(output)
    print(f"{'ok  ' if good else 'FAIL'} schemathesis: {generated} cases of {operations} operations in {time.monotonic() - begin:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
