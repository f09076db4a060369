import polars as pl
import pytest
import torch
from tokenizers import processors

from r1data.core.errors import ConfigError, InputError
from r1data.core.prompts import render
from r1data.train.data import (
    collate,
    completion_text,
    documents_hash,
    encode_conversations,
    encode_prompts,
    join_documents,
    padding_id,
    trained_text,
)

OPENS = (
    "{% for m in messages %}{% if m.role == 'user' %}<q> {{ m.content }} <a>"
    "{% else %} {{ m.content }} <eos>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} <think>\n{% endif %}"
)


def test_the_mask_decodes_to_the_completion_and_its_end(tiny):
    fast = tiny.tokenizer()
    rows = tiny.conversations([("1 + 2", "so 3"), ("4", "<think> is 5 . </think> 6")])
    documents, left_out = encode_conversations(rows, fast)
    assert left_out == {}
    assert trained_text(documents, 0, fast) == "so 3 <eos>"
    assert trained_text(documents, 1, fast) == "<think> is 5 . </think> 6 <eos>"
    whole = documents.ids[: int(documents.starts[1])]
    assert fast.decode(whole.tolist()) == "<q> 1 + 2 <a> so 3 <eos>"


def test_only_the_last_assistant_turn_is_trained(tiny):
    fast = tiny.tokenizer()
    turns = [("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4")]
    rows = pl.DataFrame({"messages": [[{"role": r, "content": c} for r, c in turns]]})
    documents, _ = encode_conversations(rows, fast)
    assert fast.decode(documents.ids.tolist()) == "<q> 1 <a> 2 <eos> <q> 3 <a> 4 <eos>"
    assert trained_text(documents, 0, fast) == "4 <eos>"


def test_the_prompt_is_the_one_that_is_sampled_from(tiny):
    fast = tiny.tokenizer()
    documents, _ = encode_conversations(tiny.conversations([("1 + 2", "3")]), fast)
    prompt = render([{"role": "user", "content": "1 + 2"}], "chat", fast)
    [ids] = encode_prompts([prompt], fast)
    assert documents.ids[: int(documents.prompt_lengths[0])].tolist() == ids


@pytest.mark.parametrize("pad", ["<pad>", "<eos>"])
def test_the_end_of_turn_is_trained_even_if_it_is_the_padding(tiny, pad):
    fast = tiny.tokenizer(pad=pad)
    rows = tiny.conversations([("1", "2"), ("1", "2 3 4")])
    documents, _ = encode_conversations(rows, fast)
    batch = collate(documents, torch.tensor([0, 1]), padding_id(fast))
    assert batch.loss_mask.int().tolist() == [[0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1]]
    assert batch.ids[batch.loss_mask].tolist().count(fast.eos_token_id) == 2
    assert trained_text(documents, 0, fast) == "2 <eos>"


def test_a_completion_that_carries_its_own_end_is_not_ended_twice(tiny):
    fast = tiny.tokenizer()
    documents, _ = encode_conversations(tiny.conversations([("1", "2 <eos>")]), fast)
    assert trained_text(documents, 0, fast) == "2 <eos>"


def test_an_opened_think_is_not_written_again(tiny):
    fast = tiny.tokenizer(OPENS)
    rows = tiny.conversations([("1", "<think>\nso 2 </think> 3"), ("1", "2")])
    documents, left_out = encode_conversations(rows, fast)
    assert trained_text(documents, 0, fast) == "so 2 </think> 3 <eos>"
    assert fast.decode(documents.ids.tolist()).count("<think>") == 1
    assert left_out == {"no_reasoning": 1}


@pytest.mark.parametrize(
    ("content", "prefill", "expected"),
    [
        ("<think>\na</think>b", "<think>\n", "a</think>b|"),
        ("<think>a</think>b", "<think>\n", "a</think>b|"),
        ("<think> a</think>b", "<think>", " a</think>b|"),
        ("<think>a</think>b", "", "<think>a</think>b|"),
        ("b", "<think>\n", None),
        ("b|", "", "b|"),
    ],
)
def test_completion_text(content, prefill, expected):
    assert completion_text(content, prefill, "|") == expected


def test_rows_that_cannot_be_used_are_counted(tiny):
    user, answer = {"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}
    silent = {"role": "assistant", "content": " "}
    long = {"role": "assistant", "content": "2 " * 7}
    rows = pl.DataFrame(
        {"messages": [[user, answer], [user], [answer], [user, silent], [user, long], None, []]}
    )
    documents, left_out = encode_conversations(rows, tiny.tokenizer(), max_length=10)
    assert len(documents) == 1
    assert left_out == {
        "empty_completion": 1,
        "no_assistant_turn": 3,
        "no_prompt": 1,
        "too_long": 1,
    }
    documents, left_out = encode_conversations(rows, tiny.tokenizer(), max_length=11)
    assert len(documents) == 2
    assert "too_long" not in left_out


def test_unusable_corpora_are_refused(tiny):
    fast = tiny.tokenizer()
    with pytest.raises(InputError, match="messages"):
        encode_conversations(pl.DataFrame({"text": ["a"]}), fast)
    with pytest.raises(InputError, match="empty"):
        encode_conversations(tiny.conversations([("1", "2")]).clear(), fast)
    with pytest.raises(InputError, match="1 too_long"):
        encode_conversations(tiny.conversations([("1", "2")]), fast, max_length=4)
    fast.chat_template, fast.eos_token = None, None
    with pytest.raises(ConfigError, match="EOS"):
        encode_conversations(tiny.conversations([("1", "2")]), fast, template="raw")


def test_special_tokens_are_added_once(tiny):
    fast = tiny.tokenizer(template=None)
    fast.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    rows = tiny.conversations([("1", " 2"), ("<bos> 1", " 2")])
    documents, _ = encode_conversations(rows, fast, template="raw")
    texts = [
        fast.decode(documents.ids[documents.starts[i] : documents.starts[i + 1]].tolist())
        for i in range(2)
    ]
    assert texts == ["<bos> 1 2 <eos>"] * 2
    assert trained_text(documents, 0, fast) == "2 <eos>"


def test_a_word_across_the_border_leaves_the_prompts_ids_alone(tiny):
    fast = tiny.tokenizer(template=None)
    assert fast.tokenize("12") == ["."]  # joined, the two would be one unknown word
    documents, _ = encode_conversations(tiny.conversations([("1", "2")]), fast, template="raw")
    assert fast.decode(documents.ids.tolist()) == "1 2 <eos>"
    assert documents.prompt_lengths.tolist() == [1]


def test_collate_pads_on_the_right_in_the_order_asked():
    documents = join_documents([[1], [2, 3], [4]], [[5, 6], [7], [8]])
    batch = collate(documents, torch.tensor([2, 0]), 9)
    assert batch.ids.tolist() == [[4, 8, 9], [1, 5, 6]]
    assert batch.loss_mask.tolist() == [[False, True, False], [False, True, True]]
    assert documents.completion_lengths.tolist() == [2, 1, 1]


def test_the_hash_sees_borders():
    first = join_documents([[1, 2]], [[3]])
    assert documents_hash(first) == documents_hash(join_documents([[1, 2]], [[3]]))
    assert documents_hash(first) != documents_hash(join_documents([[1]], [[2, 3]]))
