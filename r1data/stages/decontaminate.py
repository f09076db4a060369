"""problems x benchmarks -> overlaps: word n-grams; character n-grams where no spaces are written.

Word n-grams follow the R1 paper (n = 10, appendix B.3; open-r1 and s1 use 8). A prompt shorter than
n is compared whole, so a copied short question is found too.
"""

from pathlib import Path

import polars as pl
from pydantic import Field

from r1data.core.errors import ConfigError, InputError
from r1data.core.records import Overlap, polars_schema
from r1data.core.stage import Config, Stage, Tables

TEXT_NAMES = ("prompt", "problem", "question", "instruction", "input", "text", "content")
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"


class DecontaminateConfig(Config):
    """Settings of `r1data decontaminate`."""

    benchmark: tuple[str, ...]
    """Benchmark files (JSONL, Parquet, CSV)."""
    column: str | None = None
    """Column of the benchmark's question; guessed by default."""
    words: int = 8
    """Length of a word n-gram."""
    characters: int = 16
    """Length of a character n-gram, for scripts written without spaces."""
    common: float = Field(default=0.05, gt=0, le=1)
    """Share of a benchmark's rows from which an n-gram is boilerplate ("find the number of …"), and
    no evidence for any one row; three rows at the least."""


def read_benchmarks(config: DecontaminateConfig, root: Path) -> dict[str, pl.LazyFrame]:
    """Return the benchmarks' questions as one frame (benchmark, benchmark_row, text)."""
    if not config.benchmark:
        raise ConfigError("decontaminate needs a benchmark file: --benchmark FILE")
    if config.words < 2 or config.characters < 2:
        raise ConfigError("an n-gram has at least 2 words or characters")
    frames = []
    labels = {given: benchmark_label(given) for given in config.benchmark}
    if len(set(labels.values())) < len(labels):  # two files of one name: their folders tell them
        labels = {given: "/".join(Path(given).parts[-2:]) for given in config.benchmark}
    names = [labels.get(name, name) for name in config.benchmark]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"benchmark {', '.join(twice)} is given twice")
    for given, name in zip(config.benchmark, names, strict=True):
        path = Path(given) if Path(given).exists() else root / given
        if not path.exists():
            raise InputError(f"benchmark {given}: no such file")
        frame = _read(path)
        columns = [config.column] if config.column else list(TEXT_NAMES)
        column = next((c for c in columns if c in frame.columns), None)
        if column is None:
            raise InputError(
                f"benchmark {given}: no column {' or '.join(columns)}; name it with --column "
                f"(it has {', '.join(frame.columns)})"
            )
        frames.append(
            frame.select(
                pl.lit(name).alias("benchmark"),
                pl.int_range(pl.len()).alias("benchmark_row"),
                pl.col(column).cast(pl.String).alias("text"),
            )
        )
    return {"=benchmarks": pl.concat(frames).lazy()}


def benchmark_label(given: str) -> str:
    """Return the name of a benchmark: a file's stem, or the workspace that a table lies in."""
    path = Path(given)
    if path.suffix:
        return path.stem
    return path.parent.name if path.name == "problems" and path.parent.name else path.name


def _read(path: Path) -> pl.DataFrame:
    try:
        if path.is_dir():
            return pl.read_parquet(path / "**/*.parquet")
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix == ".csv":
            return pl.read_csv(path, infer_schema=False)
        return pl.read_ndjson(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"benchmark {path}: {str(error).splitlines()[0]}") from error


def plain_words() -> pl.Expr:
    """Return the expression that turns ``text`` into comparable words, one space between."""
    text = pl.col("text").str.normalize("NFKC").str.to_lowercase()
    return text.str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()


def ngrams(frame: pl.LazyFrame, keys: list[str], config: DecontaminateConfig) -> pl.LazyFrame:
    """Return (keys, unit, ngram): every n-gram of ``text``, or the whole text if it is shorter."""
    plain = frame.select(*keys, plain_words().alias("_plain")).with_columns(
        (pl.col("_plain").str.count_matches(UNSPACED) * 2 > pl.col("_plain").str.len_chars()).alias(
            "_unspaced"
        )
    )
    units = plain.with_columns(
        pl.when("_unspaced")
        .then(pl.col("_plain").str.replace_all(" ", "").str.extract_all(r"."))
        .otherwise(pl.col("_plain").str.split(" "))
        .alias("_units"),
        pl.when("_unspaced").then(config.characters).otherwise(config.words).alias("_n"),
    )
    short = units.filter((pl.col("_units").list.len() < pl.col("_n")) & (pl.col("_plain") != ""))
    whole = short.select(*keys, pl.lit("whole").alias("unit"), pl.col("_plain").alias("ngram"))
    parts = [whole]
    for unit, size, chosen in (
        ("characters", config.characters, pl.col("_unspaced")),
        ("words", config.words, ~pl.col("_unspaced")),
    ):
        glue = "" if unit == "characters" else " "
        long = units.filter(chosen & (pl.col("_units").list.len() >= size))
        exploded = long.select(*keys, "_units").explode("_units")
        shifted = [pl.col("_units").shift(-i).over(keys) for i in range(size)]
        parts.append(
            exploded.select(
                *keys,
                pl.lit(unit).alias("unit"),
                pl.concat_str(shifted, separator=glue).alias("ngram"),
            ).drop_nulls("ngram")
        )
    return pl.concat(parts)


def overlap(config: DecontaminateConfig, tables: Tables) -> pl.LazyFrame:
    """Return one row per problem and benchmark row that share an n-gram: the first they share."""
    problems = tables["problems"].select("problem_id", pl.col("prompt").alias("text"))
    ours = ngrams(problems, ["problem_id"], config)
    theirs = ngrams(tables["=benchmarks"], ["benchmark", "benchmark_row"], config)
    rows = tables["=benchmarks"].group_by("benchmark").agg(pl.len().alias("_rows"))
    holders = pl.col("benchmark_row").n_unique().over("benchmark", "unit", "ngram")
    is_common = (holders >= 3) & (holders >= config.common * pl.col("_rows"))
    theirs = theirs.join(rows, on="benchmark").filter((pl.col("unit") == "whole") | ~is_common)
    return (
        ours.join(theirs, on=["unit", "ngram"], how="inner")
        .group_by("problem_id", "benchmark", "benchmark_row")
        .agg(pl.col("unit", "ngram").sort_by("ngram").first())
        .rename({"ngram": "matched"})
        .sort("problem_id", "benchmark", "benchmark_row")
        .select(list(polars_schema(Overlap)))
    )


DECONTAMINATE = Stage(
    name="decontaminate",
    version=1,
    reads=("problems",),
    writes="overlaps",
    config=DecontaminateConfig,
    fn=overlap,
    kind="frame",
    sources=read_benchmarks,
    reason="benchmark",
)
