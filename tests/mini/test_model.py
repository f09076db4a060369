import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.core.errors import ConfigError
from r1data.core.prompts import render, turn_end
from r1data.mini import world

torch = pytest.importorskip("torch")
model_module = pytest.importorskip("r1data.mini.model")

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def tokenizer():
    return model_module.new_tokenizer()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31))
def test_decoding_gives_the_text_back(seed):
    tokenizer = model_module.new_tokenizer()
    for document in world.documents(20, seed=seed, digits=(1, 2, 3, 4)):
        for text in (document.prompt, document.text):
            ids = tokenizer(text).input_ids
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids, skip_special_tokens=False) == text
            assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_one_token_a_word(tokenizer):
    assert tokenizer.tokenize("<think> 일의자리 12 더하기 8 합은 ⑩ 0 . </think>") == [
        *("<think>", "일의자리", "1", "2", "더하기", "8", "합은", "⑩", "0", ".", "</think>")
    ]
    assert len(tokenizer) == 5 + len(world.vocabulary())


def test_chat_template(tokenizer):
    prompt = render([{"role": "user", "content": "compute 242 + 388"}], "chat", tokenizer)
    assert prompt.text == "<q> compute 242 + 388 <a> "
    assert prompt.prefill == ""
    assert turn_end(tokenizer) == " <eos>"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "<q> a <a> b <eos>"


def test_prompt_and_answer_are_tokenised_alike_together_and_apart(tokenizer):
    first = next(d for d in world.documents(10) if d.format == "full")
    prompt = render([{"role": "user", "content": first.prompt}], "chat", tokenizer).text
    answer = first.text + turn_end(tokenizer)
    apart = tokenizer(prompt).input_ids + tokenizer(answer).input_ids
    assert tokenizer(prompt + answer).input_ids == apart
    assert apart[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize(("size", "parameters"), [("teacher", 339_552), ("student", 105_408)])
def test_models_have_heads_of_32(size, parameters):
    model, tokenizer = model_module.new_model(size)
    config = model.config
    assert config.hidden_size // config.num_attention_heads == 32
    assert model.num_parameters() == parameters
    assert config.vocab_size == len(tokenizer)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert config.eos_token_id == tokenizer.convert_tokens_to_ids("<eos>")


def test_the_seed_alone_decides_the_weights():
    state = torch.random.get_rng_state()
    one, _ = model_module.new_model("student", seed=1)
    torch.rand(3)
    again, _ = model_module.new_model("student", seed=1)
    other, _ = model_module.new_model("student", seed=2)
    torch.random.set_rng_state(state)
    ids = torch.arange(12).unsqueeze(0)
    with torch.no_grad():
        assert torch.equal(one(ids).logits, again(ids).logits)
        assert not torch.equal(one(ids).logits, other(ids).logits)


def test_a_fresh_model_keeps_the_global_random_state():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    model_module.new_model("student", seed=9)
    assert torch.equal(torch.rand(2), expected)


def test_a_saved_folder_is_an_ordinary_one(tmp_path, tokenizer):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model_module.save(tmp_path, "student", seed=4)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "<think> 个位 2 加 8 得 ⑩ 0 进位 1 . 所以 630 . </think> <answer> 630 </answer>"
    assert loaded.decode(loaded(text).input_ids) == text
    assert loaded.chat_template == tokenizer.chat_template
    assert (loaded.eos_token, loaded.pad_token) == ("<eos>", "<pad>")
    fresh, _ = model_module.new_model("student", seed=4)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([loaded(text).input_ids])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, fresh(ids).logits)


def test_unknown_size():
    with pytest.raises(ConfigError, match="unknown size 'huge'"):
        model_module.new_model("huge")
