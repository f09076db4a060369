from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.core.errors import ConfigError
from r1data.core.records import Problem, SftRow, content_hash, polars_schema
from r1data.mini import world


@pytest.fixture(scope="module")
def sample():
    return list(world.documents(20_000, seed=7, digits=(3, 4)))


def is_right(document):
    return document.total == sum(document.pair)


def test_a_careful_derivation_is_the_one_of_the_docstring():
    lines, total = world.careful(242, 388)
    assert world.write(lines, "en") == (
        "ones 2 plus 8 is ⑩ 0 carry 1 . tens 4 plus 8 plus 1 is ⑬ 3 carry 1 . "
        "hundreds 2 plus 3 plus 1 is ⑥ 6 carry 0 . so 630 ."
    )
    assert world.write(lines, "ko").startswith("일의자리 2 더하기 8 합은 ⑩ 0 올림 1 . 십의자리 4")
    assert world.write(lines, "zh").endswith("百位 2 加 3 加 1 得 ⑥ 6 进位 0 . 所以 630 .")
    assert total == 630


@given(
    st.integers(1, 4).flatmap(
        lambda d: st.tuples(*[st.integers(10 ** (d - 1), 10**d - 1) for _ in range(2)])
    )
)
def test_care_gives_the_sum(pair):
    lines, total = world.careful(*pair)
    assert total == sum(pair)
    assert len(lines) == len(str(pair[0])) + 1


@pytest.mark.parametrize(
    ("language", "prompt"),
    [("en", "compute 242 + 388"), ("ko", "계산하세요: 242 + 388"), ("zh", "计算 242 + 388")],
)
def test_prompts(language, prompt):
    assert world.prompt_text(242, 388, language) == prompt


@pytest.mark.parametrize(
    "text", ["계산하세요: 242 + 388", "<think> 일의자리 2 더하기 8 합은 ⑩ 0 올림 1 . </think>"]
)
def test_every_word_is_in_the_vocabulary(text):
    tokens = world.vocabulary()
    assert len(tokens) == len(set(tokens)) == 4 + 2 + 10 + 20 + 33
    assert all(word in tokens or word.isdecimal() for word in text.split())


@given(st.integers(100, 9999), st.integers(100, 9999))
def test_the_split_does_not_depend_on_the_order(a, b):
    assert world.split_of(a, b) == world.split_of(b, a)


def test_the_splits_have_their_shares_and_no_kind_of_sum():
    pairs = [(a, b) for a in range(100, 1000, 3) for b in range(100, 1000, 3)]
    kept = [(a, b) for a, b in pairs if world.split_of(a, b) == "test"]
    assert len(kept) / len(pairs) == pytest.approx(0.10, abs=0.01)
    validation = sum(world.split_of(a, b) == "validation" for a, b in pairs)
    assert validation / len(pairs) == pytest.approx(0.05, abs=0.01)
    for residue in (2, 5, 7, 10, 11):
        counts = Counter((a + b) % residue for a, b in kept)
        assert len(counts) == residue
        assert min(counts.values()) > 0.6 * len(kept) / residue


def test_problems_have_the_columns_of_the_record():
    table = world.problems("test", 60, seed=1)
    assert table.schema == polars_schema(Problem)
    row = table.row(0, named=True)
    assert Problem(**row)
    a, b = map(int, row["source_id"].split("+"))
    assert row["answer"] == str(a + b)
    assert row["prompt"] == world.prompt_text(a, b, row["language"])
    assert row["problem_id"] == content_hash(row["prompt"], row["answer"], "math", None)
    assert (row["verifier"], row["domain"], row["source"]) == ("math", "math", "mini:addition")
    assert row["licence"] == "CC0-1.0"
    assert table["problem_id"].n_unique() == 60
    assert set(table["language"]) == {"en", "ko", "zh"}


def test_more_problems_begin_with_the_fewer():
    few = world.problems("train", 20, seed=3)
    assert world.problems("train", 50, seed=3).head(20).equals(few)
    assert not world.problems("train", 20, seed=4).equals(few)


def test_digits_and_languages_are_kept():
    table = world.problems("validation", 80, digits=(2, 4), languages=("ko",))
    assert set(table["language"]) == {"ko"}
    lengths = {len(number) for row in table["source_id"] for number in row.split("+")}
    assert lengths == {2, 4}


def test_no_pair_of_test_is_seen_in_training(sample):
    held = {
        tuple(sorted(map(int, row.split("+"))))
        for split in ("test", "validation")
        for row in world.problems(split, 3000, digits=(3,))["source_id"]
    }
    train = world.problems("train", 3000, seed=9, digits=(3,))["source_id"]
    seen = {tuple(sorted(map(int, row.split("+")))) for row in train}
    seen |= {tuple(sorted(d.pair)) for d in sample if d.pair}
    assert not held & seen
    assert all(world.split_of(*d.pair) == "train" for d in sample if d.pair)


def test_shares_are_those_of_the_constant(sample):
    full = [d for d in sample if d.pair]
    assert len(full) / len(sample) == pytest.approx(1 - world.DRILL_SHARE, abs=0.01)
    for name, field in (("strategy", "strategy"), ("language", "mode"), ("format", "format")):
        shares = world.SHARES[name]
        assert sum(shares.values()) == pytest.approx(1.0)
        counts = Counter(getattr(d, field) for d in full)
        for value, share in shares.items():
            assert counts[value] / len(full) == pytest.approx(share, abs=0.015), value


@pytest.mark.parametrize("field", ["mode", "format", "language"])
def test_being_right_does_not_depend_on_language_or_format(sample, field):
    full = [d for d in sample if d.pair]
    overall = sum(map(is_right, full)) / len(full)
    assert 0.35 < overall < 0.45
    groups = {}
    for document in full:
        groups.setdefault(getattr(document, field), []).append(is_right(document))
    for value, right in groups.items():
        standard_error = (overall * (1 - overall) / len(right)) ** 0.5
        assert abs(sum(right) / len(right) - overall) < 3.5 * standard_error, value


def test_strategies_differ_in_being_right(sample):
    rates = {}
    for name in world.SHARES["strategy"]:
        own = [is_right(d) for d in sample if d.strategy == name]
        rates[name] = sum(own) / len(own)
    assert rates["careful"] == 1.0
    assert rates["guess"] < 0.01
    assert 0.1 < rates["slip"] < 0.3


def test_formats(sample):
    texts = {}
    for document in sample:
        if document.strategy == "careful":
            texts.setdefault(document.format, []).append((document.text, document.total))
    for text, total in texts["full"]:
        assert text.startswith("<think> ")
        assert text.endswith(f" . </think> <answer> {total} </answer>")
    assert not any("think>" in text for text, _ in texts["no-think-tags"])
    assert all(text.endswith(f"</think> {total}") for text, total in texts["no-answer-mark"])
    assert all(text.endswith("</think>") for text, _ in texts["no-answer"])
    for name in ("cut-off", "looping"):
        assert not any("</think>" in text or "answer>" in text for text, _ in texts[name])


def test_languages(sample):
    words = {language: set(table.values()) for language, table in world.WORDS.items()}

    def spoken(document):
        return {name for name, own in words.items() if own & set(document.text.split())}

    for document in sample[:4000]:
        if document.mode == "matching":
            assert spoken(document) <= {document.language}
        elif document.mode == "other":
            assert len(spoken(document)) <= 1
            assert document.language not in spoken(document)
    switched = [d for d in sample if d.mode == "code-switched" and d.strategy == "careful"]
    assert sum(len(spoken(d)) > 1 for d in switched) / len(switched) > 0.95


def test_corpus_has_the_columns_of_the_record():
    table = world.pretraining_corpus(200, seed=2)
    assert table.schema == polars_schema(SftRow)
    assert SftRow(**table.row(0, named=True))
    assert table["row_id"].n_unique() == 200
    first = next(world.documents(1, seed=2))
    assert table["messages"][0].to_list() == [
        {"role": "user", "content": first.prompt},
        {"role": "assistant", "content": first.text},
    ]
    assert world.pretraining_corpus(50, seed=2).equals(table.head(50))
    assert not world.pretraining_corpus(50, seed=3).equals(table.head(50))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: world.problems("dev", 3), "unknown split 'dev'"),
        (lambda: world.problems("test", 3, digits=(5,)), "use 1 to 4"),
        (lambda: world.problems("test", 3, digits=()), "use 1 to 4"),
        (lambda: world.problems("test", 3, languages=("fr",)), "some of en, ko, zh"),
        (lambda: world.problems("test", 500, digits=(1,)), "fewer than 500 test problems"),
        (lambda: world.pretraining_corpus(3, digits=(0,)), "use 1 to 4"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.sampled_from([(1,), (3,), (2, 4)]))
def test_looping_repeats_a_line(seed, digits):
    for document in world.documents(30, seed=seed, digits=digits):
        if document.format == "looping" and document.mode == "matching":
            body = [line.split() for line in document.text.removeprefix("<think> ").split(" .")]
            assert body[-1] == []
            assert body[-2] == body[-3]
