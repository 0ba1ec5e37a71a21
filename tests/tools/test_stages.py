#!/usr/bin/env python3
"""tools/stages.py counts what ctest says, and finds the files to look at."""
import argparse
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.dont_write_bytecode = True
import stages  # noqa: E402

JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="x" tests="4" failures="1" disabled="0" skipped="2">
 <testcase name="A.Good" classname="A.Good" time="0.1" status="run"><system-out>fine</system-out></testcase>
 <testcase name="A.Bad" classname="A.Bad" time="0.1" status="fail"><failure message=""/><system-out>1 is not 2</system-out></testcase>
 <testcase name="A.Skip" classname="A.Skip" time="0" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
  <system-out>[ RUN ] A.Skip
a_test.cpp:7: Skipped
no weights; ./run gets them

[  SKIPPED ] A.Skip</system-out></testcase>
 <testcase name="A.Skip2" classname="A.Skip2" time="0" status="notrun"><skipped message="x"/>
  <system-out>b_test.cpp:9: Skipped
no weights; ./run gets them
</system-out></testcase>
</testsuite>
"""


class Stages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.run_ = stages.Run(self.root, argparse.Namespace(jobs=2, long=False, filter=""))
        patch = unittest.mock.patch.object(sys, "stdout", io.StringIO())
        self.out = patch.start()
        self.addCleanup(patch.stop)
        environment = unittest.mock.patch.dict(os.environ)  # git's base is this repository's own
        environment.start()
        self.addCleanup(environment.stop)
        os.environ.pop("BEZEL_BASE", None)

    def ctest(self, junit, status):
        def command(command, log, **more):
            if junit is not None:
                pathlib.Path(command[command.index("--output-junit") + 1]).write_text(junit)
            return status, "output"
        self.run_.command = command
        self.run_.stage("release", lambda run: stages.ctest(run, "release"))
        return self.run_.totals()

    def test_passed_failed_and_skipped_are_counted_and_reasons_said_once(self):
        self.assertEqual(self.ctest(JUNIT, 8), (1, 1, 2))
        self.assertIn("skipped (2 tests): no weights; ./run gets them", self.out.getvalue())
        self.assertIn("1 is not 2", self.out.getvalue())
        self.assertEqual(self.run_.failures, ["release: release: A.Bad"])

    def test_no_results_no_tests_and_an_unexplained_status_are_failures(self):
        self.assertEqual(self.ctest(None, 1)[1], 1)
        self.assertEqual(self.ctest('<testsuite name="x" tests="0"></testsuite>', 0)[1], 2)
        good = '<testsuite name="x"><testcase name="A" status="run"/></testsuite>'
        self.assertEqual(self.ctest(good, 3), (1, 3, 0))

    def test_a_stage_that_breaks_is_a_failure_and_does_not_stop_the_others(self):
        self.run_.stage("one", lambda run: 1 // 0)
        self.run_.stage("two", lambda run: run.ok())
        self.assertEqual(self.run_.totals(), (1, 1, 0))

    def test_a_build_log_is_cut_to_its_errors(self):
        log = "\n".join(["[1/9] fine"] * 100 + ["a.cpp:3:1: error: no"] + ["note"] * 100)
        self.assertEqual(stages.errors_of(log), "a.cpp:3:1: error: no")
        self.assertEqual(stages.errors_of("x\n" * 50 + "last"), "x\n" * 29 + "last")

    def git(self, *args):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *args], cwd=self.root, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def test_changed_files_are_those_since_the_last_commit_and_new_ones(self):
        self.git("init", "-q")
        for name, text in (("a.cpp", "1"), ("b.cpp", "1"), ("d.md", "1")):
            (self.root / name).write_text(text)
        self.git("add", ".")
        self.git("commit", "-q", "-m", "one")
        (self.root / "a.cpp").write_text("2")
        (self.root / "d.md").write_text("2")
        self.git("commit", "-q", "-a", "-m", "two")
        (self.root / "c.h").write_text("new")
        self.assertEqual(stages.changed_files(self.run_), {"a.cpp", "c.h"})

    def test_a_changed_header_is_seen_through_a_file_that_includes_it(self):
        for name, text in (("src/a/x.h", ""), ("src/a/y.cpp", '#include "a/x.h"'), ("src/a/z.cpp", "")):
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.assertEqual(stages.users_of_headers(self.run_, {"src/a/x.h"}, {"src/a/y.cpp", "src/a/z.cpp"}), {"src/a/y.cpp"})


if __name__ == "__main__":
    unittest.main()
