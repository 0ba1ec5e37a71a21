#!/usr/bin/env python3
"""The measurement of constrain_bench with the packages llguidance and xgrammar.

    constrain_peers.py TOKENIZER_JSON      one line a package: compile and first mask (ms, largest),
                                           median, mean, 99 % and worst of a mask (us)
"""
import json
import pathlib
import sys
import time

import tokenizers


def rows(name, compile_ms, times):
    times.sort()
    print(f"{name:12} tokens {len(times)}, compile {max(compile_ms):.2f} ms, median {times[len(times) // 2]:.1f}, "
          f"mean {sum(times) / len(times):.1f}, 99 % {times[len(times) * 99 // 100]:.1f}, worst {times[-1]:.1f} us")


def cases(tokenizer):
    path = pathlib.Path(__file__).with_name("constrain_cases.json")
    for case in json.loads(path.read_text()):
        texts = [json.dumps(i, separators=(",", ":"), ensure_ascii=False) for i in case["instances"]]
        yield json.dumps(case["schema"]), [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]


def llguidance(path, tokenizer):
    import llguidance
    import llguidance.hf  # noqa: F401
    own = llguidance.LLTokenizer(pathlib.Path(path).read_text())
    compile_ms, times = [], []
    for schema, answers in cases(tokenizer):
        for ids in answers:
            start = time.perf_counter()
            matcher = llguidance.LLMatcher(own, llguidance.LLMatcher.grammar_from_json_schema(schema))
            matcher.compute_bitmask()
            compile_ms.append((time.perf_counter() - start) * 1e3)
            for token in ids:
                start = time.perf_counter()
                matcher.compute_bitmask()
                times.append((time.perf_counter() - start) * 1e6)
                if not matcher.consume_token(token):
                    print("llguidance refuses a token:", matcher.get_error())
                    break
    rows("llguidance", compile_ms, times)


def xgrammar(path, tokenizer):
    import xgrammar
    words = [None] * tokenizer.get_vocab_size()
    for word, at in tokenizer.get_vocab().items():
        words[at] = word
    info = xgrammar.TokenizerInfo(words, vocab_type=xgrammar.VocabType.BYTE_FALLBACK, stop_token_ids=[1, 106],
                                  add_prefix_space=False)
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
    bits = xgrammar.allocate_token_bitmask(1, info.vocab_size)
    compile_ms, times = [], []
    for schema, answers in cases(tokenizer):
        start = time.perf_counter()
        compiled = compiler.compile_json_schema(schema, strict_mode=False)
        compile_ms.append((time.perf_counter() - start) * 1e3)
        for ids in answers:
            matcher = xgrammar.GrammarMatcher(compiled)
            for token in ids:
                start = time.perf_counter()
                matcher.fill_next_token_bitmask(bits)
                times.append((time.perf_counter() - start) * 1e6)
                if not matcher.accept_token(token):
                    print("xgrammar refuses a token")
                    break
    rows("xgrammar", compile_ms, times)


def main():
    path = sys.argv[1]
    tokenizer = tokenizers.Tokenizer.from_file(path)
    for measure in (llguidance, xgrammar):
        try:
            measure(path, tokenizer)
        except Exception as error:  # a package that is not there, or refuses
            print(f"{measure.__name__}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
