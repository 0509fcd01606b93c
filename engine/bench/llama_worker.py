"""Runs under the Python that has `llama-cpp-python`, beside `remask bench llama`; knows nothing of Remask.

Reads JSON lines from standard input, `{"ids": [...], "tokens": n, "cold": bool}`, and answers each with milliseconds
of the prompt and of the greedy tokens after it, and those tokens. `llama_worker.py IN OUT` writes IN again as Q8_0.
"""

from __future__ import annotations

import json
import sys
import time

import llama_cpp  # type: ignore[import-not-found, unused-ignore]


def requantise(source: str, target: str) -> None:
    """Every matrix at 8 bits in blocks of 32 (Q8_0), the head too; exit 1 when llama.cpp cannot."""
    how = llama_cpp.llama_model_quantize_default_params()
    how.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0
    how.allow_requantize = True
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), how):
        sys.exit(1)


def main() -> None:
    """Serve until standard input ends."""
    if not sys.argv[2].isdigit():
        return requantise(sys.argv[1], sys.argv[2])
    model = llama_cpp.Llama(
        sys.argv[1], n_ctx=1024, n_threads=int(sys.argv[2]), n_threads_batch=int(sys.argv[2]), verbose=False
    )
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        ids, tokens = ask["ids"], ask["tokens"]
        if ask["cold"]:
            model.reset()
        # Keep what the context shares with what is loaded, as llama.cpp's server does; the last token is evaluated.
        keep = 0
        held = model.input_ids[: model.n_tokens].tolist()
        while keep < min(len(held), len(ids) - 1) and held[keep] == ids[keep]:
            keep += 1
        model.n_tokens = keep
        start = time.perf_counter()
        model.eval(ids[keep:])
        prompt = (time.perf_counter() - start) * 1e3
        made = []
        start = time.perf_counter()
        for n in range(tokens):
            made.append(int(model.sample(temp=0.0, repeat_penalty=1.0)))
            if n + 1 < tokens:
                model.eval(made[-1:])
        print(json.dumps({"prompt_ms": prompt, "ms": (time.perf_counter() - start) * 1e3, "made": made}), flush=True)


if __name__ == "__main__":
    main()
