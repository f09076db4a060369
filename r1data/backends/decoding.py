"""Batched decoding of a causal language model: how a token is drawn, and the table of live rows.

The table's columns are token positions. Rows are flush right, so every live row writes the same
column in a step; a row that ends gives its place to the last row, and new rows may join at any
column. Nothing is copied for that but the rows that move.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

UNIFORM_BLOCK = 64
NUCLEUS_CANDIDATES = 1024
PREFILL_TOKENS = 8192


def stream(seed: int) -> np.random.Philox:
    """Return the counter-based stream of one sample (Salmon et al. 2011, Philox 4x64-10)."""
    return np.random.Philox(key=seed % 2**64)


def uniforms(source: np.random.Philox, count: int) -> npt.NDArray[np.float64]:
    """Return the stream's next numbers in [0, 1), 53 bits each, shape (count,)."""
    # The raw bits are stable between numpy versions; Generator.random does not promise to be.
    raw: npt.NDArray[np.uint64] = source.random_raw(count)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw(
    logits: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token a row by inverting the cumulative distribution at ``uniform``.

    logits (rows, vocabulary), uniform (rows,) float64 in [0, 1) -> tokens (rows,) int64 and their
    log-probabilities (rows,) float32 after temperature and top-p. Temperature 0 takes the largest
    logit, and the log-probability is then that of temperature 1.
    """
    if temperature == 0:
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        tokens = logprobs.argmax(dim=-1)
    else:
        logprobs = torch.log_softmax(logits.float() / temperature, dim=-1)
        if top_p < 1:
            logprobs = nucleus(logprobs, top_p)
        cumulative = logprobs.exp().cumsum(dim=-1, dtype=torch.float64)  # (rows, vocabulary)
        total = cumulative[:, -1]
        # Below the total even after rounding, so that no token of probability 0 is ever drawn.
        target = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
        tokens = torch.searchsorted(cumulative, target[:, None], right=True)[:, 0]
        tokens = tokens.clamp(max=logits.shape[-1] - 1)  # NaN logits; the sampler reports them
    return tokens, logprobs.gather(-1, tokens[:, None])[:, 0]


def nucleus(logprobs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Return log-probabilities of the smallest set of mass ``top_p``, renormalised; -inf outside.

    Shape (rows, vocabulary) in and out (Holtzman et al. 2020). Tokens that tie with the least
    likely member belong to the set, so it does not depend on the order of a sort.
    """
    probabilities = logprobs.exp()
    candidates = min(NUCLEUS_CANDIDATES, logprobs.shape[-1])
    floor, reached = _nucleus_floor(probabilities, top_p, candidates)
    flat = (~reached).nonzero()[:, 0]
    if len(flat):
        floor[flat] = _nucleus_floor(probabilities[flat], top_p, logprobs.shape[-1])[0]
    inside = logprobs.masked_fill(probabilities < floor[:, None], float("-inf"))
    return torch.log_softmax(inside, dim=-1)


def _nucleus_floor(
    probabilities: torch.Tensor, top_p: float, candidates: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the least probability inside (rows,), and whether the candidates reach top_p."""
    largest = probabilities.topk(candidates).values  # (rows, candidates), descending
    mass = largest.cumsum(dim=-1, dtype=torch.float64)
    last = (mass < top_p).sum(dim=-1, keepdim=True).clamp(max=candidates - 1)
    return largest.gather(-1, last)[:, 0], mass[:, -1] >= top_p


class NewRow(NamedTuple):
    """A sample about to join the table."""

    request: int
    prompt: tuple[int, ...]
    seed: int


class ColumnLayer(DynamicLayer):  # type: ignore[misc]  # transformers ships no types
    """Keys and values of one model layer, (rows, heads, columns, width), written in place."""

    def __init__(self, table: "DecodingTable", keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.table = table
        self.keys, self.values = keys, values
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **options: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the newest column, (rows, heads, 1, width); return all columns in use."""
        rows, first, end = key_states.shape[0], self.table.first, self.table.width
        self.keys[:rows, :, end - 1 : end] = key_states
        self.values[:rows, :, end - 1 : end] = value_states
        return self.keys[:rows, :, first:end], self.values[:rows, :, first:end]

    def get_seq_length(self) -> int:
        """Return the columns in use before the newest."""
        return self.table.width - 1 - self.table.first


class DecodingTable:
    """Rows being decoded. ``step`` draws a token a row, ``forward`` prepares the next draw.

    Rows must join in descending order of their prompts' lengths.
    """

    def __init__(self, model: Any, rows: int, max_tokens: int) -> None:
        self.model = model
        self.max_tokens = max_tokens
        self.device = model.get_input_embeddings().weight.device
        self.count = 0  # live rows: the first ``count`` of every table
        self.first = self.width = 0  # columns in use: [first, width)
        self.capacity = 0
        self.ids = torch.zeros((rows, 0), dtype=torch.int64, device=self.device)
        self.logprobs = torch.zeros((rows, 0), device=self.device)
        self.visible = torch.zeros((rows, 0), dtype=torch.bool, device=self.device)
        self.starts = torch.zeros(rows, dtype=torch.int64, device=self.device)
        self.start = np.zeros(rows, np.int64)  # first column of the prompt
        self.answer = np.zeros(rows, np.int64)  # first column of the completion
        self.request = np.zeros(rows, np.int64)
        self.drawn = np.zeros(rows, np.int64)
        self.uniform = np.zeros((rows, UNIFORM_BLOCK))
        self.streams = np.empty(rows, object)
        self.layers: list[ColumnLayer] = []
        self.logits = torch.zeros(0)
        self._last = (
            {"logits_to_keep": 1}
            if "logits_to_keep" in inspect.signature(model.forward).parameters
            else {}
        )

    @property
    def free(self) -> int:
        """Rows that may join."""
        return len(self.request) - self.count

    def admit(self, rows: Sequence[NewRow]) -> None:
        """Prefill the prompts, each distinct one once, and let the rows join.

        Prompts must not be longer than those admitted before, while any row lives.
        """
        longest = max(len(row.prompt) for row in rows)
        if not self.count:
            self.first, self.width = 0, longest
        if self.capacity < self.width:
            self._resize(min(longest + self.max_tokens, 2 * longest + UNIFORM_BLOCK))
        grouped: dict[tuple[int, ...], list[NewRow]] = {}
        for row in rows:
            grouped.setdefault(row.prompt, []).append(row)
        prompts = list(grouped)
        chunk = max(1, PREFILL_TOKENS // longest)
        for at in range(0, len(prompts), chunk):
            self._prefill([grouped[prompt] for prompt in prompts[at : at + chunk]])

    def _prefill(self, groups: list[list[NewRow]]) -> None:
        """Run distinct prompts once and repeat keys, values and logits for the rows of each."""
        prompts = [group[0].prompt for group in groups]
        width = max(map(len, prompts))
        ids = torch.tensor([(0,) * (width - len(p)) + p for p in prompts], device=self.device)
        padding = torch.tensor([width - len(p) for p in prompts], device=self.device)
        columns = torch.arange(width, device=self.device)
        cache = DynamicCache()
        output = self.model(
            input_ids=ids,  # (prompts, width)
            attention_mask=(columns >= padding[:, None]).long(),
            position_ids=(columns - padding[:, None]).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            **self._last,
        )
        repeats = [number for number, group in enumerate(groups) for _ in group]
        source = torch.tensor(repeats, device=self.device)
        logits = output.logits[:, -1].index_select(0, source)
        self.logits = torch.cat([self.logits, logits]) if self.count else logits
        self._place([row for group in groups for row in group], ids, cache.layers, source)

    def _place(
        self, rows: list[NewRow], ids: torch.Tensor, layers: Sequence[Any], source: torch.Tensor
    ) -> None:
        begin, end = self.count, self.count + len(rows)
        columns = slice(self.width - ids.shape[1], self.width)
        if not self.layers:
            self.layers = [ColumnLayer(self, *self._empty(layer)) for layer in layers]
        for target, layer in zip(self.layers, layers, strict=True):
            target.keys[begin:end, :, columns] = layer.keys.index_select(0, source)
            target.values[begin:end, :, columns] = layer.values.index_select(0, source)
        self.ids[begin:end, columns] = ids.index_select(0, source)
        lengths = np.array([len(row.prompt) for row in rows])
        self.start[begin:end] = self.width - lengths
        self.answer[begin:end] = self.width
        self.request[begin:end] = [row.request for row in rows]
        self.drawn[begin:end] = 0
        self.streams[begin:end] = [stream(row.seed) for row in rows]
        self.starts[begin:end] = torch.from_numpy(self.start[begin:end]).to(self.device)
        positions = torch.arange(self.capacity, device=self.device)
        self.visible[begin:end] = positions >= self.starts[begin:end, None]
        self.count = end
        self.first = int(self.start[:end].min())

    def _empty(self, layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
        # Zeros, not uninitialised memory: a masked column weighs 0, and 0 x NaN is NaN.
        return tuple(
            table.new_zeros((len(self.request), table.shape[1], self.capacity, table.shape[3]))
            for table in (layer.keys, layer.values)
        )

    def step(self, temperature: float, top_p: float) -> npt.NDArray[np.int64]:
        """Draw the next token of every row and return them, shape (count,)."""
        if self.width == self.capacity:
            last = int(self.answer[: self.count].max()) + self.max_tokens - self.first
            self._resize(min(last, 2 * (self.width - self.first) + UNIFORM_BLOCK))
        uniform = torch.from_numpy(self._uniforms()).to(self.device)
        tokens, logprobs = draw(self.logits, uniform, temperature, top_p)
        self.ids[: self.count, self.width] = tokens
        self.logprobs[: self.count, self.width] = logprobs
        self.width += 1
        drawn: npt.NDArray[np.int64] = tokens.cpu().numpy()
        return drawn

    def _uniforms(self) -> npt.NDArray[np.float64]:
        offset = self.drawn[: self.count] % UNIFORM_BLOCK
        for row in np.flatnonzero(offset == 0):
            self.uniform[row] = uniforms(self.streams[row], UNIFORM_BLOCK)
        self.drawn[: self.count] += 1
        chosen: npt.NDArray[np.float64] = self.uniform[np.arange(self.count), offset]
        return chosen

    def forward(self) -> None:
        """Run the newest token of every row through the model."""
        padded = int(self.start[: self.count].max()) > self.first
        visible = self.visible[: self.count, self.first : self.width]
        with _decode_attention(self.model.config, self.device):
            output = self.model(
                input_ids=self.ids[: self.count, self.width - 1 : self.width],  # (count, 1)
                attention_mask=visible if padded else None,
                position_ids=self.width - 1 - self.starts[: self.count, None],
                past_key_values=Cache(layers=self.layers),
                use_cache=True,
            )
        self.logits = output.logits[:, -1]

    def answer_of(self, row: int) -> tuple[list[int], list[float]]:
        """Return a row's tokens so far and their log-probabilities."""
        columns = slice(int(self.answer[row]), self.width)
        return self.ids[row, columns].tolist(), self.logprobs[row, columns].tolist()

    def drop(self, rows: npt.NDArray[np.int64]) -> None:
        """Take ended rows out: the last live rows move into their places."""
        kept = self.count - len(rows)
        holes = rows[rows < kept]
        movers = np.setdiff1d(np.arange(kept, self.count), rows)
        self.count = kept
        for values in (self.start, self.answer, self.request, self.drawn):
            values[holes] = values[movers]
        self.uniform[holes] = self.uniform[movers]
        self.streams[holes] = self.streams[movers]
        if len(holes):
            to = torch.from_numpy(holes).to(self.device)
            of = torch.from_numpy(movers).to(self.device)
            self.starts[to] = self.starts[of]
            for table in (self.ids, self.logprobs, self.visible):
                table[to] = table[of]
            for layer in self.layers:
                for table in (layer.keys, layer.values):
                    used = table[:, :, self.first : self.width]
                    used[to] = used[of]
        if kept:
            self.first = int(self.start[:kept].min())

    def _resize(self, capacity: int) -> None:
        """Give every table ``capacity`` columns, the first of them the first in use."""
        first, width = self.first, self.width
        self.ids = _recut(self.ids, 1, first, width, capacity)
        self.logprobs = _recut(self.logprobs, 1, first, width, capacity)
        self.visible = _recut(self.visible, 1, first, width, capacity)
        self.visible[:, width - first :] = True
        for layer in self.layers:
            layer.keys = _recut(layer.keys, 2, first, width, capacity)
            layer.values = _recut(layer.values, 2, first, width, capacity)
        self.start -= first
        self.answer -= first
        self.starts -= first
        self.first, self.width, self.capacity = 0, width - first, capacity


@contextmanager
def _decode_attention(config: Any, device: torch.device) -> Iterator[None]:
    """Use plain matrix products for attention on a CPU, where SDPA is slow for a single query.

    Only where keys are not shared between heads: the plain path would repeat them.
    """
    before = config._attn_implementation
    heads = getattr(config, "num_attention_heads", 0)
    shared = heads != (getattr(config, "num_key_value_heads", None) or heads)
    if device.type != "cpu" or before != "sdpa" or shared:
        yield
        return
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = before


def _recut(table: torch.Tensor, axis: int, first: int, width: int, capacity: int) -> torch.Tensor:
    """Return a table of ``capacity`` columns that begins with columns [first, width)."""
    shape = list(table.shape)
    shape[axis] = capacity
    out = table.new_zeros(shape)
    length = max(0, min(width, table.shape[axis]) - first)
    out.narrow(axis, 0, length).copy_(table.narrow(axis, first if length else 0, length))
    return out
