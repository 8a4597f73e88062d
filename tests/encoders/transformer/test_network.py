"""Pooling takes the states of one sentence each, and the head follows."""

from pathlib import Path

import pytest
import small_models
import torch
from torch import Tensor

from bitextmine.checkpoints.description import Description, describe
from bitextmine.encoders.transformer.batches import Groups
from bitextmine.encoders.transformer.network import Network

DIM = 32
IDS = torch.arange(1, 12)
GROUPS: Groups = ((2, 4), (3, 1))


class Echo:
    """A backbone whose states are the ids themselves."""

    dim = DIM
    vocabulary = 1000
    static = True

    def __call__(self, ids: Tensor, groups: Groups) -> Tensor:
        assert all(length for _, length in groups)
        return ids[:, None].float().expand(-1, DIM)

    def compile(self, tokens: int) -> None:
        self.compiled = tokens


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Description:
    root = tmp_path_factory.mktemp("ein 'Netz'")
    return describe(small_models.plain_mean(small_models.bert(root / "base"), root / "mean"))


def test_every_sentence_is_pooled_by_itself(described: Description) -> None:
    vectors = Network(Echo(), described, "cpu")(IDS, GROUPS)
    assert vectors.shape == (5, DIM)
    assert vectors[:, 0].tolist() == [2.5, 6.5, 9, 10, 11]


def test_padding_behind_the_sentences_is_not_pooled(described: Description) -> None:
    network = Network(Echo(), described, "cpu")
    padded = torch.cat([IDS, torch.full((9,), 1000)])
    assert torch.equal(network(padded, GROUPS), network(IDS, GROUPS))


def test_tokens_of_the_prompt_are_left_out(described: Description) -> None:
    vectors = Network(Echo(), described, "cpu", skip=2)(IDS, GROUPS)
    assert vectors[:, 0].tolist() == [3.5, 7.5, 0, 0, 0]


@pytest.mark.parametrize("groups", [(*GROUPS, (2, 0)), ((2, 0),)])
def test_a_sentence_without_tokens_gets_zeros(described: Description, groups: Groups) -> None:
    ids = IDS if len(groups) > 1 else IDS[:0]
    vectors = Network(Echo(), described, "cpu")(ids, groups)
    assert vectors[-2:].count_nonzero() == 0
    assert len(vectors) == sum(sentences for sentences, _ in groups)


def test_the_head_comes_last(tmp_path: Path) -> None:
    folder = small_models.bge_m3(small_models.bert(tmp_path / "base"), tmp_path / "bge")
    vectors = Network(Echo(), describe(folder), "cpu")(IDS, GROUPS)
    assert vectors.norm(dim=1) == pytest.approx(torch.ones(5))


def test_it_is_compiled_as_its_backbone_is(described: Description) -> None:
    backbone = Echo()
    network = Network(backbone, described, "cpu")
    network.compile(77)
    assert (network.static, backbone.compiled) == (True, 77)
