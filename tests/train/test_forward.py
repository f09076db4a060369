import pytest
import torch

from r1data.train.data import collate, join_documents
from r1data.train.forward import make_score, to_grid

pytestmark = pytest.mark.engine


@pytest.fixture
def batch():
    documents = join_documents([[3, 4], [5], [6, 7, 8]], [[9, 10, 1], [11], [12, 13]])
    return collate(documents, torch.tensor([0, 1, 2]), 0)


def by_hand(model, batch, temperature):
    """One sequence at a time, without padding and with all logits."""
    out = []
    for ids, mask in zip(batch.ids, batch.loss_mask, strict=True):
        length = int(mask.nonzero().max()) + 1
        logits = model(ids[:length].unsqueeze(0)).logits[0] / temperature
        logprobs = torch.log_softmax(logits, -1)
        out += [logprobs[t - 1, ids[t]] for t in mask.nonzero().flatten().tolist()]
    return torch.stack(out)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_scores_are_those_of_the_unpadded_sequences(tiny, batch, temperature):
    model = tiny.llama()
    scored = make_score(model)(batch.ids, batch.loss_mask, temperature)
    expected = by_hand(model, batch, temperature)
    assert torch.allclose(scored, expected, atol=1e-5)
    scored.sum().backward()
    ours = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    expected.sum().backward()
    assert all(
        torch.allclose(a, p.grad, atol=1e-5) for a, p in zip(ours, model.parameters(), strict=True)
    )


def test_what_stands_at_padding_changes_nothing(tiny, batch):
    score = make_score(tiny.llama())
    lengths = torch.tensor([5, 2, 5])
    other = batch.ids.masked_fill(torch.arange(5) >= lengths.unsqueeze(1), 15)
    assert not torch.equal(other, batch.ids)
    assert torch.equal(score(batch.ids, batch.loss_mask, 1.0), score(other, batch.loss_mask, 1.0))


def test_a_model_that_scales_its_logits_is_called_whole(tiny, batch):
    model = tiny.llama()
    original = model.forward

    def scaled(*args, **options):
        out = original(*args, **options)
        out.logits = 30 * torch.tanh(out.logits / 30) * 0.5
        return out

    model.forward = scaled
    scored = make_score(model)(batch.ids, batch.loss_mask, 1.0)
    assert torch.allclose(scored, by_hand(model, batch, 1.0), atol=1e-5)


def test_chunked_heads_give_the_same_scores_and_gradients(tiny, batch, monkeypatch):
    results = []
    for elements in (1 << 25, 50):
        monkeypatch.setattr("r1data.train.forward._CHUNK_ELEMENTS", elements)
        model = tiny.llama()
        scored = make_score(model)(batch.ids, batch.loss_mask, 1.0)
        scored.sum().backward()
        results.append((scored.detach(), model.lm_head.weight.grad))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_bfloat16_is_near_and_keeps_fp32_parameters_and_scores(tiny, batch):
    model = tiny.llama()
    exact = make_score(model)(batch.ids, batch.loss_mask, 1.0)
    rough = make_score(model, autocast=True)(batch.ids, batch.loss_mask, 1.0)
    assert rough.dtype == torch.float32
    assert 0 < float((exact - rough).detach().abs().max()) < 0.05
    rough.sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())


def test_to_grid_keeps_rows_and_gradients():
    flat = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    grid = to_grid(flat, torch.tensor([[True, True], [True, False]]))
    assert grid.tolist() == [[1.0, 2.0], [3.0, 0.0]]
    (grid * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert flat.grad.tolist() == [1.0, 2.0, 3.0]
