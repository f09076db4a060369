import polars as pl
import pytest

from r1data.core.records import RlRow, polars_schema
from r1data.core.sampling import Completion
from r1data.rewards import RewardConfig, measure

MINI = {"format": "think-answer", "latin_words": 1, "no_words": "fail", "lid": False}


def rows(*languages: str) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "row_id": str(i),
                "prompt": [{"role": "user", "content": "7 + 8"}],
                "problem_id": "p",
                "answer": "15",
                "verifier": "math",
                "language": language,
                "domain": "math",
                "source": "s",
            }
            for i, language in enumerate(languages)
        ],
        schema=polars_schema(RlRow),
    )


def done(text: str) -> Completion:
    return Completion(text, [1, 2], [0.0, 0.0], "stop", 3)


TEXTS = [
    "<think> ones 7 plus 8 is ⑮ </think> <answer> 15 </answer>",
    "<think> ones 7 plus 8 is ⑮ </think> <answer> 16 </answer>",
    "<think> 일의자리 7 plus 8 is ⑮ </think> <answer> 15 </answer>",
    "ones 7 plus 8 is ⑮ <answer> 15 </answer>",
    "<think> ⑮ </think> <answer> 15 </answer>",
]


def parts(config: RewardConfig, language: str = "en") -> pl.DataFrame:
    frame = rows(*[language] * len(TEXTS))
    return measure(config, frame, [done(t) for t in TEXTS], [""] * len(TEXTS))


def test_the_parts_are_the_verdicts_and_judgements_of_each_text() -> None:
    frame = parts(RewardConfig.model_validate({"filter": MINI}))
    assert frame["accuracy"].to_list() == [1.0, 0.0, 1.0, 1.0, 1.0]
    assert frame["format"].to_list() == [1.0, 1.0, 1.0, 0.0, 1.0]
    assert frame["language_consistency"].to_list() == [1.0, 1.0, pytest.approx(2 / 3), 1.0, 0.0]
    assert frame["mixed"].to_list() == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_the_reward_is_their_weighted_sum() -> None:
    config = RewardConfig.model_validate(
        {"accuracy": 1.0, "format": 0.5, "language": 0.25, "filter": MINI}
    )
    expected = [1.75, 0.75, 1.5 + 0.25 * 2 / 3, 1.25, 1.5]
    assert parts(config)["reward"].to_list() == pytest.approx(expected)


def test_the_target_language_is_the_row_s_own() -> None:
    config = RewardConfig.model_validate({"language": 1.0, "filter": MINI})
    assert parts(config, "ko")["language_consistency"][:3].to_list() == [
        0.0,
        0.0,
        pytest.approx(1 / 3),
    ]


def test_rows_of_different_verifiers_are_judged_by_their_own() -> None:
    frame = rows("en", "en").with_columns(
        verifier=pl.Series(["math", "string"]), answer=pl.Series(["0.5", "Paris"])
    )
    texts = [r"\boxed{\frac{1}{2}}", r"\boxed{ paris. }"]
    measured = measure(RewardConfig(), frame, [done(t) for t in texts], ["", ""])
    assert measured["accuracy"].to_list() == [1.0, 1.0]


def test_a_prefill_belongs_to_the_turn() -> None:
    config = RewardConfig.model_validate({"filter": {**MINI, "format": "think"}})
    text = "ones 7 plus 8 is ⑮ </think> 15"
    measured = measure(config, rows("en"), [done(text)], ["<think>\n"])
    assert measured.row(0, named=True)["format"] == 1.0


@pytest.mark.parametrize("settings", [{}, {"latin_words": 2}])
def test_silence_earns_no_language_reward(settings: dict[str, int]) -> None:
    config = RewardConfig.model_validate({"language": 1.0, "filter": settings})
    measured = measure(config, rows("ko"), [done("<think> 7 + 8 </think> 15")], [""])
    assert measured["language_consistency"].to_list() == [0.0]


def test_a_gold_answer_that_cannot_be_read_gives_no_reward() -> None:
    frame = rows("en", "en").with_columns(answer=pl.Series([None, "15"], dtype=pl.String))
    measured = measure(RewardConfig(), frame, [done(TEXTS[0])] * 2, ["", ""])
    assert measured["reward"].is_null().to_list() == [True, False]
