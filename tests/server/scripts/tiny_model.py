#!/usr/bin/env python3
"""Writes a tiny random Gemma 4 with all markers of conversations and tools: tiny_model.py FOLDER

The weights of the fixture e2b, with the vocabulary of tests/engine/harness.h.
"""
import json
import pathlib
import shutil
import sys

MARKERS = ["<|channel>", "<channel|>", "<|think|>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
           "<tool_response|>", "<|\"|>"]


def vocabulary():
    pieces = [("<pad>", True), ("<eos>", True), ("<bos>", True), ("<unk>", True)]
    pieces += [(f"<0x{b:02X}>", False) for b in range(256)] + [(f"w{n}", False) for n in range(20)]
    pieces += [(text, True) for text in MARKERS + ["<|turn>", "<turn|>"]]
    pieces += [(chr(c), False) for c in range(ord("a"), ord("z") + 1)] + [("qz", False), ("w59", False)]
    return pieces


def write(folder):
    fixture = pathlib.Path(__file__).resolve().parents[2] / "fixtures/text/e2b"
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(fixture / name, folder / name)
    (folder / "generation_config.json").write_text('{"eos_token_id": [1]}')
    pieces = vocabulary()
    (folder / "tokenizer.json").write_text(json.dumps({
        "added_tokens": [{"id": n, "content": text, "special": True} for n, (text, special) in enumerate(pieces) if special],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "model": {"type": "BPE", "byte_fallback": True, "unk_token": "<unk>", "vocab": {text: n for n, (text, _) in enumerate(pieces)},
                  "merges": ["q z"]}}))
    return folder


if __name__ == "__main__":
    print(write(sys.argv[1]))
