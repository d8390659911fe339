"""What is trained when little is said, and what is refused."""

from __future__ import annotations

import argparse
import dataclasses

import pytest

from learning.embedding import EmbeddingRecipe
from learning.embedding_arguments import add_data_arguments, add_recipe_arguments, card_of, recipe_of
from learning.glyphs import glyph_parts

DATA = glyph_parts(5, 4, 2, 16)


def _options(dataset: str, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_data_arguments(parser)
    add_recipe_arguments(parser)
    return parser.parse_args([dataset, "--data", "somewhere", *more])


def _recipe(loss: str, dataset: str = "mnist", *more: str, classes: int = 10) -> EmbeddingRecipe:
    return recipe_of(loss, _options(dataset, *more), classes)


def test_defaults_suit_the_loss_and_the_data() -> None:
    assert _recipe("triplet").margin is None
    assert _recipe("triplet").mining == "semi-hard", "from random weights batch-hard collapses in the plane"
    assert _recipe("contrastive").margin == 1
    assert _recipe("bce").mining == "random"
    assert _recipe("bce").weight_decay < _recipe("triplet").weight_decay
    assert (_recipe("triplet").classes, _recipe("triplet").images) == (10, 12)
    assert (_recipe("triplet", "orl").classes, _recipe("triplet", "orl").images) == (10, 4), "as many as there are"
    assert _recipe("triplet", "omniglot", classes=964).batch_size == 120
    assert _recipe("triplet", "omniglot").augment == "strong"
    assert _recipe("triplet", "lfw").augment == "photo"
    assert _recipe("triplet").average == _recipe("nca", "mnist").average == 0


def test_characters_are_learned_by_nca_as_was_found_best() -> None:
    """Only what was not said is filled in, and only for this loss."""
    card, recipe = card_of("nca", _options("omniglot"), DATA), _recipe("nca", "omniglot", classes=964)
    assert (card.network, card.dimensions, card.normalise, card.views) == ("embeddingnet_fine", 128, True, "all")
    assert (recipe.classes, recipe.images, recipe.multiplied, recipe.margin) == (120, 2, "all", 1.0)
    assert (card.framing, recipe.augment, recipe.average) == ("ink", "framed", 0.1)
    assert _recipe("nca", "omniglot", "--average", "0", classes=964).average == 0
    assert _recipe("nca", "omniglot", "--augment", "none", classes=964).augment == "none"
    assert card_of("softmax", _options("omniglot"), DATA).framing == "whole"
    more = _options("omniglot", "--views", "one", "--multiplied", "one", "--dimensions", "9", "--grouped", "0")
    card, recipe = card_of("nca", more, DATA), recipe_of("nca", more, 964)
    assert (card.views, card.dimensions, recipe.multiplied, recipe.grouped) == ("one", 9, "one", 0)
    assert card_of("bce", _options("omniglot"), DATA).views == "one"


def test_what_is_given_is_taken() -> None:
    more = [
        "--batch-size",
        "60",
        "--per-class",
        "6",
        "--lr",
        "0.1",
        "--margin",
        "0.2",
        "--squared",
        "--weight-decay",
        "0",
        "--average",
        "0.5",
    ]
    recipe = _recipe("triplet", "mnist", *more, "--epochs", "7", "--mining", "all", "--seed", "3", "--augment", "none")
    expected = EmbeddingRecipe("triplet", "all", 10, 6, 7, 0.1, 0.0, 0.2, True, "none", seed=3, average=0.5)
    assert dataclasses.replace(recipe, precision="bf16") == expected
    assert _recipe("triplet", "mnist", "--precision", "fp32").precision == "fp32"
    assert _recipe("triplet", "mnist", "--margin", "soft").margin is None


def test_digits_are_drawn_in_the_plane_and_all_else_is_wide() -> None:
    assert card_of("triplet", _options("mnist"), DATA).dimensions == 2
    assert card_of("bce", _options("mnist"), DATA).dimensions == 64
    assert card_of("triplet", _options("orl", "--dimensions", "9"), DATA).dimensions == 9
    assert card_of("softmax", _options("omniglot", "--multiplied", "turned"), DATA).classes == 20
    assert card_of("triplet", _options("omniglot"), DATA).invert, "drawings are ink on paper"
    assert card_of("triplet", _options("mnist"), DATA).classes == 0, "no head"


@pytest.mark.parametrize(("loss", "more"), [("contrastive", ["--margin", "soft"]), ("triplet", ["--batch-size", "25"])])
def test_what_does_not_go_together_is_refused(loss: str, more: list[str]) -> None:
    with pytest.raises(ValueError, match=r"soft margin|not a multiple"):
        _recipe(loss, "mnist", *more)


@pytest.mark.parametrize("more", [["--margin", "-1"], ["--margin", "wide"], ["--epochs", "0"], ["--mining", "best"]])
def test_wrong_values_end_with_2(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        _options("mnist", *more)
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err
