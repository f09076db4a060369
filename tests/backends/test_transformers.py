from collections.abc import Iterator
from typing import Any

import pytest
import torch

from r1data.backends import decoding
from r1data.backends.transformers import TransformersSampler
from r1data.core.errors import BackendError, ConfigError
from r1data.core.sampling import Completion, Prompt, Request, SamplingParams
from tests.backends.tiny import VOCABULARY, WORDS, tiny_model, tiny_tokenizer

pytestmark = pytest.mark.engine

EOS, TURN, THINK = VOCABULARY["<eos>"], VOCABULARY["<turn>"], VOCABULARY["<think>"]


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


@pytest.fixture
def biased(model: Any) -> Iterator[Any]:
    """Return a function that adds to the logits of some tokens for one test."""
    handles = []

    def bias(changes: dict[int, float]) -> Any:
        def hook(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
            added = torch.zeros(output.shape[-1])
            for token, value in changes.items():
                added[token] = value
            return output + added

        handles.append(model.lm_head.register_forward_hook(hook))
        return model

    yield bias
    for handle in handles:
        handle.remove()


def prompt(length: int, start: int = 0) -> Prompt:
    return Prompt(" ".join(WORDS[(start + i * i) % len(WORDS)] for i in range(length)))


def mixed(count: int = 12) -> list[Request]:
    """Return requests whose prompts have 1 to 9 tokens, some of them shared."""
    return [Request(prompt(1 + 3 * i % 9, start=i % 4), seed=1000 * i) for i in range(count)]


def sample(
    sampler: TransformersSampler, requests: list[Request], **params: Any
) -> list[Completion]:
    found = dict(sampler.generate(requests, SamplingParams(**{"max_tokens": 20, **params})))
    assert sorted(found) == list(range(len(requests)))
    return [found[i] for i in range(len(requests))]


def reference_logprobs(
    model: Any, completion: Completion, temperature: float = 1.0
) -> torch.Tensor:
    """Return log-probabilities of every token, (completion tokens, vocabulary), by one forward."""
    ids = torch.tensor([completion.prompt_ids + completion.token_ids])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, completion.prompt_tokens - 1 : -1]
    return torch.log_softmax(logits / temperature, -1)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 64])
def test_a_sample_does_not_depend_on_its_batch(
    biased: Any, tokenizer: Any, batch_size: int
) -> None:
    model = biased({EOS: 2.0})  # so that rows end at many different steps and others join
    requests = mixed()
    alone = [sample(TransformersSampler(model, tokenizer), [r])[0] for r in requests]
    batched = sample(TransformersSampler(model, tokenizer, batch_size), requests)
    assert [c.token_ids for c in batched] == [c.token_ids for c in alone]
    assert [c.text for c in batched] == [c.text for c in alone]
    assert len({len(c.token_ids) for c in alone}) > 3
    for one, other in zip(batched, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_rows_that_moved_keep_their_random_numbers_beyond_a_block(
    biased: Any, tokenizer: Any
) -> None:
    model = biased({EOS: -0.5})
    alone = [sample(TransformersSampler(model, tokenizer), [r], max_tokens=110)[0] for r in mixed()]
    batched = sample(TransformersSampler(model, tokenizer, 4), mixed(), max_tokens=110)
    assert [c.token_ids for c in batched] == [c.token_ids for c in alone]
    lengths = {len(c.token_ids) for c in alone}
    assert len(lengths) > 3
    assert max(lengths) > decoding.UNIFORM_BLOCK


@pytest.mark.parametrize("settings", [{}, {"num_key_value_heads": 1}], ids=["full", "shared"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_agree_with_a_plain_forward(
    tokenizer: Any, settings: dict[str, int], temperature: float
) -> None:
    model = tiny_model(**settings)
    sampler = TransformersSampler(model, tokenizer, batch_size=5)
    for completion in sample(sampler, mixed(), temperature=temperature):
        full = reference_logprobs(model, completion, temperature)
        expected = full.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
        assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_top_p_logprobs_are_renormalised_over_the_nucleus(model: Any, tokenizer: Any) -> None:
    outside = 0
    for completion in sample(TransformersSampler(model, tokenizer), mixed(), top_p=0.7):
        full = reference_logprobs(model, completion).exp()
        ordered, order = full.sort(descending=True)
        kept = ordered.cumsum(-1) - ordered < 0.7
        outside += int((~kept).sum())
        for step, token in enumerate(completion.token_ids):
            members = order[step][kept[step]]
            assert token in members
            share = full[step, token] / full[step, members].sum()
            assert completion.logprobs[step] == pytest.approx(share.log().item(), abs=1e-4)
    assert outside > 0


def test_same_seed_same_sample_and_another_seed_another(model: Any, tokenizer: Any) -> None:
    sampler = TransformersSampler(model, tokenizer)
    requests = [Request(prompt(4), seed) for seed in (1, 2, 1, 3)]
    first = sample(sampler, requests)
    assert first == sample(sampler, requests)
    assert first[0] == first[2]
    assert len({c.text for c in first}) == 3


def test_a_longer_budget_goes_on_with_the_same_sample(biased: Any, tokenizer: Any) -> None:
    model = biased({EOS: -5.0})
    # 100 > 64 also crosses a block of random numbers and a growth of the cache.
    sampler = TransformersSampler(model, tokenizer, batch_size=3)
    short = sample(sampler, mixed(5), max_tokens=6)
    long = sample(sampler, mixed(5), max_tokens=100)
    assert [c.token_ids for c in short] == [c.token_ids[:6] for c in long]
    full = reference_logprobs(model, long[1])
    expected = full.gather(-1, torch.tensor(long[1].token_ids)[:, None])[:, 0]
    assert long[1].logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_greedy_equals_generate(model: Any, tokenizer: Any) -> None:
    requests = mixed(6)
    greedy = sample(TransformersSampler(model, tokenizer, batch_size=4), requests, temperature=0)
    for completion in greedy:
        ids = torch.tensor([completion.prompt_ids])
        expected = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20
        )
        assert completion.token_ids == expected[0, ids.shape[1] :].tolist()
        full = reference_logprobs(model, completion)
        assert completion.logprobs == pytest.approx(full.max(-1).values.tolist(), abs=1e-4)


def test_every_eos_of_a_list_ends_a_sample_and_is_left_out_of_the_text(
    biased: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = biased({EOS: 1.5, TURN: 1.5})
    monkeypatch.setattr(model.generation_config, "eos_token_id", [EOS, TURN])
    found = sample(TransformersSampler(model, tokenizer), mixed(40))
    last = {c.token_ids[-1] for c in found if c.finish_reason == "stop"}
    assert last == {EOS, TURN}
    for completion in found:
        assert not {EOS, TURN} & set(completion.token_ids[:-1])
        assert "<eos>" not in completion.text
        assert "<turn>" not in completion.text
        stopped = completion.token_ids[-1] in (EOS, TURN)
        assert (completion.finish_reason == "stop") == stopped
        assert stopped or len(completion.token_ids) == 20
        assert len(completion.logprobs) == len(completion.token_ids)


def test_the_token_that_closes_a_template_turn_ends_a_sample(model: Any) -> None:
    chat = tiny_tokenizer()
    chat.eos_token = None
    chat.chat_template = (
        "{% for m in messages %}{{ m.role }} {{ m.content }} <turn> {% endfor %}"
        "{% if add_generation_prompt %}<think> {% endif %}"
    )
    sampler = TransformersSampler(model, chat)
    assert sampler.stop_ids == {TURN}
    rendered = sampler.render("ba be", "chat", system="bi")
    assert rendered.text == "system bi <turn> user ba be <turn> <think> "
    assert rendered.prefill == "<think> "


def test_a_system_prompt_needs_the_chat_template(model: Any, tokenizer: Any) -> None:
    sampler = TransformersSampler(model, tokenizer)
    assert sampler.render("ba", "raw") == Prompt("ba", add_special_tokens=True)
    with pytest.raises(ConfigError, match="raw has no system turn"):
        sampler.render("ba", "raw", system="bi")


def test_special_tokens_stay_in_the_text_and_padding_does_not(biased: Any, tokenizer: Any) -> None:
    model = biased({THINK: 3.0, VOCABULARY["<pad>"]: 3.0, EOS: -50.0})
    (completion,) = sample(TransformersSampler(model, tokenizer), [Request(prompt(3), 5)])
    words = [w for w in tokenizer.convert_ids_to_tokens(completion.token_ids) if w != "<pad>"]
    assert "<think>" in words
    assert len(words) < 20
    # The space belongs to the text: the prompt ends without one.
    assert completion.text == " " + " ".join(words)


def test_stop_strings_are_cut_off_and_end_the_sample(biased: Any, tokenizer: Any) -> None:
    model = biased({EOS: -50.0, VOCABULARY["<pad>"]: -50.0})
    sampler = TransformersSampler(model, tokenizer, batch_size=3)
    free = sample(sampler, mixed())
    words = free[0].text.split()
    stop = f"{words[4]} {words[5]}"  # two tokens, so that the newest alone does not tell
    ended = sample(sampler, mixed(), stop=(stop,))
    for before, after in zip(free, ended, strict=True):
        expected, found, _ = before.text.partition(stop)
        assert after.text == expected
        assert after.token_ids == before.token_ids[: len(after.token_ids)]
        if found:
            assert after.finish_reason == "stop"
            assert len(after.token_ids) == len(expected.split()) + 2
        else:
            assert after.finish_reason == "length"
    assert ended[0].text.split() == words[:4]


def watch(model: Any) -> tuple[list[tuple[str, int]], Any]:
    """Return a list that fills with (prefill or decode, rows) of every forward, and the handle."""
    seen: list[tuple[str, int]] = []

    def hook(_module: Any, _arguments: Any, options: dict[str, Any]) -> None:
        kind = "decode" if options["past_key_values"].get_seq_length() else "prefill"
        seen.append((kind, options["input_ids"].shape[0]))

    return seen, model.register_forward_pre_hook(hook, with_kwargs=True)


def test_rows_that_ended_leave_and_waiting_ones_join(biased: Any, tokenizer: Any) -> None:
    model = biased({EOS: 3.0})
    seen, handle = watch(model)
    found = sample(TransformersSampler(model, tokenizer, batch_size=8), mixed(30))
    handle.remove()
    # A row is decoded once for every token but its last, so no ended row was decoded again.
    decoded = sum(rows for kind, rows in seen if kind == "decode")
    assert decoded == sum(len(c.token_ids) - 1 for c in found)
    assert max(rows for _, rows in seen) <= 8
    # A waiting row does not wait for the whole batch to end.
    alive = [rows for kind, rows in seen[: -len(seen) // 4] if kind == "decode"]
    assert min(alive) > 3


def test_equal_prompts_are_prefilled_once(biased: Any, tokenizer: Any) -> None:
    model = biased({EOS: -50.0})
    seen, handle = watch(model)
    requests = [Request(prompt(5, start=i % 2), seed=i) for i in range(16)]
    sample(TransformersSampler(model, tokenizer), requests, max_tokens=3)
    handle.remove()
    assert seen == [("prefill", 2), ("decode", 16), ("decode", 16)]


def test_long_prompts_are_prefilled_in_parts(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sample(TransformersSampler(model, tokenizer), mixed())
    monkeypatch.setattr(decoding, "PREFILL_TOKENS", 20)
    assert [c.token_ids for c in sample(TransformersSampler(model, tokenizer), mixed())] == [
        c.token_ids for c in whole
    ]


def test_sliding_attention_sees_its_window_alone(tokenizer: Any) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            sliding_window=4,
            initializer_range=0.2,
            bos_token_id=2,
            eos_token_id=None,
        )
    ).eval()
    for completion in sample(TransformersSampler(model, tokenizer, batch_size=5), mixed()):
        full = reference_logprobs(model, completion)
        expected = full.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
        assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_training_mode_and_gradients_are_given_back(model: Any, tokenizer: Any) -> None:
    model.train()
    model.model.layers[0].eval()  # frozen by its owner
    assert model.config._attn_implementation == "sdpa"
    try:
        modes = [module.training for module in model.modules()]
        samples = TransformersSampler(model, tokenizer).generate(
            [Request(prompt(2), i) for i in range(3)], SamplingParams(max_tokens=4)
        )
        for _index, _completion in samples:
            # While the consumer works, the model is as it was.
            assert [module.training for module in model.modules()] == modes
            assert torch.is_grad_enabled()
            assert model.config._attn_implementation == "sdpa"
        ids = torch.tensor([[3, 4]])
        model(input_ids=ids, labels=ids).loss.backward()
    finally:
        model.zero_grad()
        model.eval()


def test_an_interrupt_passes_and_leaves_the_model_as_it_was(model: Any, tokenizer: Any) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    model.train()
    handle = model.model.layers[1].register_forward_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            sample(TransformersSampler(model, tokenizer), mixed(2))
        assert model.training
        assert torch.is_grad_enabled()
    finally:
        handle.remove()
        model.eval()


def test_progress_counts_every_sample_and_token(biased: Any, tokenizer: Any) -> None:
    counts: list[tuple[int, int]] = []
    sampler = TransformersSampler(biased({EOS: 2.0}), tokenizer, batch_size=4)
    found = list(
        sampler.generate(mixed(), SamplingParams(max_tokens=9), lambda *now: counts.append(now))
    )
    assert sum(samples for samples, _ in counts) == len(found) == 12
    assert sum(tokens for _, tokens in counts) == sum(len(c.token_ids) for _, c in found)


def test_settings_that_cannot_work_are_refused_before_sampling(biased: Any, tokenizer: Any) -> None:
    model = biased({EOS: -50.0})
    sampler = TransformersSampler(model, tokenizer)
    request = [Request(prompt(9), 0)]
    with pytest.raises(ConfigError, match=r"9 tokens .* 120 exceed the model's 128 .* at most 119"):
        sampler.generate(request, SamplingParams(max_tokens=120))
    assert len(sample(sampler, request, max_tokens=119)[0].token_ids) == 119
    with pytest.raises(ConfigError, match="no tokens"):
        sampler.generate([Request(Prompt(""), 0)], SamplingParams(max_tokens=4))
    for wrong in ({"temperature": -1.0}, {"top_p": 0.0}, {"max_tokens": 0}, {"stop": ("",)}):
        with pytest.raises(ConfigError, match=next(iter(wrong)).rstrip("s")):
            sampler.generate(request, SamplingParams(**{"max_tokens": 4, **wrong}))
    assert list(sampler.generate([], SamplingParams())) == []


def test_a_prompt_is_not_closed_by_its_tokenizer(model: Any) -> None:
    from tokenizers import processors

    closing = tiny_tokenizer()
    closing.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", EOS)]
    )
    sampler = TransformersSampler(model, closing)
    (opened,) = sample(sampler, [Request(sampler.render("ba be", "raw"), 0)], max_tokens=1)
    assert opened.prompt_ids == [2, VOCABULARY["ba"], VOCABULARY["be"]]
    (bare,) = sample(sampler, [Request(Prompt("ba be"), 0)], max_tokens=1)
    assert bare.prompt_ids == [VOCABULARY["ba"], VOCABULARY["be"]]


def test_nan_logits_are_an_error_and_no_sample(biased: Any, tokenizer: Any) -> None:
    model = biased({5: float("nan")})
    with pytest.raises(BackendError, match="NaN logits"):
        sample(TransformersSampler(model, tokenizer), mixed(2))


def test_logprobs_can_be_left_out(model: Any, tokenizer: Any) -> None:
    (bare,) = sample(TransformersSampler(model, tokenizer, logprobs=False), mixed(1))
    (full,) = sample(TransformersSampler(model, tokenizer), mixed(1))
    assert bare.logprobs == []
    assert bare.token_ids == full.token_ids
