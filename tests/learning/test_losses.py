"""Losses against plain loops, closed forms and shapely."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box as rectangle

from learning.embedding import NCA_SCALE
from learning.losses import (
    box_loss,
    cell_centres,
    contrastive_loss,
    distance,
    giou,
    logistic_loss,
    nca_loss,
    quality_focal,
    ranking_loss,
    softmax_loss,
    triplet_loss,
    verification_loss,
    weighted_l1,
)

SIDES = st.tuples(*[st.floats(0.5, 50)] * 4)


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _entropy(logit: float, label: float) -> float:
    return math.log1p(math.exp(-abs(logit))) + max(logit, 0) - logit * label


def _focal(logit: float, quality: float) -> float:
    return (_sigmoid(logit) - quality) ** 2 * _entropy(logit, quality)


def test_cell_centres_are_a_stride_apart_around_the_middle() -> None:
    assert cell_centres(17, 8, 255).tolist() == [127.5 + 8 * k for k in range(-8, 9)]
    assert cell_centres(4, 2, 10).tolist() == [2, 4, 6, 8]


@given(SIDES, SIDES)
def test_giou_is_that_of_shapelys_rectangles(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    first, second = (rectangle(-left, -top, right, bottom) for left, top, right, bottom in (a, b))
    shared, union = first.intersection(second).area, first.union(second).area
    left, top, right, bottom = first.union(second).bounds
    hull = (right - left) * (bottom - top)
    iou, generalised = giou(torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64))
    assert float(iou) == pytest.approx(shared / union, rel=1e-6)
    assert float(generalised) == pytest.approx(shared / union - (hull - union) / hull, rel=1e-6, abs=1e-9)


def test_quality_focal_loss_in_numbers() -> None:
    logits, quality = np.array([-3.0, 0.0, 0.7, 4.0]), np.array([0.0, 0.5, 1.0, 0.2])
    expected = [_focal(x, y) for x, y in zip(logits, quality, strict=True)]
    assert quality_focal(torch.tensor(logits), torch.tensor(quality)).tolist() == pytest.approx(expected)
    assert expected[1] == 0


def test_ranking_loss_in_numbers() -> None:
    rng = np.random.default_rng(0)
    logits, others = rng.normal(size=(3, 4, 4)), rng.normal(size=(3, 2, 4, 4))
    positive = rng.random((3, 4, 4)) < 0.3
    background = ~positive & (rng.random((3, 4, 4)) < 0.7)
    positive[2] = False  # has no target: does not count
    others[0, 1] = -np.inf  # may show the same object
    expected = []
    for row in (0, 1):
        owned = np.exp(logits[row][positive[row]]).sum()
        against = np.exp(logits[row][background[row]]).sum() + np.exp(others[row]).sum()
        expected.append(-math.log(owned / (owned + against)))
    tensors = (torch.tensor(array) for array in (logits, positive, background, others))
    assert float(ranking_loss(*tensors)) == pytest.approx(np.mean(expected))


# ---------------------------------------------------------------- whole losses

STRIDE, SIZE, CELLS, N, K = 8, 127, 7, 4, 2
BOXES = np.array([[40.0, 50, 30, 24], [60, 40, 6, 5], [20, 20, 90, 80], [70.5, 61, 18, 40]])


def _response(channels: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    response = torch.randn(N, channels, CELLS, CELLS, generator=generator, dtype=torch.float64)
    response[:, 1:] = response[:, 1:].abs() * 20 + 1  # distances
    return response


def _others(seed: int = 1) -> torch.Tensor:
    return torch.randn(N, K, CELLS, CELLS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


VALID = torch.tensor([[True, False], [True, True], [False, False], [True, True]])


def _plain_box_loss(response: np.ndarray, others: np.ndarray) -> dict[str, float]:
    positives, background, overlaps, regression, count = [], [], [], [], 0
    kinds = np.full((N, CELLS, CELLS), "ignored", object)
    for n, row, column in np.ndindex(N, CELLS, CELLS):
        x, y, w, h = BOXES[n]
        cx, cy = SIZE / 2 + (column - CELLS // 2) * STRIDE, SIZE / 2 + (row - CELLS // 2) * STRIDE
        inside = x < cx < x + w and y < cy < y + h
        radius = ((cx - x - w / 2) / (w / 2)) ** 2 + ((cy - y - h / 2) / (h / 2)) ** 2
        near = max(abs(cx - x - w / 2), abs(cy - y - h / 2)) <= STRIDE / 2
        logit, *sides = response[n, :, row, column]
        if inside and (radius <= 0.25 or near):
            kinds[n, row, column] = "positive"
            truth = rectangle(x, y, x + w, y + h)
            found = rectangle(cx - sides[0], cy - sides[1], cx + sides[2], cy + sides[3])
            iou = truth.intersection(found).area / truth.union(found).area
            left, top, right, bottom = truth.union(found).bounds
            hull = (right - left) * (bottom - top)
            positives.append(_focal(logit, iou))
            overlaps.append(iou)
            regression.append(1 - iou + (hull - truth.union(found).area) / hull)
            count += 1
        elif radius > 1:
            kinds[n, row, column] = "background"
            background.append(_focal(logit, 0.0))
    wrong = [_focal(value, 0.0) for n, k in np.ndindex(N, K) if VALID[n, k] for value in others[n, k].ravel()]
    ranking = []
    for n in range(N):
        if (kinds[n] == "positive").any():
            powers = np.exp(response[n, 0])
            owned = powers[kinds[n] == "positive"].sum()
            foreign = sum(np.exp(others[n, k]).sum() for k in range(K) if VALID[n, k])
            ranking.append(-math.log(owned / (owned + powers[kinds[n] == "background"].sum() + foreign)))
    return {
        "positive": sum(positives) / count,
        "negative": sum(background) / count + sum(wrong) / (count * K),
        "ranking": float(np.mean(ranking)),
        "giou": float(np.mean(regression)),
        "iou": float(np.mean(overlaps)),
    }


def test_box_loss_is_that_of_a_plain_loop() -> None:
    response, others = _response(5), _others()
    expected = _plain_box_loss(response.numpy(), others.numpy())
    found = {name: float(value) for name, value in _box_loss(response, others).items()}
    total = found.pop("loss")
    assert found == pytest.approx(expected)
    parts = 2 * (expected["positive"] + expected["negative"]) + 0.5 * expected["ranking"] + expected["giou"]
    assert total == pytest.approx(parts)


def _box_loss(response: torch.Tensor, others: torch.Tensor, valid: torch.Tensor = VALID) -> dict[str, torch.Tensor]:
    return box_loss(response, torch.tensor(BOXES), others, valid, STRIDE, SIZE)


def _perfect(channels: int, positive: torch.Tensor, height: float) -> torch.Tensor:
    response = torch.zeros(N, channels, CELLS, CELLS, dtype=torch.float64)
    response[:, 0] = torch.where(positive, height, -height)
    return response


def test_a_perfect_response_costs_nothing() -> None:
    centres = cell_centres(CELLS, STRIDE, SIZE).double()
    x, y, w, h = (torch.tensor(BOXES)[:, k, None, None] for k in range(4))
    across, down = centres[None, None, :] - x, centres[None, :, None] - y
    near = (across / w - 0.5) ** 2 + (down / h - 0.5) ** 2 <= 0.25
    response = _perfect(5, near, 30.0)
    response[:, 1:] = torch.stack(torch.broadcast_tensors(across, down, w - across, h - down), 1)
    found = _box_loss(response, torch.full((N, K, CELLS, CELLS), -30.0, dtype=torch.float64))
    assert float(found["loss"]) < 1e-6
    assert float(found["iou"]) == pytest.approx(1)


def test_a_perfect_siamfc_response_costs_nothing() -> None:
    centres = cell_centres(CELLS, STRIDE, SIZE).double()
    middle = torch.tensor(BOXES[:, :2] + BOXES[:, 2:] / 2)
    distance = (centres[None, None, :] - middle[:, 0, None, None]).abs()
    distance = distance + (centres[None, :, None] - middle[:, 1, None, None]).abs()
    response = _perfect(1, distance <= 16, 30.0)
    others = torch.full((N, K, CELLS, CELLS), -30.0, dtype=torch.float64)
    assert float(logistic_loss(response, torch.tensor(BOXES), others, VALID, STRIDE, SIZE)["loss"]) < 1e-6


def test_logistic_loss_is_that_of_a_plain_loop() -> None:
    response, others = _response(1), _others()
    positives, negatives, ranking = [], [], []
    for n in range(N):
        x, y, w, h = BOXES[n]
        owned = against = 0.0
        for row, column in np.ndindex(CELLS, CELLS):
            logit = float(response[n, 0, row, column])
            cx, cy = SIZE / 2 + (column - CELLS // 2) * STRIDE, SIZE / 2 + (row - CELLS // 2) * STRIDE
            if abs(cx - x - w / 2) + abs(cy - y - h / 2) <= 16:
                positives.append(_entropy(logit, 1.0))
                owned += math.exp(logit)
            else:
                negatives.append(_entropy(logit, 0.0))
                against += math.exp(logit)
        against += sum(float(others[n, k].exp().sum()) for k in range(K) if VALID[n, k])
        ranking.append(-math.log(owned / (owned + against)))
    wrong = [_entropy(float(v), 0.0) for n, k in np.ndindex(N, K) if VALID[n, k] for v in others[n, k].flatten()]
    found = logistic_loss(response, torch.tensor(BOXES), others, VALID, STRIDE, SIZE)
    assert float(found["positive"]) == pytest.approx(np.mean(positives))
    assert float(found["negative"]) == pytest.approx((np.mean(negatives) + np.mean(wrong)) / 2)
    assert float(found["ranking"]) == pytest.approx(np.mean(ranking))
    expected = np.mean(positives) / 2 + (np.mean(negatives) + np.mean(wrong)) / 4 + np.mean(ranking) / 2
    assert float(found["loss"]) == pytest.approx(expected)


def test_logistic_loss_measures_the_boxes_of_its_positive_cells() -> None:
    response, others = _response(5), _others()
    overlaps, regression = [], []
    for n, row, column in np.ndindex(N, CELLS, CELLS):
        x, y, w, h = BOXES[n]
        cx, cy = SIZE / 2 + (column - CELLS // 2) * STRIDE, SIZE / 2 + (row - CELLS // 2) * STRIDE
        if abs(cx - x - w / 2) + abs(cy - y - h / 2) <= 16 and x < cx < x + w and y < cy < y + h:
            sides = response[n, 1:, row, column].tolist()
            truth = rectangle(x, y, x + w, y + h)
            found = rectangle(cx - sides[0], cy - sides[1], cx + sides[2], cy + sides[3])
            left, top, right, bottom = truth.union(found).bounds
            hull = (right - left) * (bottom - top)
            overlaps.append(truth.intersection(found).area / truth.union(found).area)
            regression.append(1 - overlaps[-1] + (hull - truth.union(found).area) / hull)
    found = logistic_loss(response, torch.tensor(BOXES), others, VALID, STRIDE, SIZE)
    plainly = logistic_loss(response[:, :1], torch.tensor(BOXES), others, VALID, STRIDE, SIZE)
    assert float(found["giou"]) == pytest.approx(np.mean(regression))
    assert float(found["iou"]) == pytest.approx(np.mean(overlaps))
    assert float(found["loss"]) == pytest.approx(float(plainly["loss"]) + np.mean(regression))


@pytest.mark.parametrize("loss", [box_loss, logistic_loss])
def test_exemplars_that_may_show_the_same_object_do_not_count(loss: object) -> None:
    assert callable(loss)
    response, others, changed = _response(5), _others(), _others()
    changed[~VALID] = 50.0
    boxes = torch.tensor(BOXES)
    losses = [loss(response, boxes, negative, VALID, STRIDE, SIZE)["loss"] for negative in (others, changed)]
    assert torch.equal(*losses)
    none = loss(response, boxes, changed, torch.zeros_like(VALID), STRIDE, SIZE)["loss"]
    assert torch.isfinite(none)


@pytest.mark.parametrize("loss", [box_loss, logistic_loss])
def test_gradients_are_finite_where_a_target_has_no_cell(loss: object) -> None:
    assert callable(loss)
    boxes = torch.tensor(BOXES).clone()
    boxes[0] = torch.tensor([500.0, 500.0, 20.0, 20.0])
    response, others = _response(5).requires_grad_(), _others().requires_grad_()
    loss(response, boxes, others, VALID, STRIDE, SIZE)["loss"].backward()
    for tensor in (response, others):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()


def test_the_gradient_of_the_boxes_is_that_of_small_steps() -> None:
    target = torch.tensor([[5.0, 8, 12, 3], [20, 4, 9, 9]], dtype=torch.float64)
    distances = (target * torch.tensor([[0.7, 1.2, 1.1, 2.0]])).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: giou(d, target), [distances])


def test_the_gradient_of_the_ranking_is_that_of_small_steps() -> None:
    positive = torch.zeros(N, CELLS, CELLS, dtype=torch.bool)
    positive[:, 2, 3] = True
    logits, others = _response(1)[:, 0].requires_grad_(), _others().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: ranking_loss(a, positive, ~positive, b), [logits, others])


@pytest.mark.parametrize("loss", [box_loss, logistic_loss])
def test_a_step_against_the_gradient_lowers_the_loss(loss: object) -> None:
    assert callable(loss)
    response, others = _response(5).requires_grad_(), _others().requires_grad_()
    before = loss(response, torch.tensor(BOXES), others, VALID, STRIDE, SIZE)["loss"]
    steps = torch.autograd.grad(before, [response, others])
    moved = [tensor.detach() - 0.1 * step for tensor, step in zip((response, others), steps, strict=True)]
    assert loss(moved[0], torch.tensor(BOXES), moved[1], VALID, STRIDE, SIZE)["loss"] < before


def _embeddings(count: int, n: int = 6, dimensions: int = 3) -> list[torch.Tensor]:
    rng = np.random.default_rng(count)
    return [torch.tensor(rng.normal(size=(n, dimensions)), requires_grad=True) for _ in range(count)]


def _detached(count: int) -> list[torch.Tensor]:
    return [each.detach() for each in _embeddings(count)]


ALIKE = torch.tensor([True, False, True, False, False, True])


@pytest.mark.parametrize("margin", [0.5, 2.0])
def test_contrastive_loss_is_that_of_a_plain_loop(margin: float) -> None:
    first, second = _detached(2)
    total = 0.0
    for a, b, same in zip(first.tolist(), second.tolist(), ALIKE.tolist(), strict=True):
        apart = math.dist(a, b)
        total += 0.5 * apart**2 if same else 0.5 * max(0.0, margin - apart) ** 2
    assert float(contrastive_loss(first, second, ALIKE, margin)) == pytest.approx(total / 6)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("margin", [0.2, 3.0, None])
def test_triplet_loss_is_that_of_a_plain_loop(margin: float | None, squared: bool) -> None:
    triplets = _detached(3)
    total, power = 0.0, 2 if squared else 1
    for a, p, n in zip(*(each.tolist() for each in triplets), strict=True):
        violation = math.dist(a, p) ** power - math.dist(a, n) ** power
        total += math.log(1 + math.exp(violation)) if margin is None else max(0.0, violation + margin)
    assert float(triplet_loss(*triplets, margin=margin, squared=squared)) == pytest.approx(total / 6)


def test_verification_loss_is_that_of_a_plain_loop() -> None:
    (first, second), weight, bias = _detached(2), torch.tensor([0.5, -2.0, 1.0]).double(), torch.tensor(0.3).double()
    total = 0.0
    for a, b, same in zip(first.tolist(), second.tolist(), ALIKE.tolist(), strict=True):
        p = _sigmoid(sum(w * abs(x - y) for w, x, y in zip(weight.tolist(), a, b, strict=True)) + 0.3)
        total -= math.log(p if same else 1 - p)
    logits = weighted_l1(first, second, weight, bias)
    assert float(verification_loss(logits, ALIKE)) == pytest.approx(total / 6)
    decayed = verification_loss(logits, ALIKE, [weight, bias], decay=0.1)
    assert float(decayed) == pytest.approx(total / 6 + 0.1 * (0.5**2 + 2**2 + 1 + 0.3**2))


def test_softmax_loss_is_that_of_a_plain_loop() -> None:
    (embeddings,), labels = _detached(1), torch.tensor([0, 1, 1, 0, 1, 0])
    weight, bias = torch.tensor([[1.0, 0.0, -1.0], [0.2, 0.4, 0.8]]).double(), torch.tensor([0.1, -0.3]).double()
    total = 0.0
    for row, label in zip(embeddings.tolist(), labels.tolist(), strict=True):
        scores = [sum(w * x for w, x in zip(weight[c].tolist(), row, strict=True)) + float(bias[c]) for c in (0, 1)]
        total -= math.log(math.exp(scores[label]) / sum(map(math.exp, scores)))
    assert float(softmax_loss(embeddings, labels, weight, bias)) == pytest.approx(total / 6)


def test_nca_loss_is_that_of_a_plain_loop() -> None:
    (embeddings,), labels = _detached(1), [0, 1, 1, 0, 1, 2]  # the last one has no other of its class
    rows, total = embeddings.tolist(), 0.0
    for i in range(5):
        weight = {k: math.exp(-(math.dist(rows[i], rows[k]) ** 2)) for k in range(6) if k != i}
        total -= math.log(sum(w for k, w in weight.items() if labels[k] == labels[i]) / sum(weight.values()))
    assert float(nca_loss(embeddings, torch.tensor(labels))) == pytest.approx(total / 5)
    assert float(nca_loss(embeddings, torch.arange(6))) == 0, "nothing to learn from"


def test_nca_of_two_a_class_is_supervised_contrastive() -> None:
    """Of vectors of length 1, at the temperature 1/16 (Khosla et al. 2020, equation 2)."""
    unit = torch.nn.functional.normalize(_detached(1)[0])
    logits = 16 * unit @ unit.T
    total = 0.0
    for i, partner in enumerate((1, 0, 3, 2, 5, 4)):
        others = [float(logits[i, k]) for k in range(6) if k != i]
        total += math.log(sum(map(math.exp, others))) - float(logits[i, partner])
    assert float(nca_loss(unit * NCA_SCALE, torch.tensor([0, 0, 1, 1, 2, 2]))) == pytest.approx(total / 6)


def test_distances_are_euclidean() -> None:
    first, second = _detached(2)
    expected = [math.dist(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    assert distance(first, second).tolist() == pytest.approx(expected)
    assert distance(first, second, squared=True).tolist() == pytest.approx([d * d for d in expected])


def test_gradients_of_the_embeddings_losses_are_those_of_small_steps() -> None:
    first, second, third = _embeddings(3)
    weight, bias = torch.randn(3, dtype=torch.float64, requires_grad=True), torch.zeros((), dtype=torch.float64)
    check = torch.autograd.gradcheck
    assert check(lambda a, b: contrastive_loss(a, b, ALIKE, 2.0), (first, second))
    for margin, squared in ((1.0, True), (1.0, False), (None, True), (None, False)):
        assert check(lambda *t, m=margin, s=squared: triplet_loss(*t, margin=m, squared=s), (first, second, third))
    assert check(
        lambda a, b, w: verification_loss(weighted_l1(a, b, w, bias), ALIKE, [w], 0.01), (first, second, weight)
    )
    classes = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 3, 1, 2, 2, 0])
    assert check(lambda e: nca_loss(e, labels % 2), (first,))
    assert check(lambda e, w: softmax_loss(e, labels, w, e.new_zeros(4)), (first, classes))


def test_equal_embeddings_have_finite_gradients() -> None:
    same = torch.ones(4, 3, requires_grad=True)
    different = torch.zeros(4, dtype=torch.bool)
    loss = contrastive_loss(same, same.detach().clone(), different)
    loss = loss + triplet_loss(same, same.detach(), same.detach(), squared=False)
    loss = loss + nca_loss(same, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()


@settings(deadline=None)
@given(st.floats(0.1, 5), st.floats(0, 5))
def test_pairs_beyond_the_margin_and_triplets_in_order_cost_nothing(margin: float, more: float) -> None:
    origin = torch.zeros(1, 2, dtype=torch.float64)
    far = torch.tensor([[margin + more + 1e-9, 0.0]], dtype=torch.float64)
    assert float(contrastive_loss(origin, far, torch.tensor([False]), margin)) == 0
    assert float(contrastive_loss(origin, origin, torch.tensor([True]), margin)) == 0
    assert float(triplet_loss(origin, origin, far, margin=margin, squared=False)) == 0
