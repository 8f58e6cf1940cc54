"""The best of many: the largest of a long row, found without sorting it.

No more than k of the blocks that a row is cut into can hold its k largest: those with the
largest maxima. One pass finds these, and the rest of the row is never looked at again.
"""

import torch

_SHORT = 8_192
_BLOCK = 128


def best(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the places (b x count) of the largest of each row of *scores*, and what they are.

    The largest come first, and of equals the one at the lower place.
    """
    if scores.shape[1] <= max(_SHORT, 2 * _BLOCK * (count + 1)):
        return _sorted(scores, count)
    blocks = scores.shape[1] // _BLOCK
    end = blocks * _BLOCK
    cut = scores[:, :end].view(len(scores), blocks, _BLOCK)
    peaks, chosen = cut.amax(2).topk(count + 1)
    rows = torch.arange(len(scores), device=scores.device)[:, None]
    places = torch.arange(scores.shape[1], device=scores.device)
    inside = places[:end].view(blocks, _BLOCK)[chosen[:, :count]].flatten(1)
    places = torch.cat([inside, places[end:].expand(len(scores), -1)], 1)
    values = torch.cat([cut[rows, chosen[:, :count]].flatten(1), scores[:, end:]], 1)
    kept, order = values.topk(count + 1)
    places = places.gather(1, order[:, :count])
    last = kept[:, count - 1]
    # Where an equal of the last was left out, which of them stays is for the order to say.
    torn = ((kept[:, count] == last) | (peaks[:, count] == last)).nonzero()[:, 0]
    kept = kept[:, :count]
    places, by_place = places.sort(1)
    kept, order = kept.gather(1, by_place).sort(dim=1, descending=True, stable=True)
    places = places.gather(1, order)
    if len(torn):
        places[torn], kept[torn] = _sorted(scores[torn], count)
    return places, kept


def _sorted(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, places = scores.sort(dim=1, descending=True, stable=True)
    return places[:, :count], values[:, :count]
