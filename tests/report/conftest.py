"""A small run on disk: three languages, every verdict, every rule, two trained models."""

import json
import random

import polars as pl
import pytest

from r1data.core.records import (
    TABLES,
    EvalRow,
    SftRow,
    content_hash,
    polars_schema,
)
from r1data.core.text import split_thinking

WORDS = {
    "en": ("What is {a} + {b}?", "First add the ones: {a} + {b} = {c}. So the sum is {c}."),
    "ko": (
        "{a} 더하기 {b}은 얼마인가요?",
        "먼저 일의 자리를 더합니다. {a} + {b} = {c} 이므로 답은 {c}.",
    ),
    "zh": ("{a} 加 {b} 等于多少？", "先把个位相加，{a} + {b} = {c}，所以答案是 {c}。"),
}
INTRUDERS = {
    "en": ("所以答案是", "zh"),
    "ko": ("therefore the carry", "en"),
    "zh": ("그러므로 답은", "ko"),
}
HOSTILE = (
    "<script>alert(1)</script> \u202egnirts\u202c \u200b<img src=http://evil.example/x onerror=x>"
)


def write_table(directory, record, rows, receipt=None):
    directory.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(rows, schema=polars_schema(record), orient="row")
    half = max(1, frame.height // 2)
    frame[:half].write_parquet(directory / "part-00000.parquet")
    if frame.height > half:
        frame[half:].write_parquet(directory / "part-00001.parquet")
    if receipt is not None:
        write_receipt(directory, rows_out=frame.height, **receipt)


def write_receipt(directory, **fields):
    directory.mkdir(parents=True, exist_ok=True)
    base = {
        "table": directory.name,
        "stage": directory.name,
        "version": 1,
        "config": {"threshold": 0.9},
        "fingerprint": "0123456789abcdef",
        "inputs": {},
        "rows_in": None,
        "rows_out": None,
        "reasons": {},
        "seconds": 1.5,
        "cpu_seconds": 1.25,
        "packages": {"polars": "2.1.0"},
        "created": "2026-11-22T10:00:00Z",
        "schema_version": 1,
        "command": f"r1data {directory.name}",
    }
    (directory / "_receipt.json").write_text(json.dumps({**base, **fields}), encoding="utf-8")


def problem(index, language):
    a, b = 100 + index * 7 % 400, 200 + index * 13 % 500
    prompt = WORDS[language][0].format(a=a, b=b)
    return {
        "problem_id": content_hash("p", index),
        "prompt": prompt,
        "messages": None,
        "answer": str(a + b),
        "verifier": "math",
        "payload": None,
        "language": language,
        "domain": "math",
        "source": "mini:addition" if index % 3 else "gym:chain_sum",
        "source_id": str(index),
        "licence": "Apache-2.0" if index % 4 else None,
    }, (a, b)


def trace(row, numbers, sample, draw):
    """Return a trace with its verdict and its judgements."""
    a, b = numbers
    language = row["language"]
    status = draw.choices(["correct", "wrong", "no_answer", "timeout"], [70, 20, 8, 2])[0]
    value = a + b if status == "correct" else a + b + 10
    thinking = WORDS[language][1].format(a=a, b=b, c=value)
    mixed, loops = draw.random() < 0.3, draw.random() < 0.15
    intruder, foreign = INTRUDERS[language]
    if mixed:
        thinking += f" {intruder} {value}."
    if loops:
        thinking += "\nWait, let me check that again." * draw.choice([6, 200])
    body = f"<think>\n{thinking}\n</think>\n"
    text = body + ("" if status == "no_answer" else f"\\boxed{{{value}}}")
    parts = split_thinking(text)
    length = len(text) // 3 + draw.randrange(30)
    cut = draw.random() < 0.12
    identity = content_hash("t", row["problem_id"], sample)
    made = {
        "trace_id": identity,
        "problem_id": row["problem_id"],
        "sample_index": sample,
        "sampler": "5a5a5a5a5a5a5a5a",
        "model": "models/rl-zero",
        "engine": "transformers",
        "seed": sample,
        "prompt_hash": "aa",
        "prefill": "",
        "text": text,
        "thinking_start": parts.thinking[0],
        "thinking_end": parts.thinking[1],
        "answer_start": parts.answer[0],
        "answer_end": parts.answer[1],
        "finish_reason": "length" if cut else "stop",
        "max_tokens": 1024,
        "prompt_tokens": 20,
        "completion_tokens": length,
        "token_ids": None,
        "logprobs": None,
    }
    keys = {"trace_id": identity, "problem_id": row["problem_id"]}
    extracted = None if status == "no_answer" else str(value)
    verdict = {**keys, "verifier": "math", "status": status, "extracted": extracted}
    verdict |= {
        "method": "number",
        "score": float(status == "correct"),
        "seconds": 0.01,
        "input_hash": "00",
    }
    at = text.find(intruder)
    spans = {"start": at, "end": at + len(intruder), "language": foreign}
    spans = [{**spans, "reason": "foreign_script"}] if mixed else []
    again = text.find("Wait")
    repeated = [{"start": again, "end": parts.thinking[1], "language": None, "reason": "loop"}]
    judged = [
        ("language_consistency", 0.8 if mixed else 1.0, not mixed, "mixed_languages", spans),
        (
            "repetition",
            6.0 if loops else 1.0,
            not loops,
            "repeated_line",
            repeated if loops else [],
        ),
        ("format", 1.0, True, None, []),
    ]
    judgements = [
        {**keys, "rule": rule, "value": value, "passed": passed}
        | {"reason": None if passed else reason, "spans": found}
        for rule, value, passed, reason, found in judged
    ]
    return made, verdict, judgements


def write_workspace(path, problems=40, samples=4, seed=0):
    """Write every table of a rejection-sampling phase and return its rows by table."""
    draw = random.Random(seed)
    made = [problem(i, ("ko", "en", "zh")[i % 3]) for i in range(problems)]
    rows = {name: [] for name in TABLES}
    rows["problems"] = [row for row, _ in made]
    for row, numbers in made[2:]:
        for sample in range(samples):
            one, verdict, judgements = trace(row, numbers, sample, draw)
            rows["traces"].append(one)
            rows["verdicts"].append(verdict)
            rows["judgements"] += judgements
    bad = {j["trace_id"] for j in rows["judgements"] if not j["passed"]}
    cut = {t["trace_id"] for t in rows["traces"] if t["finish_reason"] != "stop"}
    good = [
        v for v in rows["verdicts"] if v["status"] == "correct" and v["trace_id"] not in bad | cut
    ]
    for place, verdict in enumerate(good):
        keys = {"problem_id": verdict["problem_id"]}
        member = {"item_id": verdict["trace_id"], "item": "trace", "cluster_id": f"c{place // 2}"}
        rows["clusters"].append({**keys, **member, "kept": place % 10 != 9})
    kept = [v for place, v in enumerate(good) if place % 10 != 9]
    for place, verdict in enumerate(kept):
        picked = place % 3 != 2
        role = {"role": "row", "rank": 1, "reason": None}
        left = {"role": None, "rank": None, "reason": "enough_of_this_problem"}
        keys = {
            "corpus": "rs",
            "problem_id": verdict["problem_id"],
            "trace_id": verdict["trace_id"],
        }
        rows["picks"].append(keys | (role if picked else left))
    identity = rows["problems"][0]["problem_id"]
    overlap = {"problem_id": identity, "benchmark": "aime", "benchmark_row": 3, "unit": "words"}
    rows["overlaps"] = [{**overlap, "matched": "what is the sum"}]
    for name, table in rows.items():
        if table:
            write_table(path / name, TABLES[name][0], table, {"rows_in": len(table)})
    corpus = [
        {"row_id": pick["trace_id"], "messages": [{"role": "user", "content": "x"}]}
        | {"problem_id": pick["problem_id"], "trace_id": pick["trace_id"], "model": "m"}
        | {"language": "ko", "domain": "math", "source": "s", "licence": None}
        for pick in rows["picks"]
        if pick["role"]
    ]
    write_table(path / "corpora" / "rs", SftRow, corpus, {})
    return rows


def write_evaluation(path, label, order, rate, consistency, cost, problems=60, samples=8):
    draw = random.Random(order)
    rows = []
    for index in range(problems):
        correct = sum(draw.random() < rate for _ in range(samples))
        mixed = sum(draw.random() > consistency for _ in range(samples))
        rows.append(
            {
                "problem_id": content_hash("e", index),
                "language": ("ko", "en", "zh")[index % 3],
                "samples": samples,
                "correct": correct,
                "consensus_correct": correct > samples / 2,
                "language_consistency": min(1.0, consistency + draw.random() * 0.05),
                "mixed": mixed,
                "well_formed": samples,
                "readable": samples - mixed,
                "good": max(0, correct - mixed),
                "completion_tokens": 40.0 + order,
            }
        )
    extra = {"label": label, "model": f"models/{label}", "samples": samples, "order": order}
    write_table(path, EvalRow, rows, {**extra, "train_cpu_seconds": cost})
    return rows


def write_training(path, kind, steps, cost):
    path.mkdir(parents=True)
    lines = []
    for step in range(1, steps + 1):
        done = step / steps
        row = {"step": step, "kind": kind, "loss": 2.0 - done, "learning_rate": 5e-4}
        row |= {"grad_norm": 1.0, "tokens": 4096, "seconds": 1.0}
        if kind == "grpo":
            row |= {
                "reward": 0.2 + 0.8 * done,
                "accuracy": 0.2 + 0.7 * done,
                "format": 0.3 + done * 0.6,
            }
            row |= {"language_consistency": 0.6 - 0.15 * done, "mixed": 0.3 + 0.4 * done}
            row |= {"completion_tokens": 33 + 15 * done, "truncated": 0.02}
            row |= {"zero_variance_groups": 0.1, "clip_fraction": 0.01}
        lines.append(json.dumps(row))
    (path / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 9']), encoding="utf-8")
    write_receipt(path, stage=f"train-{kind}", cpu_seconds=cost)


def write_run(path):
    """Write a run of four phases and return the rows of its data phase."""
    write_training(path / "01-base" / "models" / "base", "sft", 300, 122.0)
    write_evaluation(path / "01-base" / "evals" / "test", "Base", 0, 0.2, 0.58, 122.0)
    write_training(path / "02-zero" / "models" / "zero", "grpo", 40, 78.0)
    write_evaluation(path / "02-zero" / "evals" / "test", "R1-Zero", 1, 0.92, 0.5, 200.0)
    rows = write_workspace(path / "03-reject")
    write_training(path / "04-final" / "models" / "final", "grpo", 30, 60.0)
    write_evaluation(path / "04-final" / "evals" / "test", "R1", 2, 0.95, 0.98, None)
    names = ("01-base", "02-zero", "03-reject", "04-final")
    titles = ("Pre-training", "R1-Zero", "Rejection sampling", "Last RL")
    phases = [
        {"name": name, "dir": name, "title": title}
        for name, title in zip(names, titles, strict=True)
    ]
    steps = [{"phase": "02-zero", "use": "gate", "state": "failed", "rows": 0, "seconds": 1.0}]
    described = {"recipe": "r1-mini", "title": "r1-mini", "command": "r1data run r1-mini"}
    (path / "run.json").write_text(
        json.dumps({**described, "phases": phases, "steps": steps}), encoding="utf-8"
    )
    return rows


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "r1-mini"
    return path, write_run(path)


@pytest.fixture(scope="session")
def built(run_directory, tmp_path_factory):
    """Return the path of the run's report and the numbers beside it."""
    from r1data.report import build_report

    out = build_report(run_directory[0], tmp_path_factory.mktemp("out") / "report.html")
    return out, json.loads(out.with_name("report.json").read_text(encoding="utf-8"))
