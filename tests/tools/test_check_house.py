#!/usr/bin/env python3
"""tools/check_house.py finds each kind of problem in a small made-up tree, and none in a sound one."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.dont_write_bytecode = True
import check_house  # noqa: E402


class House(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        for name in check_house.MUST_EXIST:
            self.write(name, "text\n")
        for name in check_house.MUST_RUN:
            self.write(name, "#!/bin/sh\n./test\n")
            (self.root / name).chmod(0o755)
        self.write("src/base/view.h", "#pragma once\n#include <span>\n")
        self.write("src/model/forward.cpp", '#include "kernels/ops.h"\n#include "bezel/result.h"\nint f() { return 1; }\n')

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def problems(self):
        return list(check_house.problems(self.root))

    def expect(self, part):
        found = self.problems()
        self.assertEqual(len(found), 1, found)
        self.assertIn(part, found[0])

    def test_a_sound_tree_has_no_problem(self):
        self.assertEqual(self.problems(), [])

    def test_an_upward_include_is_found(self):
        self.write("src/kernels/a.cpp", '#include "base/view.h"\n#include "model/model.h"\n')
        self.expect("src/kernels/a.cpp:2: kernels may not include model")

    def test_model_and_text_never_meet(self):
        self.write("src/text/a.cpp", '#include "model/config.h"\n')
        self.expect("text may not include model")

    def test_the_server_sees_only_the_porch_and_base(self):
        self.write("src/server/a.cpp", '#include "bezel/engine.h"\n#include "base/file.h"\n#include "hub/store.h"\n')
        self.expect("server may not include hub")

    def test_an_unknown_room_is_found(self):
        self.write("src/attic/a.cpp", '#include "base/view.h"\n')
        self.expect("src/attic is not a room")

    def test_the_porch_includes_only_std(self):
        self.write("include/bezel/a.h", "#include <string>\n#include <stdint.h>\n#include <fmt/core.h>\n")
        self.expect("the porch may not include <fmt/core.h>")

    def test_the_porch_does_not_look_inside(self):
        self.write("include/bezel/a.h", '#include "base/view.h"\n')
        self.expect('the porch may not include "base/view.h"')

    def test_a_library_has_one_door(self):
        self.write("src/base/json.h", "#include <nlohmann/json.hpp>\n")
        self.write("src/engine/a.cpp", "#include <nlohmann/json.hpp>\n")
        self.expect("src/engine/a.cpp:1: <nlohmann/json.hpp> may be included only in src/base/json.h")

    def test_std_format_is_refused_and_std_formatters_of_fmt_are_not(self):
        self.write("src/base/a.cpp", "#include <fmt/format.h>\n")
        self.assertEqual(self.problems(), [])
        self.write("src/base/a.cpp", "#include <format>\n")
        self.expect("<format> may be included only in nothing")

    def test_a_long_file_is_found(self):
        self.write("src/base/a.cpp", "int x;\n" * 600)
        self.assertEqual(self.problems(), [])
        self.write("src/base/a.cpp", "int x;\n" * 601)
        self.expect("src/base/a.cpp: 601 lines, limit 600")

    def test_a_full_folder_is_found_and_data_folders_are_exempt(self):
        for i in range(20):
            self.write(f"tests/fixtures/a/{i}.txt", "x")
            self.write(f"tests/fuzz/corpus/a/{i}", "x")
        for i in range(11):
            self.write(f"src/base/a{i}.cpp", "\n")
        self.assertEqual(self.problems(), [])
        self.write("src/base/a11.cpp", "\n")
        self.expect("src/base: 13 files, limit 12")

    def test_a_large_file_is_found_outside_fixtures_only(self):
        self.write("tests/fixtures/big.bin", "x" * (5 << 20))
        self.assertEqual(self.problems(), [])
        self.write("docs/big.bin", "x" * (5 << 20))
        self.expect("docs/big.bin: 5.0 MB, limit 4 MB")

    def test_fixtures_have_a_sum(self):
        path = self.root / "tests/fixtures/big.bin"
        path.parent.mkdir(parents=True)
        with open(path, "wb") as file:
            file.truncate(81 << 20)
        self.expect("tests/fixtures: 81.0 MB, limit 80 MB")

    def test_a_machine_path_is_found(self):
        self.write("docs/a.md", "line\nsee /ro" + "ot/x\n")
        self.expect("docs/a.md:2: a path of one machine")

    def test_unfinished_work_is_found(self):
        self.write("src/base/a.cpp", "// TO" + "DO: later\n")
        self.expect("src/base/a.cpp:1: unfinished work")

    def test_missing_files_and_run_bits_are_found(self):
        (self.root / "CHANGELOG.md").unlink()
        self.expect("CHANGELOG.md is missing")
        self.write("CHANGELOG.md", "x")
        (self.root / "test").chmod(0o644)
        self.expect("test has no run bit")

    def test_ci_must_call_test(self):
        self.write(".ci/run", "#!/bin/sh\nmake\n")
        self.expect(".ci/run does not call ./test")

    def test_build_folders_are_not_looked_at(self):
        self.write("build/release/a.cpp", "int x;\n" * 900)
        self.write("node_modules/a/a.cpp", "int x;\n" * 900)
        self.assertEqual(self.problems(), [])


def body(n):
    return "  step();\n" * n


class Functions(unittest.TestCase):
    """long_functions counts from the first line of the signature to the closing brace."""

    def lengths(self, text):
        return [(line, length) for line, length, _ in check_house.long_functions(text)]

    def test_sixty_lines_pass_and_sixty_one_do_not(self):
        self.assertEqual(self.lengths("void f() {\n" + body(58) + "}\n"), [])
        self.assertEqual(self.lengths("void f() {\n" + body(59) + "}\n"), [(1, 61)])

    def test_members_of_classes_in_namespaces_are_functions(self):
        text = "namespace a {\nclass B final : public C {\n public:\n  int f(int x) const override {\n" + body(60) + "  }\n};\n}\n"
        self.assertEqual(self.lengths(text), [(4, 62)])

    def test_a_long_class_or_namespace_is_none(self):
        self.assertEqual(self.lengths("namespace a {\nstruct B {\n" + "  int f() { return 1; }\n" * 90 + "};\n}\n"), [])

    def test_a_long_table_is_none(self):
        self.assertEqual(self.lengths("const Row kRows[] = {\n" + "  {1, f(2)},\n" * 90 + "};\n"), [])

    def test_tests_and_templates_and_requires_are_functions(self):
        self.assertEqual(self.lengths("TEST(A, B) {\n" + body(60) + "}\n"), [(1, 62)])
        self.assertEqual(self.lengths("template <class T>\nT f(T x) {\n" + body(60) + "}\n"), [(1, 63)])

    def test_a_function_that_returns_a_struct_is_a_function(self):
        self.assertEqual(self.lengths("struct B f(struct A a) {\n" + body(60) + "}\n"), [(1, 62)])

    def test_member_initialisers_with_braces_are_not_the_body(self):
        text = "A::A(int x)\n    : b_{x}, c_(std::move(x)), d_{{1, 2}} {\n" + body(60) + "}\nint g() { return 1; }\n"
        self.assertEqual(self.lengths(text), [(1, 63)])

    def test_braces_in_strings_comments_and_macros_do_not_count(self):
        text = ("int f() {\n  a(\"}{\");  // }\n  b('}', '\\'', 1'000);\n  /* } */ c(R\"x(}\"{{)x\");\n}\n"
                "#define M(x) \\\n  if (x) { \\\n  y\n" + "int g() {\n" + body(60) + "}\n")
        self.assertEqual(self.lengths(text), [(9, 62)])

    def test_lambdas_and_blocks_inside_are_part_of_the_function(self):
        text = "void f() {\n  run([&](int i) {\n" + body(30) + "  });\n  if (x) {\n" + body(30) + "  }\n}\n"
        self.assertEqual(self.lengths(text), [(1, 66)])

    def test_two_functions_are_counted_apart(self):
        text = ("void f() {\n" + body(40) + "}\n") * 2
        self.assertEqual(self.lengths(text), [])


if __name__ == "__main__":
    unittest.main()
