from pathlib import Path

import polars as pl
import pytest

from r1data.core.errors import ConfigError, InputError
from r1data.stages.decontaminate import DecontaminateConfig, overlap, read_benchmarks
from tests import tables as t

LONG = "A farmer has twelve red hens and every hen lays three eggs each week of the year"


def found(prompts: list[str], benchmark: list[str], **settings: int) -> list[tuple[str, int, str]]:
    config = DecontaminateConfig(benchmark=("b",), **settings)
    rows = [{"problem_id": str(i), "prompt": p} for i, p in enumerate(prompts)]
    frame = pl.LazyFrame(
        {
            "benchmark": ["b"] * len(benchmark),
            "benchmark_row": range(len(benchmark)),
            "text": benchmark,
        }
    )
    out = overlap(config, {"problems": t.problems(*rows), "=benchmarks": frame}).collect()
    return list(out.select("problem_id", "benchmark_row", "unit").iter_rows())


def test_eight_words_in_a_row_are_an_overlap() -> None:
    copied = "Before: twelve red hens, and every hen lays three eggs; how many are there?"
    assert found([copied, "twelve red hens and every hen lays four eggs"], [LONG]) == [
        ("0", 0, "words")
    ]


def test_case_punctuation_and_width_do_not_hide_a_copy() -> None:
    assert found(["TWELVE red-hens and (every) hen lays　three eggs!"], [LONG]) == [
        ("0", 0, "words")
    ]


def test_latex_spacing_does_not_hide_a_copy() -> None:
    text = "Find the pairs (a,b) with a+b=3 and both positive integers below ten"
    assert found([text.replace("(a,b)", "( a, b )")], [text]) == [("0", 0, "words")]


def test_a_short_prompt_is_compared_whole() -> None:
    assert found(["What is 17+25?", "What is 17+26?"], ["what is 17 + 25"]) == [("0", 0, "whole")]


def test_scripts_without_spaces_are_compared_by_characters() -> None:
    chinese = "小明有十二个苹果,他每天吃掉三个苹果,请问几天以后吃完?"
    part = "问题:小明有十二个苹果,他每天吃掉三个苹果。"
    assert found([part], [chinese]) == [("0", 0, "characters")]
    assert found(["小明有十二个苹果,他买了书"], [chinese]) == []


def test_korean_is_compared_by_words() -> None:
    text = "한 상자에 사과가 열두 개 들어 있고 상자는 모두 세 개 있습니다"
    assert found([text + " 몇 개입니까?"], [text]) == [("0", 0, "words")]


def test_every_benchmark_row_is_named() -> None:
    assert found([LONG], ["nothing in common here", LONG, LONG]) == [
        ("0", 1, "words"),
        ("0", 2, "words"),
    ]


def test_the_length_of_an_ngram_is_a_setting() -> None:
    assert found(["twelve red hens"], ["he has twelve red hens now"], words=3) == [
        ("0", 0, "words")
    ]


def test_benchmark_files(tmp_path: Path) -> None:
    pl.DataFrame({"question": ["a b c"]}).write_ndjson(tmp_path / "x.jsonl")
    pl.DataFrame({"id": [1]}).write_csv(tmp_path / "y.csv")
    frame = read_benchmarks(DecontaminateConfig(benchmark=("x.jsonl",)), tmp_path)["=benchmarks"]
    assert frame.collect().row(0) == ("x", 0, "a b c")
    with pytest.raises(InputError, match=r"y.csv: no column prompt or .* \(it has id\)"):
        read_benchmarks(DecontaminateConfig(benchmark=("y.csv",)), tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_benchmarks(DecontaminateConfig(benchmark=("z.jsonl",)), tmp_path)
    with pytest.raises(ConfigError, match="needs a benchmark file"):
        read_benchmarks(DecontaminateConfig(benchmark=()), tmp_path)


def test_what_many_rows_of_a_benchmark_say_is_no_evidence_for_one() -> None:
    frame = "State the final answer to the following arithmetic problem as one number: {}"
    benchmark = [frame.format(f"{a} + {a + 7} - {a + 2}") for a in range(100, 110)]
    copied, fresh = benchmark[3], frame.format("512 + 77 - 940")
    assert found([copied, fresh], benchmark) == [("0", 3, "words")]


def test_benchmarks_of_one_name_stay_apart(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        pl.DataFrame({"question": [f"{folder} one two three"]}).write_ndjson(
            tmp_path / folder / "t.jsonl"
        )
    config = DecontaminateConfig(benchmark=("x/t.jsonl", "y/t.jsonl"))
    frame = read_benchmarks(config, tmp_path)["=benchmarks"].collect()
    assert frame.select("benchmark", "benchmark_row").rows() == [("x/t.jsonl", 0), ("y/t.jsonl", 0)]
    tables = DecontaminateConfig(benchmark=("../00-test/problems", "../01-validation/problems"))
    for name in ("00-test", "01-validation"):
        folder = tmp_path / name / "problems"
        folder.mkdir(parents=True)
        pl.DataFrame({"prompt": ["p"]}).write_parquet(folder / "part-00000.parquet")
    (tmp_path / "w").mkdir()
    found = read_benchmarks(tables, tmp_path / "w")["=benchmarks"].collect()
    assert found["benchmark"].to_list() == ["00-test", "01-validation"]
