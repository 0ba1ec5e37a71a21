#!/usr/bin/env python3
"""`bezel doctor` on a sound model and on damaged copies of it.

    doctor_check.py BEZEL MODEL.gguf      MODEL: the Gemma 3 270M of tools/fetch_data.py

Prints `ok NAME`, or `FAIL NAME` and what was wrong. Exit status 1 when the sound one does not pass or
fewer than nine of the ten copies fail with a reason.
"""
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from gguf_file import Gguf

NEEDED = 9


def swapped_tensor(g):
    """Two layers' feed-forward matrices changed places."""
    a, b = "blk.3.ffn_up.weight", "blk.9.ffn_up.weight"
    one, other = g.bytes_of(a), g.bytes_of(b)
    g.put(a, other)
    g.put(b, one)


def scaled_norms(g):
    """The norm behind the attention is three times as large, in six layers (before it, it would change nothing: what
    follows is normed again)."""
    for i in range(6, 12):
        name = f"blk.{i}.post_attention_norm.weight"
        g.put_floats(name, [3 * x for x in g.floats(name)])


def wrong_rope_base(g):
    """Global layers turn with the base of the sliding ones."""
    struct.pack_into("<f", g.data, g.keys["gemma3.rope.freq_base"][1], 10000.0)


def shuffled_tokenizer(g):
    """A thousand pairs of pieces of the same length changed places."""
    places = [p for p in g.texts["tokenizer.ggml.tokens"][1000:200000] if p[1] == 5]
    random.Random(1).shuffle(places)
    for (a, n), (b, _) in zip(places[:1000], places[1000:2000]):
        one, other = g.data[a:a + n], g.data[b:b + n]
        g.data[a:a + n], g.data[b:b + n] = other, one


def wrong_scores(g):
    """The scores, which give the order of the merges, are those of other pieces."""
    kind, at, n = g.arrays["tokenizer.ggml.scores"]
    assert kind == 6
    g.data[at + 4 * 50000:at + 4 * 150000] = g.data[at + 4 * 50000:at + 4 * 150000][::-1]


def not_a_number(g):
    """One value of a norm is NaN."""
    values = g.floats("blk.5.ffn_norm.weight")
    values[17] = float("nan")
    g.put_floats("blk.5.ffn_norm.weight", values)


def dead_matrix(g):
    """A matrix is all zeros, as after a hole in a file."""
    g.put("blk.7.ffn_down.weight", bytes(len(g.bytes_of("blk.7.ffn_down.weight"))))


def exploding_norm(g):
    """The last norm of a layer is a thousand times as large."""
    g.put_floats("blk.2.post_ffw_norm.weight", [1000 * x for x in g.floats("blk.2.post_ffw_norm.weight")])


def flipped_bits(g):
    """One bit in every 2,000 bytes of ten matrices is the other way round."""
    for i in range(4, 14):
        name = f"blk.{i}.attn_output.weight"
        data = bytearray(g.bytes_of(name))
        for at in range(1000, len(data), 2000):
            data[at] ^= 0x40
        g.put(name, bytes(data))


def wrong_window(g):
    """The sliding layers see 256 positions in place of 512."""
    struct.pack_into("<I", g.data, g.keys["gemma3.attention.sliding_window"][1], 256)


DAMAGE = [swapped_tensor, scaled_norms, wrong_rope_base, shuffled_tokenizer, wrong_scores, not_a_number, dead_matrix,
          exploding_norm, flipped_bits, wrong_window]


def doctor(bezel, model):
    done = subprocess.run([bezel, "doctor", str(model), "--offline"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=600)
    return done.returncode, done.stdout


def main():
    bezel, model = sys.argv[1], pathlib.Path(sys.argv[2])
    some = [shuffled_tokenizer, dead_matrix]  # --some: not all ten
    damages = some if "--some" in sys.argv[3:] else DAMAGE
    status, text = doctor(bezel, model)
    sound = status == 0
    print("ok the sound model passes" if sound else f"FAIL the sound model passes\n{text}", flush=True)
    named = str(model.parent) in text or model.name in text
    print("FAIL the report names no path" if named else "ok the report names no path", flush=True)
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "copy.gguf"
        for damage in damages:
            shutil.copyfile(model, copy)
            file = Gguf(copy)
            damage(file)
            file.close()
            status, text = doctor(bezel, copy)
            reasons = re.findall(r"^(\S+) +WRONG +(.*)$", text, re.MULTILINE)
            good = status == 1 and bool(reasons)
            found += good
            what = "; ".join(f"{name}: {reason}" for name, reason in reasons) or text.strip().replace("\n", " | ")
            print(f"{'found' if good else 'MISSED'} {damage.__name__}: {what}", flush=True)
    enough = found >= min(NEEDED, len(damages))
    print(f"{'ok' if enough else 'FAIL'} {found} of {len(damages)} damaged copies are found", flush=True)
    return 0 if sound and enough and not named else 1


if __name__ == "__main__":
    sys.exit(main())
