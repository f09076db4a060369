from typing import Any

import pytest

from r1data.core.errors import RecipeError
from r1data.core.recipe import Recipe, check_recipe
from r1data.core.stage import Action, Config


class AddConfig(Config):
    source: str
    limit: int = 10


class UseConfig(Config):
    model: str = "m"
    name: str = "x"
    temperature: float = 1.0


ENTRIES = {
    "add": Action("add", 1, AddConfig, lambda c, x: None, (), "problems"),
    "sample": Action("sample", 1, UseConfig, lambda c, x: None, ("problems",), "traces"),
    "train": Action("train", 1, UseConfig, lambda c, x: None, ("traces",), "models/{name}"),
    "gate": Action("gate", 1, UseConfig, lambda c, x: None, (), "", is_gate=True),
    "score": Action("score", 1, UseConfig, lambda c, x: None, ("models/{name}",), ""),
}


def resolve(name: str) -> Action:
    if name not in ENTRIES:
        raise KeyError(", ".join(ENTRIES))
    return ENTRIES[name]


def check(data: dict[str, Any], **parameters: Any) -> Recipe:
    return check_recipe(data, "r.toml", resolve, parameters)


def phase(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "step": list(steps), **more}


ADD = {"use": "add", "source": "a.jsonl"}


def test_a_sound_recipe() -> None:
    recipe = check(
        {
            "name": "r",
            "parameters": {"limit": 3},
            "phase": [
                phase("base", {**ADD, "limit": "${limit}"}, {"use": "sample"}, {"use": "train"}),
                phase("next", ADD, {"use": "sample", "model": "@base/models/x"}),
            ],
        }
    )
    base, following = recipe.phases
    assert [s.use for s in base.steps] == ["add", "sample", "train"]
    assert base.steps[0].config.model_dump() == {"source": "a.jsonl", "limit": 3}
    assert (following.folder, following.after) == ("01-next", ("base",))
    assert following.steps[1].config.model_dump()["model"] == "../00-base/models/x"


def test_parameters_replace_values_and_keep_their_type() -> None:
    data = {"parameters": {"limit": 3}, "phase": [phase("a", {**ADD, "limit": "${limit}"})]}
    assert check(data, limit=7).phases[0].steps[0].config.model_dump()["limit"] == 7
    with pytest.raises(RecipeError, match="no such parameter; it has limit"):
        check(data, limits=7)


def test_each_repeats_a_step() -> None:
    data = {"phase": [phase("a", {"use": "add", "each": {"source": ["x", "y"]}, "limit": 1})]}
    steps = check(data).phases[0].steps
    assert [s.config.model_dump()["source"] for s in steps] == ["x", "y"]


def test_all_faults_are_told_at_once_with_their_keys() -> None:
    data = {
        "nmae": "typo",
        "phase": [
            phase("a", {"use": "add", "source": "x", "limti": 1}, {"use": "smaple"}, titel="t"),
            phase("b", {"use": "sample", "temperature": "hot", "model": "@c/models/x"}),
        ],
    }
    with pytest.raises(RecipeError) as caught:
        check(data)
    faults = "\n".join(caught.value.faults)
    assert "nmae: unknown key; valid are" in faults
    assert "phase[0].step[0].limti: unknown key; valid are limit, source" in faults
    assert (
        "phase[0].step[1].use: no stage 'smaple'; valid are add, sample, train, gate, score"
        in faults
    )
    assert "phase[0].titel: unknown key" in faults
    assert "phase[1].step[0].temperature: input should be a valid number" in faults
    assert "(got 'hot')" in faults
    assert "phase[1].step[0].model: no phase 'c'; valid are a, b" in faults
    assert len(caught.value.faults) == 6


def test_a_table_must_be_written_before_it_is_read() -> None:
    with pytest.raises(RecipeError, match="step\\[0\\].use: reads problems, which no step before"):
        check({"phase": [phase("a", {"use": "sample"}, ADD)]})
    with pytest.raises(RecipeError, match="reads models/y"):
        check(
            {
                "phase": [
                    phase(
                        "a", ADD, {"use": "sample"}, {"use": "train"}, {"use": "score", "name": "y"}
                    )
                ]
            }
        )


def test_a_reader_waits_for_the_step_that_writes_and_for_the_gate() -> None:
    base = phase(
        *("base", ADD, {"use": "sample"}, {"use": "train"}, {"use": "gate"}, {"use": "score"})
    )
    plain = phase("plain", ADD, {"use": "sample"}, {"use": "train"}, {"use": "score"})
    found = check({"phase": [base, plain]}).phases
    assert found[0].steps_before("models/x") == 4
    assert found[1].steps_before("models/x") == 3
    assert found[1].steps_before("problems") == 1
    assert found[1].steps_before("models") == 3
    assert found[1].steps_before("") == found[1].steps_before("elsewhere") == 4


def test_phases_that_wait_for_each_other() -> None:
    data = {"phase": [phase("a", ADD, after=["b"]), phase("b", ADD, after=["a"])]}
    with pytest.raises(RecipeError, match="phase 'a': waits for itself through b"):
        check(data)


def test_an_empty_recipe() -> None:
    with pytest.raises(RecipeError, match="needs at least one"):
        check({})
    with pytest.raises(RecipeError, match="a phase needs at least one"):
        check({"phase": [{"name": "a"}]})
