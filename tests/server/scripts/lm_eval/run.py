#!/usr/bin/env python3
"""lm-evaluation-harness, unmodified, against `bezel serve`: our two tasks, over /v1/completions.

    run.py PROGRAM MODEL [TOKENIZER]

Prompts go as ids (the harness asks /tokenize), as texts, and, with the folder of a Hugging Face tokenizer and the package
transformers, as that tokenizer's ids. Exit status 1 when one way has other answers or log-probabilities than another, or
scores too low for Gemma 3 270M.
"""
import json
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from served import served  # noqa: E402

LEAST = {"bezel_cloze": ("acc,none", 0.7), "bezel_copy": ("exact_match,strip", 0.6)}


def scores(url, model, **arguments):
    import lm_eval
    from lm_eval.tasks import TaskManager
    results = lm_eval.simple_evaluate(
        model="local-completions",
        model_args={"model": model, "base_url": f"{url}/v1/completions", "max_length": 1024, "max_retries": 1, **arguments},
        tasks=list(LEAST), task_manager=TaskManager(include_path=".", include_defaults=False), bootstrap_iters=0,
        log_samples=True, num_fewshot=0)
    answers = {name: [s["filtered_resps"] for s in sorted(samples, key=lambda s: s["doc_id"])]
               for name, samples in results["samples"].items()}
    for name, all_of in answers.items():
        for n, one in enumerate(all_of):
            print(f"  {name} {n} {json.dumps(one)}")
    return {name: float(results["results"][name][metric]) for name, (metric, _) in LEAST.items()}, answers


def main():
    program, model = (str(pathlib.Path(p).resolve()) for p in sys.argv[1:3])
    tokenizer = str(pathlib.Path(sys.argv[3]).resolve()) if len(sys.argv) > 3 else None
    os.chdir(pathlib.Path(__file__).parent)
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HF_HOME=home, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
        with served(program, model, "--ctx", 1024, "--parallel", 4) as (_, url):
            ways = {"ids": {"tokenizer_backend": "remote"},
                    "texts": {"tokenizer_backend": "remote", "tokenized_requests": False},
                    "ids, four at once": {"tokenizer_backend": "remote", "num_concurrent": 4}}
            if tokenizer:
                ways["a tokenizer's ids"] = {"tokenizer_backend": "huggingface", "tokenizer": tokenizer}
            found = {way: scores(url, "gemma", **arguments) for way, arguments in ways.items()}
    failed = False
    for way, result in found.items():
        good = all(result[0][name] >= least for name, (_, least) in LEAST.items()) and result == found["ids"]
        failed |= not good
        print(f"{'ok  ' if good else 'FAIL'} {way}: {result[0]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
