"""What networks are trained to minimise: those that embed, whole images or detections, and then the tracker's.

The losses of embeddings take (n, D) embeddings, of pairs or triplets that `learning.triplets` finds in a batch. Those
of the tracker take the response of a batch of true pairs (exemplar and search region of one target) and, as negatives,
the response of the same search regions to the exemplars of other targets.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


def distance(first: Tensor, second: Tensor, squared: bool = False) -> Tensor:
    """(n,) Euclidean distances between the rows of two (n, D) tensors.

    The root has no gradient at 0; equal embeddings get the gradient 0 there instead of NaN.
    """
    square = (first - second).square().sum(1)
    return square if squared else _root(square)


def _root(square: Tensor) -> Tensor:
    apart = square > 0
    return torch.where(apart, square, 1.0).sqrt() * apart


def contrastive_loss(first: Tensor, second: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    """Contrastive loss (Hadsell, Chopra, LeCun 2006, equations 2 to 4): ½ D² if alike, else ½ max(0, m − D)².

    Args:
        first: (n, D) embeddings.
        second: (n, D) those that they are paired with.
        same: (n,) bool; the paper's Y is its opposite.
        margin: m > 0: distance beyond which what differs is left alone.

    Returns:
        The mean over the pairs.
    """
    square = distance(first, second, squared=True)
    apart = (margin - _root(square)).clamp(min=0).square()
    return 0.5 * torch.where(same, square, apart).mean()


def triplet_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float | None = 0.2, squared: bool = True
) -> Tensor:
    """Triplet loss (Schroff, Kalenichenko, Philbin 2015, equation 2): max(0, D²(a, p) − D²(a, n) + α).

    Args:
        anchor: (n, D) embeddings.
        positive: (n, D) of the same classes.
        negative: (n, D) of others.
        margin: α > 0; ``None``: the soft margin ln(1 + exp(·)) in place of the hinge (Hermans, Beyer, Leibe 2017,
            section 2), which goes on pulling where the hinge is content.
        squared: compare squared distances as Schroff et al. do, or plain ones as Hermans et al.

    Returns:
        The mean over the triplets.
    """
    violation = distance(anchor, positive, squared) - distance(anchor, negative, squared)
    return F.softplus(violation).mean() if margin is None else (violation + margin).clamp(min=0).mean()


def weighted_l1(first: Tensor, second: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(n,) logits of Koch's similarity, p = σ(Σⱼ αⱼ |h₁ⱼ − h₂ⱼ|) (Koch 2015, section 3.1).

    Args:
        first: (n, D) embeddings.
        second: (n, D) those that they are paired with.
        weight: (D,) α.
        bias: () added before σ: without it equal embeddings would be alike with p = ½ only.
    """
    return (first - second).abs() @ weight + bias


def verification_loss(logits: Tensor, same: Tensor, parameters: Iterable[Tensor] = (), decay: float = 0.0) -> Tensor:
    """Regularised cross-entropy (Koch 2015, section 3.2): −y log p − (1 − y) log(1 − p) + λ ‖w‖².

    The paper's formula has no minus before the logarithms, which is an evident slip, and a λ for each layer.

    Args:
        logits: (n,) of the pairs being alike (`weighted_l1`).
        same: (n,) bool y.
        parameters: w, the weights to keep small.
        decay: λ.
    """
    loss = F.binary_cross_entropy_with_logits(logits, same.to(logits.dtype))
    return loss + decay * sum((parameter.square().sum() for parameter in parameters), logits.new_zeros(()))


def softmax_loss(embeddings: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Cross-entropy of a linear head on the embedding (Wen et al. 2016, equation 1), the mean over the batch.

    Args:
        embeddings: (n, D).
        labels: (n,) classes from 0.
        weight: (C, D) of the head.
        bias: (C,).
    """
    return F.cross_entropy(F.linear(embeddings, weight, bias), labels)


def nca_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Neighbourhood components analysis (Goldberger et al. 2004, equations 1, 2 and 6): −log Σⱼ pᵢⱼ over i's class.

    pᵢⱼ = exp(−‖xᵢ − xⱼ‖²) / Σₖ exp(−‖xᵢ − xₖ‖²), of all k but i, is how likely i takes j for its neighbour. With two
    images of a class it is the loss of N-pairs and of supervised contrastive learning (Khosla et al. 2020, equation 2).

    Args:
        embeddings: (n, D).
        labels: (n,) classes.

    Returns:
        The mean over the images that have another of their class in the batch; 0 if none has.
    """
    length = embeddings.square().sum(1)
    square = (length[:, None] + length - 2 * embeddings @ embeddings.T).clamp(min=0)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    alike = (labels[:, None] == labels) & ~itself
    kept = alike.any(1)
    towards = (-square[kept]).masked_fill(itself[kept], -torch.inf)
    owned = towards.masked_fill(~alike[kept], -torch.inf)
    return (towards.logsumexp(1) - owned.logsumexp(1)).sum() / kept.sum().clamp(min=1)


def cell_centres(cells: int, stride: int, size: int, device: torch.device | str = "cpu") -> Tensor:
    """(cells,) coordinates of the response's cells in pixels of the search crop; the middle cell is the middle."""
    return size / 2 + (torch.arange(cells, device=device) - (cells - 1) / 2) * stride


def giou(distances: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Overlap of boxes given by their distances to the four sides from common points.

    Args:
        distances: (n, 4) predicted left, top, right, bottom.
        target: (n, 4) true ones, all positive.

    Returns:
        (n,) intersection over union and (n,) generalised IoU (Rezatofighi et al. 2019), in [−1, 1].
    """
    shared = torch.minimum(distances, target)
    hull = torch.maximum(distances, target)
    intersection = (shared[:, 0] + shared[:, 2]).clamp(min=0) * (shared[:, 1] + shared[:, 3]).clamp(min=0)
    enclosing = (hull[:, 0] + hull[:, 2]) * (hull[:, 1] + hull[:, 3])
    areas = [(box[:, 0] + box[:, 2]) * (box[:, 1] + box[:, 3]) for box in (distances, target)]
    union = areas[0] + areas[1] - intersection
    iou = intersection / union.clamp(min=1e-6)
    return iou, iou - (enclosing - union) / enclosing.clamp(min=1e-6)


def quality_focal(logits: Tensor, quality: Tensor) -> Tensor:
    """Quality focal loss (Li et al. 2020, equation 3, β = 2): cross-entropy to a soft label, weighted by the error.

    Args:
        logits: any shape.
        quality: labels of the same shape in [0, 1].

    Returns:
        The loss of each element.
    """
    error = (logits.detach().sigmoid() - quality) ** 2
    return error * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def ranking_loss(logits: Tensor, positive: Tensor, background: Tensor, others: Tensor) -> Tensor:
    """Cross-entropy of "which of all these cells is the target's": −log of the positives' share of the softmax.

    It goes on teaching where the focal loss is content: that the target beats the look-alike beside it, and that its
    own exemplar beats a foreign one.

    Args:
        logits: (n, R, R) of the true pairs.
        positive: (n, R, R) bool; pairs without any do not count.
        background: (n, R, R) bool.
        others: (n, K, R, R) logits of the same search regions with foreign exemplars; −inf where they do not count.
    """
    owned = logits.masked_fill(~positive, -torch.inf).flatten(1).logsumexp(1)
    against = torch.cat([logits.masked_fill(~(positive | background), -torch.inf).flatten(1), others.flatten(1)], 1)
    counted = positive.flatten(1).any(1)
    return (against.logsumexp(1) - owned)[counted].sum() / counted.sum().clamp(min=1)


def true_distances(boxes: Tensor, cells: int, stride: int, size: int) -> Tensor:
    """(n, R, R, 4) distances from the cells' centres to the left, top, right and bottom side of (n, 4) boxes."""
    centres = cell_centres(cells, stride, size, boxes.device)
    x, y, w, h = (value[:, None, None] for value in boxes.unbind(1))
    across, down = centres[None, None, :] - x, centres[None, :, None] - y
    return torch.stack(torch.broadcast_tensors(across, down, w - across, h - down), dim=-1)


def box_loss(
    response: Tensor, boxes: Tensor, others: Tensor, other_valid: Tensor, stride: int, size: int
) -> dict[str, Tensor]:
    """Classification by quality focal loss and ranking, regression by GIoU.

    Cells in the inner ellipse of the target (half its axes) are positive, labelled with the overlap of the box that
    they predict, so that the score of a cell is the overlap to expect (Li et al. 2020); cells between the inner and
    the full ellipse do not count; all others, and all cells of the negative pairs, are background. The cell nearest to
    the target's centre is positive too, as the ellipse of a small target may hold none, but only if it lies in the box:
    a target narrower than the stride can fall between the cells, and then has no positive.

    Args:
        response: (n, 5, R, R) of the true pairs (`tracker.correlation.BoxHead.search`).
        boxes: (n, 4) targets ``(x, y, w, h)`` in pixels of the search crop.
        others: (n, K, R, R) logits of the same search regions with K foreign exemplars.
        other_valid: (n, K) bool, False where a foreign exemplar may show the same object.
        stride: pixels between cells.
        size: side of the search crop in pixels.

    Returns:
        "loss", and for the log "positive", "negative", "ranking", "giou", "iou".
    """
    w, h = boxes[:, 2, None, None], boxes[:, 3, None, None]
    sides = true_distances(boxes, response.shape[-1], stride, size)
    across, down = sides[..., 0], sides[..., 1]
    radius = ((across / w - 0.5) * 2) ** 2 + ((down / h - 0.5) * 2) ** 2
    reach = stride / 2  # of the nearest cell from the target's centre, at most
    nearest = ((across - w / 2).abs() <= reach) & ((down - h / 2).abs() <= reach)
    inside = (sides > 0).all(-1)  # GIoU needs positive distances; a target between the cells loses even the nearest
    positive = ((radius <= 0.25) | nearest) & inside
    ignored = (radius <= 1) & ~positive

    iou, generalised = giou(response[:, 1:].permute(0, 2, 3, 1)[positive], sides[positive])
    quality = torch.zeros_like(response[:, 0])
    quality[positive] = iou.detach()
    count = positive.sum().clamp(min=1)
    focal = quality_focal(response[:, 0], quality)
    positives = focal[positive].sum() / count
    negatives = focal[~positive & ~ignored].sum() / count
    mismatched = quality_focal(others, torch.zeros_like(others))[other_valid].sum() / (count * others.shape[1])
    regression = (1 - generalised).sum() / count
    foreign = others.masked_fill(~other_valid[..., None, None], -torch.inf)
    ranking = ranking_loss(response[:, 0], positive, ~positive & ~ignored, foreign)
    return {
        "loss": 2 * (positives + negatives + mismatched) + 0.5 * ranking + regression,
        "ranking": ranking.detach(),
        "positive": positives.detach(),
        "negative": (negatives + mismatched).detach(),
        "giou": regression.detach(),
        "iou": iou.detach().mean() if iou.numel() else iou.new_zeros(()),
    }


def logistic_loss(
    response: Tensor, boxes: Tensor, others: Tensor, other_valid: Tensor, stride: int, size: int, radius: float = 16.0
) -> dict[str, Tensor]:
    """SiamFC's logistic loss (Bertinetto et al. 2016, equations 3 and 4), positives and negatives weighing one half.

    Foreign exemplars and the ranking are ours: they cost next to nothing where the backbone takes all the time.

    A cell is positive within `radius` pixels (Manhattan distance, as SiamDW's code has it) of the target's centre.

    Args: see `box_loss`; where the response has distances too, they are learned by GIoU on the positive cells.

    Returns:
        "loss", and for the log "positive", "negative", "ranking"; with distances in the response "giou" and "iou", too.
    """
    centres = cell_centres(response.shape[-1], stride, size, response.device)
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    distance = (centres[None, None, :] - middle[:, 0, None, None]).abs()
    distance = distance + (centres[None, :, None] - middle[:, 1, None, None]).abs()
    positive = distance <= radius
    logits = response[:, 0]
    loss = F.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none")
    positives = loss[positive].sum() / positive.sum().clamp(min=1)
    negatives = loss[~positive].mean()
    mismatched = F.softplus(others)[other_valid].sum() / (other_valid.sum() * others[0, 0].numel()).clamp(min=1)
    foreign = others.masked_fill(~other_valid[..., None, None], -torch.inf)
    ranking = ranking_loss(logits, positive, ~positive, foreign)
    parts = {
        "loss": 0.5 * positives + 0.25 * (negatives + mismatched) + 0.5 * ranking,
        "ranking": ranking.detach(),
        "positive": positives.detach(),
        "negative": (0.5 * (negatives + mismatched)).detach(),
    }
    if response.shape[1] > 1:
        sides = true_distances(boxes, response.shape[-1], stride, size)
        measured = positive & (sides > 0).all(-1)
        iou, generalised = giou(response[:, 1:].permute(0, 2, 3, 1)[measured], sides[measured])
        regression = (1 - generalised).sum() / measured.sum().clamp(min=1)
        parts["loss"] = parts["loss"] + regression
        parts |= {"giou": regression.detach(), "iou": iou.detach().mean() if iou.numel() else iou.new_zeros(())}
    return parts
