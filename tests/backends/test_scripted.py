import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data.backends.scripted import ScriptedSampler
from r1data.core.errors import ConfigError
from r1data.core.sampling import Completion, Request, SamplingParams
from r1data.core.text import split_thinking

QUESTION = "What is 2 + 3?"
CLEAN = {"mixed": 0.0, "endless": 0.0, "repeating": 0.0}


def sample(
    sampler: ScriptedSampler,
    question: str = QUESTION,
    count: int = 400,
    template: str = "chat",
    **params: Any,
) -> list[Completion]:
    prompt = sampler.render(question, template)
    requests = [Request(prompt, seed) for seed in range(count)]
    found = list(sampler.generate(requests, SamplingParams(**{"max_tokens": 2000, **params})))
    assert [index for index, _ in found] == list(range(count))
    return [completion for _, completion in found]


def boxed(completion: Completion) -> str | None:
    found = re.search(r"\\boxed\{(.*)\}", completion.text)
    return found[1] if found else None


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_right_answers_is_as_asked(share: float) -> None:
    found = sample(ScriptedSampler({QUESTION: "5"}, correct=share, **CLEAN))
    right = sum(boxed(c) == "5" for c in found) / len(found)
    assert right == pytest.approx(share, abs=0.07 if 0 < share < 1 else 0)  # 3 standard errors


def test_without_a_gold_answer_it_still_answers() -> None:
    assert all((boxed(c) or "").isdigit() for c in sample(ScriptedSampler(**CLEAN)))


def test_the_longest_matching_problem_gives_the_gold() -> None:
    sampler = ScriptedSampler({"What is 2": "2", QUESTION: "5"}, correct=1, **CLEAN)
    assert boxed(sample(sampler, count=1)[0]) == "5"
    assert boxed(sample(sampler, "What is 2?", count=1)[0]) == "2"


@pytest.mark.parametrize(("template", "opens"), [("chat", False), ("r1-zero", True)])
def test_it_respects_an_opened_think(template: str, opens: bool) -> None:
    sampler = ScriptedSampler(**CLEAN)
    prefill = sampler.render(QUESTION, template).prefill
    for completion in sample(sampler, count=20, template=template):
        assert completion.text.startswith("<think>") == opens
        assert completion.text.count("</think>") == 1
        thinking, answer = split_thinking(completion.text, prefill)
        assert thinking
        assert answer
        assert completion.text[slice(*answer)].startswith("\n\\boxed{")


def test_mixed_samples_hold_three_scripts_and_others_one() -> None:
    def scripts(completion: Completion) -> set[str]:
        ranges = {"ko": "[가-힣]", "zh": "[一-鿿]", "en": r"[a-z]{3}"}
        thinking = completion.text.partition("</think>")[0]
        return {name for name, letters in ranges.items() if re.search(letters, thinking)}

    clean = sample(ScriptedSampler(**CLEAN), "2 더하기 3은 무엇인가?", count=50)
    assert [scripts(c) for c in clean] == [{"ko"}] * 50
    mixed = sample(ScriptedSampler(**{**CLEAN, "mixed": 1.0}), count=50)
    assert {"en", "ko", "zh"} in [scripts(c) for c in mixed]
    assert all(len(scripts(c)) > 1 for c in mixed)


def test_endless_samples_fill_the_budget_and_never_answer() -> None:
    found = sample(ScriptedSampler(endless=1, mixed=0, repeating=0), count=20, max_tokens=300)
    for completion in found:
        assert completion.finish_reason == "length"
        assert len(completion.token_ids) == 300
        assert "</think>" not in completion.text


def test_repeating_samples_repeat_a_line() -> None:
    def most(completion: Completion) -> int:
        lines = completion.text.splitlines()
        return max(lines.count(line) for line in lines)

    assert {most(c) for c in sample(ScriptedSampler(**CLEAN), count=30)} == {1}
    again = sample(ScriptedSampler(repeating=1, mixed=0, endless=0), count=30)
    assert {most(c) for c in again} == {13}


@given(st.integers(1, 200), st.integers(0, 2**40))
def test_a_larger_budget_goes_on_with_the_same_sample(budget: int, seed: int) -> None:
    sampler = ScriptedSampler({QUESTION: "5"})
    request = [Request(sampler.render(QUESTION, "chat"), seed)]
    ((_, short),) = sampler.generate(request, SamplingParams(max_tokens=budget))
    ((_, long),) = sampler.generate(request, SamplingParams(max_tokens=400))
    assert long.text.startswith(short.text)
    assert short.token_ids == long.token_ids[:budget]
    assert (short.finish_reason == "stop") == (
        len(long.token_ids) <= budget and 0 in long.token_ids
    )


def test_same_seed_same_sample_and_greedy_ignores_the_seed() -> None:
    sampler = ScriptedSampler({QUESTION: "5"})
    assert sample(sampler) == sample(ScriptedSampler({QUESTION: "5"}))
    assert len({c.text for c in sample(sampler)}) > 100
    assert len({c.text for c in sample(sampler, temperature=0.0)}) == 1


def test_stop_strings_are_cut_off() -> None:
    for completion in sample(ScriptedSampler(**CLEAN), count=5, stop=("</think>",)):
        assert completion.finish_reason == "stop"
        assert completion.text.endswith("\n")
        assert "boxed" not in completion.text


def test_progress_counts_samples_and_tokens() -> None:
    sampler = ScriptedSampler()
    requests = [Request(sampler.render(QUESTION, "raw"), seed) for seed in range(9)]
    counts: list[tuple[int, int]] = []
    params = SamplingParams(max_tokens=30)
    found = list(sampler.generate(requests, params, lambda *now: counts.append(now)))
    assert counts == [(1, len(c.token_ids)) for _, c in found]


def test_a_share_outside_its_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"endless must be between 0 and 1, got 1\.5"):
        ScriptedSampler(endless=1.5)
