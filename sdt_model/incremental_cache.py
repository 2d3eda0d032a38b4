"""One-layer SDT in a form that grows by an utterance at a time and equals ``SDT.forward``.

With one layer, the queries, keys and values of an utterance depend on its features, its position
and its speaker alone: they never change while the dialogue grows, so each is computed once. What
does change is the attention, as every utterance gains a key with each that follows. Its softmax is
therefore kept as a running maximum, a denominator and a sum of weighted values, into which new keys
are folded (Milakov & Gimelshein 2018, *Online normalizer calculation for softmax*).

Letters in shape comments, beside those of ``model.py``:

    R utterances at work    P keys at work    A = 9h, the heads of all encoders    w = d/h
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sdt_model.config import MODALITIES
from sdt_model.dialogues import DialogueBatch
from sdt_model.errors import SDTError
from sdt_model.model import NORM_EPSILON, PAIRS, SDT, Encoder, EncoderLayer, SDTOutput, UnimodalGate

_FIRST_CAPACITY = 512  # half an hour of talk, of which no page is touched before it is needed
_SCORES = 65_536  # per head at once, and
_ROWS = 128  # utterances at once: they bound the working memory of reading a long dialogue


class StackedSDT:
    """The weights of a one-layer :class:`SDT`, those of like parts stacked in one tensor.

    The queries, keys and values of the nine encoders become one batched product of 27 matrices, and
    so on through the layer: a handful of large products instead of a hundred small ones. These are
    copies of the weights as they are now; training that goes on later is not seen.

    With ``bfloat16`` the stacked matrices are rounded to bfloat16 and so is what goes into and
    comes out of their products; biases, residuals, norms, attention and classifiers stay as they
    are in the model.

    Raises :class:`SDTError` for more than one layer: keys would change as the dialogue grows.
    """

    @torch.inference_mode()
    def __init__(self, model: SDT, bfloat16: bool = False) -> None:
        if model.config.layers != 1:
            raise SDTError(
                f"a model with {model.config.layers} layers an encoder cannot be read from caches: "
                "run it over the whole dialogue"
            )
        self.model = model.eval()
        self.heads = model.config.heads
        self.width = model.config.hidden // model.config.heads

        encoders = [cast(Encoder, model.encoders[pair]) for pair in PAIRS]
        layers = [cast(EncoderLayer, encoder.layers[0]) for encoder in encoders]
        attentions = [layer.attention for layer in layers]
        blocks = [layer.feed_forward for layer in layers]
        self._queries_keys_values = _Linears(
            [*(a.query for a in attentions), *(a.key for a in attentions)]
            + [a.value for a in attentions],
            bfloat16,
        )
        self._output = _Linears([a.output for a in attentions], bfloat16)
        self._norm_weight = _stack(block.norm.weight for block in blocks)[:, None]  # (9, 1, d)
        self._norm_bias = _stack(block.norm.bias for block in blocks)[:, None]
        self._expand = _Linears([block.expand for block in blocks], bfloat16)
        self._contract = _Linears([block.contract for block in blocks], bfloat16)
        self._gate = None
        if model.unimodal_gates:
            gates = [cast(UnimodalGate, model.unimodal_gates[pair]) for pair in PAIRS]
            self._gate = _Linears([gate.linear for gate in gates], bfloat16)
        reductions = [cast(nn.Linear, model.reductions[m]) for m in MODALITIES]
        self._reduce = _Linears(reductions, bfloat16)

        sources, targets = zip(*(pair.split("_to_") for pair in PAIRS), strict=True)
        # Which stream feeds each encoder's residual, and each of the 27 projections.
        target_of, source_of = (
            torch.tensor([MODALITIES.index(m) for m in names], device=self._norm_bias.device)
            for names in (targets, sources)
        )
        self._targets = target_of
        self._inputs = torch.cat([target_of, source_of, source_of])

    def embed(self, batch: DialogueBatch, first: int) -> Tensor:
        """Streams (3, R, d) of one dialogue (1, R, ...) whose utterances count from ``first``."""
        embedding = self.model.embed(batch.speakers, first)  # (1, R, d)
        streams = self.model.project(batch)  # three (1, R, d)
        return torch.cat([streams[m] + embedding for m in MODALITIES])

    def project(self, streams: Tensor) -> Tensor:
        """Queries (scaled), keys and values (3, A, R, w) of streams (3, R, d)."""
        projected = self._queries_keys_values(streams[self._inputs])  # (27, R, d)
        projected[: len(PAIRS)] *= self.width**-0.5  # QKᵀ / √(d/h)
        parts = projected.unflatten(-1, (self.heads, self.width))  # (27, R, h, w)
        return parts.transpose(1, 2).reshape(3, -1, streams.shape[1], self.width)

    def finish(self, streams: Tensor, attended: Tensor) -> SDTOutput:
        """From attention (A, R, w) to the classifiers, for the streams (3, R, d) it belongs to."""
        heads = attended.unflatten(0, (-1, self.heads)).transpose(1, 2)  # (9, R, h, w)
        x = streams[self._targets] + self._output(heads.flatten(2))  # (9, R, d)
        normed = F.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)
        inner = self._expand(normed * self._norm_weight + self._norm_bias)
        x = x + self._contract(F.gelu(inner, approximate="tanh"))
        views = x if self._gate is None else torch.sigmoid(self._gate(x)) * x
        views = views.unflatten(0, (3, 3)).transpose(1, 2).flatten(2)  # (9, R, d) -> (3, R, 3d)
        hidden = self._reduce(views)  # (3, R, d)
        return self.model.classify(hidden.transpose(0, 1)[None])  # (1, R, 3, d)


class DialogueCache:
    """Everything of one dialogue that need not be computed again; N utterances so far.

    An utterance takes about 160 d bytes in float32 (its queries, keys, values and sums of values in
    nine encoders, and its streams), in buffers that double when they are full.
    """

    def __init__(self, weights: StackedSDT) -> None:
        self._weights = weights
        self.clear()

    def __len__(self) -> int:
        return self._length

    def clear(self) -> None:
        """Forget the dialogue and free its buffers."""
        heads, width = len(PAIRS) * self._weights.heads, self._weights.width
        like = self._weights.model.speakers.weight.detach()
        self._length = self._capacity = 0
        self._streams = like.new_empty(len(MODALITIES), 0, like.shape[1])
        self._projected = like.new_empty(3, heads, 0, width)  # queries, keys, values
        self._highest = like.new_empty(heads, 0)
        self._denominators = like.new_empty(heads, 0)
        self._sums = like.new_empty(heads, 0, width)
        self._seen = torch.empty(0, dtype=torch.int64, device=like.device)

    def preview(self, batch: DialogueBatch) -> SDTOutput:
        """How the utterances of ``batch`` (1, R, ...) would read if they came next."""
        return self._read(self._write(batch))

    def append(self, batch: DialogueBatch) -> SDTOutput:
        """Add the utterances of ``batch`` (1, R, ...) and read these alone.

        One utterance costs O(d²) for itself and O(N d) for its attention to the others.
        """
        output = self.preview(batch)
        self._length += batch.speakers.shape[1]
        return output

    def extend(self, batch: DialogueBatch) -> None:
        """Add the utterances of ``batch`` (1, R, ...) without reading any."""
        self._length = self._write(batch).stop

    @torch.inference_mode()
    def read(self) -> Iterator[SDTOutput]:
        """Read all utterances in the light of all, in blocks (1, R, ...) from the first on.

        Keys that came since the last time are folded in first, each at a cost of O(N d).
        """
        if self._length == 0:
            return
        everything, seen = slice(0, self._length), self._seen[: self._length]
        # A later utterance has seen no fewer keys than an earlier one.
        unseen = slice(int(seen[0]), self._length)
        self._fold(everything, unseen, seen)
        seen.fill_(self._length)
        for start in range(0, self._length, _ROWS):
            yield self._read(slice(start, min(start + _ROWS, self._length)))

    @torch.inference_mode()
    def attention(self, row: int) -> Tensor:
        """The softmax (9, h, N) with which utterance ``row`` attends to all utterances so far."""
        queries, keys = self._projected[0, :, row], self._projected[1, :, : self._length]
        scores = (keys @ queries[..., None]).squeeze(-1)  # (A, N, w) @ (A, w, 1) -> (A, N)
        return scores.softmax(-1).unflatten(0, (len(PAIRS), self._weights.heads))

    @torch.inference_mode()
    def _write(self, batch: DialogueBatch) -> slice:
        """Put utterances behind the last, attending to all before and to each other."""
        rows = slice(self._length, self._length + batch.speakers.shape[1])
        if rows.stop > self._capacity:
            self._grow(max(_FIRST_CAPACITY, 2 * self._capacity, rows.stop))
        self._streams[:, rows] = self._weights.embed(batch, rows.start)
        self._projected[:, :, rows] = self._weights.project(self._streams[:, rows])
        self._highest[:, rows] = -torch.inf
        self._denominators[:, rows] = 0
        self._sums[:, rows] = 0
        self._fold(rows, slice(0, rows.stop))
        self._seen[rows] = rows.stop
        return rows

    def _fold(self, rows: slice, keys: slice, seen: Tensor | None = None) -> None:
        """Let the queries ``rows`` (R) attend to the ``keys`` (P) as well.

        ``seen`` (R,) says how many keys, from the first on, each of the queries already knows.
        """
        queries = self._projected[0, :, rows]
        highest, denominators = self._highest[:, rows], self._denominators[:, rows]  # (A, R)
        sums = self._sums[:, rows]  # (A, R, w)
        block = max(1, _SCORES // (rows.stop - rows.start))
        for start in range(keys.start, keys.stop, block):
            stop = min(start + block, keys.stop)
            scores = queries @ self._projected[1, :, start:stop].mT  # (A, R, P)
            if seen is not None:
                position = torch.arange(start, stop, device=seen.device)
                scores.masked_fill_(position < seen[:, None], -torch.inf)
            raised = torch.maximum(highest, scores.amax(-1))
            decay = torch.exp(highest - raised)
            weights = scores.sub_(raised[..., None]).exp_()
            highest.copy_(raised)
            denominators.mul_(decay).add_(weights.sum(-1))
            sums.mul_(decay[..., None]).add_(weights @ self._projected[2, :, start:stop])

    @torch.inference_mode()
    def _read(self, rows: slice) -> SDTOutput:
        attended = self._sums[:, rows] / self._denominators[:, rows, None]
        return self._weights.finish(self._streams[:, rows], attended)

    @torch.inference_mode()
    def _grow(self, capacity: int) -> None:
        """Move into buffers for ``capacity`` utterances."""
        self._capacity = capacity
        self._streams = self._moved(self._streams, 1)
        self._projected = self._moved(self._projected, 2)
        self._sums = self._moved(self._sums, 1)
        self._highest = self._moved(self._highest, 1)
        self._denominators = self._moved(self._denominators, 1)
        self._seen = self._moved(self._seen, 0)

    def _moved(self, buffer: Tensor, dim: int) -> Tensor:
        shape = list(buffer.shape)
        shape[dim] = self._capacity
        larger = buffer.new_empty(shape)
        larger.narrow(dim, 0, self._length).copy_(buffer.narrow(dim, 0, self._length))
        return larger


class _Linears:
    """S linear maps of one shape, x (S, R, in) to (S, R, out) of the same type."""

    def __init__(self, maps: Sequence[nn.Linear], bfloat16: bool) -> None:
        # The order in memory is the one that takes a single row through the matrix faster: (in,
        # out) in float32, (out, in) in bfloat16.
        if bfloat16:
            self._weight = _stack(linear.weight.bfloat16() for linear in maps).mT  # (S, in, out)
        else:
            self._weight = _stack(linear.weight.mT for linear in maps)  # (S, in, out)
        self._bias = None
        if maps[0].bias is not None:
            self._bias = _stack(linear.bias for linear in maps)[:, None]  # (S, 1, out)

    def __call__(self, x: Tensor) -> Tensor:
        result = torch.bmm(x.to(self._weight.dtype), self._weight).to(x.dtype)
        return result if self._bias is None else result.add_(self._bias)


def _stack(tensors: Iterable[Tensor]) -> Tensor:
    return torch.stack([tensor.detach() for tensor in tensors])
