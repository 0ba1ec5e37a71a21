#!/usr/bin/env python3
"""Every field that a decoder of the server reads stands in its OpenAPI document. (Ranges: tests/server/openapi_test.cpp.)"""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
REFUSED = {"suffix", "template", "images", "conversation", "prompt", "background"}  # whatever they say


class OpenApi(unittest.TestCase):
    def test_every_field_that_is_read_is_documented(self):
        code = "".join(path.read_text() for path in sorted((ROOT / "src/server/api").rglob("*.cpp")))
        code += "".join((ROOT / "src/server" / name).read_text() for name in ("front.cpp", "chats/routes.cpp", "models/routes.cpp"))
        read = set(re.findall(r'\b\w+_?\.(?:number|integer|flag|text|array|object|any)\("(\w+)"\)?', code))
        read |= set(re.findall(r'\b(?:read_stop|read_max_tokens|read_prompts|content_text|read_flat_tools)\(\w+, "(\w+)"', code))
        for keys in re.findall(r'for \(const char\* key : \{([^}]*)\}\)', code):
            read |= set(re.findall(r'"(\w+)"', keys))
        told = set(re.findall(r'\{"(\w+)",', (ROOT / "src/server/openapi/requests.cpp").read_text()))
        told |= set(re.findall(r'(?:push_back\(\{|tokens_out\()"(\w+)"', (ROOT / "src/server/openapi/requests.cpp").read_text()))
        self.assertGreater(len(read), 80)
        self.assertEqual(sorted(read - told - REFUSED - {"message", "code", "param", "content"}), [])


if __name__ == "__main__":
    unittest.main()
