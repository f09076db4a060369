"""Tokens per second of our sampler beside `transformers.generate`, same model, same process.

    python benchmarks/sampling.py [--batch 256] [--tokens 60] [--rounds 7]

A random 0.34M Llama (the miniature's teacher), prompts of 12 tokens, temperature 1, one thread
unless OMP_NUM_THREADS says otherwise. Rounds are interleaved; medians and the ratio are printed.
Ours includes tokenising, decoding text and log-probabilities; `generate` does none of the three.
"""

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import transformers

from r1data.backends.transformers import TransformersSampler
from r1data.core.sampling import Prompt, Request, SamplingParams
from r1data.mini.model import new_model


def rates(model: Any, tokenizer: Any, stops: list[int], options: Any) -> dict[str, list[float]]:
    """Return tokens per CPU second of both, round by round; only tokens up to a stop count."""
    model.generation_config.eos_token_id = stops or None
    model.config.eos_token_id = stops or None
    prompt = "<q> compute 242 + 388 <a> <think> ones"
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
    many = ids.repeat(options.batch, 1)  # (batch, prompt tokens)
    sampler = TransformersSampler(model, tokenizer, batch_size=options.batch)
    params = SamplingParams(max_tokens=options.tokens)

    def ours() -> int:
        requests = [Request(Prompt(prompt), seed) for seed in range(options.batch)]
        return sum(len(done.token_ids) for _, done in sampler.generate(requests, params))

    def theirs() -> int:
        with torch.no_grad():
            out = model.generate(
                many,
                attention_mask=torch.ones_like(many),
                do_sample=True,
                top_k=0,
                max_new_tokens=options.tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
        drawn = out[:, many.shape[1] :]  # (batch, new tokens)
        ended = torch.isin(drawn, torch.tensor(stops)).cumsum(1).cumsum(1)
        return int((ended <= 1).sum())

    found: dict[str, list[float]] = {"r1data": [], "transformers.generate": []}
    for round_ in range(options.rounds + 1):
        for name, work in (("r1data", ours), ("transformers.generate", theirs)):
            began = time.process_time()
            tokens = work()
            if round_:  # the first round warms up
                found[name].append(tokens / (time.process_time() - began))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--batch", type=int, default=256)
    arguments.add_argument("--tokens", type=int, default=60)
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model, tokenizer = new_model("teacher")
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    # Four stop tokens of about 100 end a random model's samples after 25 tokens on average.
    cases = {"samples end": [10, 11, 12, 13], "samples never end": []}
    for case, stops in cases.items():
        found = rates(model, tokenizer, stops, options)
        ratio = statistics.median(a / b for a, b in zip(*found.values(), strict=True))
        for name, values in found.items():
            print(f"{case:<18} {name:<22} {statistics.median(values):>9,.0f} tokens per CPU second")
        print(f"{case:<18} ratio {ratio:.2f} (median of {options.rounds} pairs)")


if __name__ == "__main__":
    main()
