#!/usr/bin/env python3
"""Draws a roofline picture (SVG) from kernels_bench's JSON.

    kernels_bench --benchmark_format=json > kernels.json
    bench/roofline.py kernels.json > docs/roofline.svg

The roof is what this machine gives: memory's rate times operations per byte, up to the int8 dot on
registers alone. A point is a kernel: operations per byte of weights, operations a second."""

import json
import math
import sys

WIDTH, HEIGHT, LEFT, BOTTOM = 860, 520, 80, 60
X_RANGE, Y_RANGE = (1, 2000), (10, 2000)  # operations per byte; 10^9 operations a second


def place(value, bounds, start, end):
    low, high = (math.log10(b) for b in bounds)
    return start + (math.log10(value) - low) / (high - low) * (end - start)


def x_of(value):
    return place(value, X_RANGE, LEFT, WIDTH - 30)


def y_of(value):
    return place(value, Y_RANGE, HEIGHT - BOTTOM, 40)


def text(x, y, words, anchor="start", size=13):
    return (f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" '
            f'font-family="sans-serif">{words}</text>')


def axes():
    out = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for bounds, at in ((X_RANGE, "x"), (Y_RANGE, "y")):
        value = 10 ** math.ceil(math.log10(bounds[0]))
        while value <= bounds[1]:
            if at == "x":
                x = x_of(value)
                out.append(f'<path d="M{x:.0f} 40V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
                out.append(text(x, HEIGHT - BOTTOM + 20, value, "middle"))
            else:
                y = y_of(value)
                out.append(f'<path d="M{LEFT} {y:.0f}H{WIDTH - 30}" stroke="#ddd"/>')
                out.append(text(LEFT - 8, y + 4, value, "end"))
            value *= 10
    out.append(text((LEFT + WIDTH) / 2, HEIGHT - 15, "operations per byte of weights", "middle"))
    out.append(text(LEFT - 60, 25, "10⁹ operations a second, one thread"))
    return out


def points(runs):
    """(name, operations per byte, GOP/s) of the kernels whose weights come from memory, and of a
    prompt's product with 512 tokens, whose weights are read once for all of them."""
    for name, run in sorted(runs.items()):
        kind, _, rest = name.partition("/")
        if kind in ("answer", "answer8") and rest.endswith("/memory"):
            tokens = "1 token" if kind == "answer" else "8 tokens"
            yield f'{rest.split("/")[0]}, {tokens}', run["GOP/s"] / run["GB/s"], run["GOP/s"]
        elif kind == "prompt":
            per_byte = runs[f"answer/{rest}/memory"]
            one = per_byte["GOP/s"] / per_byte["GB/s"]
            yield f"{rest}, prompt", 512 * one, run["GOP/s"]


def main():
    data = json.load(open(sys.argv[1], encoding="utf-8"))
    runs = {b["name"]: b for b in data["benchmarks"]}
    memory, peak = runs["peak/memory"]["GB/s"], runs["peak/int8"]["GOP/s"]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'] + axes()
    knee = peak / memory
    out.append(f'<path d="M{x_of(X_RANGE[0]):.0f} {y_of(max(memory * X_RANGE[0], Y_RANGE[0])):.0f}'
               f'L{x_of(knee):.0f} {y_of(peak):.0f}H{WIDTH - 30}" fill="none" stroke="#06c" '
               'stroke-width="2"/>')
    out.append(text(x_of(knee) + 10, y_of(peak) - 8,
                    f'int8 dot on registers: {peak:.0f}; memory: {memory:.0f} GB/s'))
    for name, per_byte, gops in points(runs):
        x, y = x_of(per_byte), y_of(gops)
        out.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="#c30"/>')
        near = x > WIDTH - 160
        out.append(text(x - 8 if near else x + 8, y + 4, f"{name}: {gops:.0f}",
                        "end" if near else "start", 11))
    out.append(text(LEFT, HEIGHT - 38, f'table {data["context"].get("table", "?")}', size=11))
    print("\n".join(out + ["</svg>"]))


if __name__ == "__main__":
    main()
