import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig
from transformers import LlamaForSequenceClassification as RewardLlama

from r1data.backends.reward_model import (
    RewardModel,
    Scored,
    load_reward_model,
    score_rows,
    score_texts,
    to_score,
)
from r1data.core.errors import BackendError, ConfigError
from r1data.stages.verify.reward_model import RewardRow, check_reward
from tests.backends.tiny import VOCABULARY, WORDS, tiny_model, tiny_tokenizer

pytestmark = pytest.mark.engine

TEMPLATE = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "{{ m.content }} <turn> {% endfor %}"
)
SIZES: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}


def save(
    folder: Path,
    labels: int,
    template: str | None = None,
    *,
    pad: bool = True,
    pad_in_config: bool = True,
) -> Path:
    """Write a random Llama with a classification head."""
    torch.manual_seed(labels)
    padding = VOCABULARY["<pad>"] if pad and pad_in_config else None
    config = LlamaConfig(**SIZES, num_labels=labels, pad_token_id=padding, eos_token_id=None)
    RewardLlama(config).save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    if not pad:
        tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    return folder


def conversation(length: int, start: int = 0) -> tuple[list[dict[str, str]], str]:
    words = [WORDS[(start + i * i) % len(WORDS)] for i in range(length + 1)]
    return [{"role": "user", "content": " ".join(words[:-1])}], words[-1]


ROWS = [conversation(1 + 5 * i % 17, start=i) for i in range(12)]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "one", 1)


@pytest.fixture(scope="module")
def loaded(one: Path) -> RewardModel:
    return load_reward_model(one, device="cpu")


def reference(folder: Path, text: str) -> list[float]:
    """Return the logits of one text by a forward of its own, without padding."""
    model = RewardLlama.from_pretrained(folder).eval()
    ids = torch.tensor([[VOCABULARY[word] for word in text.split()]])
    with torch.no_grad():
        found: list[float] = model(input_ids=ids).logits[0].tolist()
    return found


def test_scores_are_the_sigmoid_of_each_rows_own_logit(one: Path) -> None:
    scored = score_texts(str(one), ROWS, device="cpu", batch_size=5)
    assert len(scored) == len(ROWS)
    for row, (messages, answer) in zip(scored, ROWS, strict=True):
        text = messages[0]["content"] + "\n\n" + answer
        [logit] = reference(one, text)
        assert row.logits[0] == pytest.approx(logit, abs=1e-4)
        assert row.score == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)
        assert row.tokens == len(text.split())
    assert len({round(row.logits[0], 3) for row in scored}) == len(ROWS)


def test_two_labels_give_the_probability_of_label_1(tmp_path: Path) -> None:
    folder = save(tmp_path / "two", 2)
    [row] = score_texts(folder, ROWS[3:4], device="cpu")
    logits = reference(folder, ROWS[3][0][0]["content"] + " " + ROWS[3][1])
    assert row.logits == pytest.approx(logits, abs=1e-4)
    assert row.score == pytest.approx(torch.tensor(logits).softmax(-1)[1].item(), abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_score_does_not_depend_on_its_batch(loaded: RewardModel, batch_size: int) -> None:
    alone = [score_rows(loaded, [row])[0].logits[0] for row in ROWS]
    together = [row.logits[0] for row in score_rows(loaded, ROWS, batch_size=batch_size)]
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_model_without_padding_scores_alike(one: Path, tmp_path: Path) -> None:
    bare = load_reward_model(save(tmp_path / "bare", 1, pad=False), device="cpu")
    assert bare.padding is None
    expected = [row.logits[0] for row in score_texts(one, ROWS, device="cpu")]
    assert [row.logits[0] for row in score_rows(bare, ROWS)] == pytest.approx(expected, abs=1e-4)


def test_a_config_without_a_padding_id_takes_the_tokenizers(one: Path, tmp_path: Path) -> None:
    model = load_reward_model(save(tmp_path / "half", 1, pad_in_config=False), device="cpu")
    assert model.padding == VOCABULARY["<pad>"]
    expected = [row.logits[0] for row in score_texts(one, ROWS, device="cpu")]
    assert [row.logits[0] for row in score_rows(model, ROWS)] == pytest.approx(expected, abs=1e-4)


def test_the_chat_template_is_used_and_its_refusal_stays_with_the_row(tmp_path: Path) -> None:
    folder = save(tmp_path / "chat", 1, template=TEMPLATE)
    refused = ([{"role": "system", "content": "ba"}, {"role": "user", "content": "be"}], "bi")
    good = ([{"role": "user", "content": "ba be"}], "bi")
    scored = score_texts(folder, [good, refused, good], device="cpu")
    [logit] = reference(folder, "ba be <turn> bi <turn>")
    assert scored[0].logits[0] == pytest.approx(logit, abs=1e-4)
    assert scored[2] == scored[0]
    assert scored[1] == Scored(None, (), 0, "TemplateError: no system turn")


def test_a_row_longer_than_the_model_is_not_cut(loaded: RewardModel) -> None:
    fits, too_long = score_rows(loaded, [conversation(63), conversation(64)])
    assert fits.tokens == 64
    assert fits.score is not None
    assert too_long == Scored(None, (), 65, "65 tokens; the reward model takes 1 to 64")


def test_an_encoder_scores_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = BertConfig(**SIZES, num_labels=1, pad_token_id=VOCABULARY["<pad>"])
    folder = tmp_path / "bert"
    BertForSequenceClassification(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    model = load_reward_model(folder, device="cpu")
    alone = [score_rows(model, [row])[0].logits[0] for row in ROWS]
    together = [row.logits[0] for row in score_rows(model, ROWS, batch_size=4)]
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_language_model_is_no_reward_model(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BackendError, match=r"lacks weights \(score.weight\)"):
        load_reward_model(tmp_path)


def test_folders_and_settings_that_will_not_do(tmp_path: Path, loaded: RewardModel) -> None:
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        load_reward_model(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BackendError, match="did not load"):
        load_reward_model(tmp_path)
    with pytest.raises(ConfigError, match="unknown dtype 'int8'"):
        load_reward_model(tmp_path, dtype="int8")
    with pytest.raises(ConfigError, match="has 3 labels"):
        load_reward_model(save(tmp_path / "three", 3))
    with pytest.raises(ConfigError, match="batch_size"):
        score_rows(loaded, ROWS, batch_size=0)
    with pytest.raises(ConfigError, match="threshold"):
        check_reward([], loaded, threshold=1.5)


def test_a_model_gone_wrong_gives_errors_and_not_scores(one: Path) -> None:
    model = load_reward_model(one, device="cpu")
    with torch.no_grad():
        model.model.score.weight.fill_(math.nan)
    [judged] = check_reward([RewardRow(*ROWS[0])], model)
    assert (judged.verdict.status, judged.verdict.score) == ("error", None)
    evidence = json.loads(judged.evidence or "", parse_constant=lambda name: pytest.fail(name))
    assert evidence["logits"] == [None]


def test_verdicts_follow_the_threshold_and_show_the_answer_alone(loaded: RewardModel) -> None:
    messages, answer = ROWS[5]
    [scored] = score_rows(loaded, [(messages, answer)])
    assert scored.score is not None
    rows = [
        RewardRow(messages, f"ba be bi</think>\n{answer}", "<think>"),
        RewardRow(messages, "<think>ba be"),
        RewardRow(messages, " ".join(["ba"] * 70)),
    ]
    below = check_reward(rows, loaded, threshold=scored.score - 1e-3)
    above = check_reward(rows, loaded, threshold=scored.score + 1e-3)
    assert [j.verdict.status for j in below] == ["correct", "no_answer", "limit"]
    assert [j.verdict.status for j in above] == ["wrong", "no_answer", "limit"]
    assert below[0].verdict.score == pytest.approx(scored.score, abs=1e-6)
    assert below[0].verdict.method == f"reward-model one {loaded.fingerprint}"
    evidence = json.loads(below[0].evidence or "")
    assert evidence["logits"] == pytest.approx(scored.logits, abs=1e-4)
    assert (evidence["labels"], evidence["tokens"]) == (1, scored.tokens)
    assert below[1].evidence is None
    assert check_reward([], loaded) == []


FINITE = st.floats(-1e6, 1e6)


@given(FINITE, FINITE)
def test_the_score_keeps_the_order_within_0_and_1(one: float, two: float) -> None:
    low, high = sorted([one, two])
    assert 0 <= to_score([low]) <= to_score([high]) <= 1
    assert to_score([low]) + to_score([-low]) == pytest.approx(1)
    assert to_score([one, two]) == to_score([two - one])


def test_the_score_of_known_logits() -> None:
    assert to_score([0.0]) == 0.5
    assert to_score([math.log(3)]) == pytest.approx(0.75)
    assert to_score([1.0, 1.0 + math.log(9)]) == pytest.approx(0.9)
    assert to_score([-1e6]) == 0.0
