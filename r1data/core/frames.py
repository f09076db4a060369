"""Frame functions that several stages share."""

from typing import Any

import polars as pl
from pydantic import model_validator

from r1data.core.errors import ConfigError
from r1data.core.records import CORPORA, Kind, content_hash
from r1data.core.stage import Config, Tables


class CorpusConfig(Config):
    """Settings of every command that works on one corpus."""

    corpus: str
    """Name of the corpus."""
    kind: Kind
    """cold-start, sft, distill, rl or preference; the corpus' name by default."""

    @model_validator(mode="before")
    @classmethod
    def _kind_from_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("kind"):
            if data.get("corpus") not in CORPORA:
                raise ConfigError(
                    f"corpus {data.get('corpus')!r} needs a kind: {', '.join(CORPORA)}"
                )
            data = {**data, "kind": data["corpus"]}
        return data


def folded(column: str) -> pl.Expr:
    """Return the text that counts as equal: NFKC, lower case, white space folded."""
    text = pl.col(column).str.normalize("NFKC").str.to_lowercase()
    return text.str.replace_all(r"\s+", " ").str.strip_chars()


def pass_rates(tables: Tables) -> pl.LazyFrame:
    """Return (problem_id, pass_rate): the share of correct among the traces that could be judged.

    Traces with a bad gold answer or a verifier error say nothing about the model.
    """
    judged = pl.col("status").is_in(["correct", "wrong", "no_answer", "timeout", "limit"])
    return (
        tables["verdicts"]
        .group_by("problem_id")
        .agg((pl.col("status") == "correct").sum().alias("_correct"), judged.sum().alias("_judged"))
        .select("problem_id", (pl.col("_correct") / pl.col("_judged")).alias("pass_rate"))
        .with_columns(pl.col("pass_rate").fill_nan(None))
    )


def first_reason(*tests: tuple[pl.Expr, pl.Expr | str]) -> pl.Expr:
    """Return the reason of the first test that holds; null if none does."""
    out = pl.lit(None, dtype=pl.String)
    for test, reason in reversed(tests):
        said = pl.lit(reason) if isinstance(reason, str) else reason
        out = pl.when(test.fill_null(False)).then(said).otherwise(out)
    return out


def chance(column: str, seed: int) -> pl.Expr:
    """Return a sort key that looks random and depends on id and seed alone, on every machine.

    The first 32 bits of the id, times a multiplier of the seed, modulo the prime 2^31 - 1.
    """
    multiplier = int(content_hash("order", seed), 16) % (2**31 - 2) + 1
    bits = pl.col(column).str.slice(0, 8).str.to_integer(base=16, dtype=pl.Int64, strict=False)
    return bits * multiplier % (2**31 - 1)
