"""The training loop against one written by hand, for the same network and the same epochs."""

import time
from statistics import median

import pytest
import torch
from torch import nn

from llmpso.data.images.image_set import LabelledImages
from llmpso.data.images.textures import load_textures
from llmpso.objectives.cnn import LABEL_SMOOTHING, TUNABLES, CNNObjective
from llmpso.objectives.torch_threads import limit_threads

PARAMS = {"layers": 3, "filters": 16, "kernel": 3, "augmentation": 0.0}
PARAMS |= {"learning_rate": 0.003, "weight_decay": 0.01, "dropout": 0.0}
EPOCHS, BATCH, REPEATS = 4, 64, 7


class HandWritten(nn.Module):
    """The network of `PARAMS`, with nothing around it."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for n_inputs, pooled in ((1, True), (16, True), (16, False)):
            parts += [nn.Conv2d(n_inputs, 16, 3, padding=1, bias=False)]
            parts += [*([nn.MaxPool2d(2)] if pooled else []), nn.BatchNorm2d(16)]
            parts += [nn.ReLU(inplace=True)]
        self.body, self.head = nn.Sequential(*parts), nn.Linear(16, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).mean(dim=(2, 3)))


def by_hand(train: tuple, validation: tuple, test: tuple) -> None:
    """A minimal loop over floats that are scaled already, and the figures of an evaluation."""
    (images, labels), network = train, HandWritten().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003, fused=True)
    for _ in range(EPOCHS):
        network.train()
        for indices in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(
                network(images[indices]), labels[indices], label_smoothing=LABEL_SMOOTHING
            )
            loss.backward()
            optimizer.step()
        share_wrong(network, validation)
    share_wrong(network, test)


def share_wrong(network: nn.Module, part: tuple) -> float:
    network.eval()
    with torch.inference_mode():
        return (network(part[0]).argmax(dim=1) != part[1]).float().mean().item()


def scaled(part: LabelledImages) -> tuple[torch.Tensor, torch.Tensor]:
    floats = torch.from_numpy(part.pixels).permute(0, 3, 1, 2).float()
    return (floats - 110.0) / 50.0, torch.from_numpy(part.labels)


def seconds(run, *arguments, **options) -> float:
    """CPU time of this thread: what else runs on the machine counts little."""
    begin = time.thread_time()
    run(*arguments, **options)
    return time.thread_time() - begin


@pytest.mark.slow
def test_a_cnn_trains_about_as_fast_as_in_a_loop_by_hand(capsys):
    before = torch.get_num_threads()
    limit_threads(1)
    images = load_textures()
    objective = CNNObjective(
        images,
        max_epochs=EPOCHS,
        batch_size=BATCH,
        device="cpu",
        space=TUNABLES.named("wide"),
    )
    parts = scaled(images.train), scaled(images.validation), scaled(images.test)
    ratios = []
    for _ in range(REPEATS):
        theirs = seconds(by_hand, *parts)
        ratios.append(theirs / seconds(objective.evaluate, PARAMS, fidelity=1.0, seed=0))
    limit_threads(before)
    with capsys.disabled():
        print(f"\nspeed of the CNN's training, of a loop by hand: {median(ratios):.0%}")
    assert median(ratios) > 0.8
