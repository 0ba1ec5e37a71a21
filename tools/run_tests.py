#!/usr/bin/env python3
"""Runs the stages of ./test in order, adds up what passed, and ends with one line of sums."""
import argparse
import os
import pathlib
import sys
import time

import stages

ROOT = pathlib.Path(__file__).resolve().parent.parent


def parse():
    parser = argparse.ArgumentParser(
        prog="./test", description="Builds and tests Bezel. Without options: everything that CI does.",
        epilog="The last line is `N passed, N failed, N skipped`; the exit status is 0 only when nothing "
               "failed. Full logs: build/logs/.")
    parser.add_argument("filter", nargs="?", default="", metavar="FILTER",
                        help="only release tests whose name matches this regular expression")
    parser.add_argument("--quick", action="store_true", help="only the house check and the release tests")
    parser.add_argument("--long", action="store_true",
                        help="everything, and the long tests (soaks, full products, thousands of seeds; hours)")
    parser.add_argument("--offline", action="store_true", help="download nothing; tests that need it are skipped")
    parser.add_argument("--stage", action="append", default=[], choices=[name for name, _ in stages.ALL],
                        help="only this stage; may be given several times")
    parser.add_argument("--fuzz-seconds", type=int, default=300, metavar="S",
                        help="fuzzing time in all, shared out over the targets (default %(default)s)")
    parser.add_argument("-j", "--jobs", type=int, default=default_jobs(), metavar="N",
                        help="parallel compilers and tests (default %(default)s)")
    return parser.parse_args()


def default_jobs():
    """One compiler per core, and per 1.5 GB of memory."""
    cores = len(os.sched_getaffinity(0))
    try:
        with open("/proc/meminfo") as file:
            kib = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return cores
    return max(1, min(cores, kib // (1536 * 1024)))


def wanted(options):
    if options.stage:
        return options.stage
    if options.filter:
        return ["data", "release"]
    if options.quick:
        return ["house", "data", "release"]
    return [name for name, _ in stages.ALL]


def main():
    options = parse()
    os.chdir(ROOT)
    if options.long:
        os.environ["BEZEL_LONG"] = "1"
        options.fuzz_seconds = max(options.fuzz_seconds, 4 * 3600)
    if options.quick or options.filter:
        options.offline = True  # what an earlier run fetched is used
    run = stages.Run(ROOT, options)
    chosen = wanted(options)
    begin = time.monotonic()
    for name, stage in stages.ALL:
        if name in chosen:
            run.stage(name, stage)
    passed, failed, skipped = run.totals()
    print(f"\n{'stage':<10}{'seconds':>9}{'passed':>9}{'failed':>9}{'skipped':>9}")
    for name, seconds, counts in run.table:
        print(f"{name:<10}{seconds:>9.0f}{counts.passed:>9}{counts.failed:>9}{counts.skipped:>9}")
    print(f"{'all':<10}{time.monotonic() - begin:>9.0f}")
    if run.failures:
        print("\nfailed:")
        for line in run.failures:
            print(f"  {line}")
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
