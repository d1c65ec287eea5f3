"""Tuning the network that classifies images."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from llmpso.data.images.image_set import ImageSet, LabelledImages, Labels
from llmpso.objectives.averaged import AveragedModel, single_or_averaged
from llmpso.objectives.classification_records import (
    class_confusion,
    classifier_records,
    macro_f1,
)
from llmpso.objectives.classifier import Classifier
from llmpso.objectives.cnn_network import (
    CNNArchitecture,
    CNNetwork,
    augment,
    classify,
)
from llmpso.objectives.dataset import Dataset
from llmpso.objectives.held_out import HeldOut
from llmpso.objectives.image_baselines import image_baselines
from llmpso.objectives.network import NO_LIMITS, FitProblem, NetworkLimits, NetworkObjective
from llmpso.objectives.training import FitResult, FitSettings, check_positive
from llmpso.objectives.tunables import Tunables, per_layer
from llmpso.space import Dimension, Float, Floats, Integer, Ordinal, Params, SearchSpace
from llmpso.trial import Evaluation

CODE_VERSION = 2
"""Raise it whenever the same parameters would give another value."""

MAX_IMAGES = 2048
"""Training images per epoch (others each time), so that a large set costs no more than minutes."""

LABEL_SMOOTHING = 0.1
"""Share of a label that is spread over all classes (Szegedy et al. 2016)."""

_LAYERS, _FILTERS = Integer(1, 6), Integer(4, 64, log=True)
_PAPER: dict[str, Dimension] = {"layers": _LAYERS, "filters": _FILTERS}
_TRAINING: dict[str, Dimension] = {
    "learning_rate": Float(1e-4, 3e-2, log=True),
    "dropout": Float(0.0, 0.5),
}
_STANDARD = _PAPER | _TRAINING
_WIDE: dict[str, Dimension] = _STANDARD | {
    "kernel": Ordinal((3, 5, 7)),
    "weight_decay": Float(1e-5, 1e-1, log=True),
    "augmentation": Float(0.0, 1.0),
}

TUNABLES = Tunables(
    spaces={
        "paper": SearchSpace(_PAPER),
        "standard": SearchSpace(_STANDARD),
        "wide": SearchSpace(_WIDE),
        "layers": SearchSpace(
            {"layers": _LAYERS, **per_layer("filters", _FILTERS, 6), **_TRAINING}
        ),
    },
    width="filters",
    fixed={
        "learning_rate": 0.01,
        "dropout": 0.0,
        "kernel": 3,
        "weight_decay": 0.01,
        "augmentation": 0.5,
    },
)


class CNNObjective(NetworkObjective[CNNetwork]):
    """Validation error of a convolutional classifier, by its hyperparameters."""

    def __init__(
        self,
        images: ImageSet,
        *,
        max_epochs: int = 20,
        batch_size: int = 32,
        device: str = "auto",
        space: SearchSpace | None = None,
        limits: NetworkLimits = NO_LIMITS,
        goals: Sequence[str] = (),
    ) -> None:
        """Put the images on the device, once for all evaluations.

        Args:
            images: The data.
            max_epochs: Epochs at fidelity 1.
            batch_size: Images per step.
            device: `auto`, `cpu` or `cuda`.
            space: What may be tried; it must name layers and filters, or filters_1 and so on, and
                may name all else in the space `wide`. By default the space `standard`.
            limits: How large and how slow a network may be.
            goals: What is lowered beside the error: `latency_ms`, `parameters`.

        Raises:
            SpecError: An option is out of range.
        """
        super().__init__(TUNABLES, space, max_epochs, device, limits, goals)
        check_positive("batch_size", batch_size)
        self.images, self.batch_size = images, batch_size
        values = torch.from_numpy(images.train.pixels).double()
        self._mean = values.mean(dim=(0, 1, 2)).tolist()
        self._deviation = values.std(dim=(0, 1, 2)).clamp(min=1.0).tolist()
        self._train = self._on_device(images.train)
        self._validation = self._on_device(images.validation)
        self._test = self._on_device(images.test)

    @property
    def name(self) -> str:
        """Short name, fit for a registered model."""
        return f"cnn-{self.images.name}"

    @property
    def metric(self) -> str:
        """Name and unit of the value."""
        return "validation error (share of images)"

    @property
    def description(self) -> str:
        """The task, the size of the data and the training, in three sentences."""
        images, (height, width, channels) = self.images, self.images.shape
        number = "the same" if "filters" in self.space else "its own"
        return (
            f"A convolutional network tells {', '.join(images.class_names)} apart: "
            f"{images.description}. Each layer of it is a convolution with {number} "
            "number of filters, pooling, batch normalisation and ReLU; the last is averaged, "
            f"thinned by dropout and read by a linear layer. Adam minimises cross-entropy on "
            f"{len(images.train):,} images of {width} × {height} pixels and {channels} "
            f"channel{'s' if channels > 1 else ''} in batches of {self.batch_size} for "
            f"{self.max_epochs} epochs, in which the learning rate rises to its value and falls "
            f"to 0; the best epoch counts, by {len(images.validation):,} validation images."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, decided or changed when the images were read."""
        return self.images.notes

    @property
    def fingerprint(self) -> str:
        """Hash of all that a value depends on besides parameters, fidelity and seed."""
        settings = {
            "code": CODE_VERSION,
            "data": self.images.fingerprint,
            "fixed": self._fixed,
            "max_epochs": self.max_epochs,
            "batch_size": self.batch_size,
            "device": self.device.type,
        } | self._decisive
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def describe_data(self) -> Dataset:
        """The images, and how they are split."""
        split = {part: len(images) for part, images in self.images.parts()}
        return Dataset(
            name=self.images.name,
            source=self.images.source,
            digest=self.images.fingerprint,
            n_rows=sum(split.values()),
            shape=self.images.shape,
            dtype=str(self.images.train.pixels.dtype),
            split=split,
        )

    def baselines(self) -> dict[str, dict[str, float]]:
        """Accuracy of the most frequent class and of a linear model of the pixels."""
        return image_baselines(self.images)

    def read_model(self, directory: Path) -> Classifier | AveragedModel:
        """Read back what `Classifier.save` wrote, or an average of such.

        Raises:
            DataError: The directory holds no such model, or a damaged one.
        """
        return single_or_averaged(directory, Classifier.load)

    def validated(self, model: Any) -> tuple[Floats, Labels]:
        """A model's probabilities of the classes of the validation images, and their labels."""
        images, names = self.images.validation, list(self.images.class_names)
        return np.asarray(model.predict(images.pixels)[names], dtype=np.float64), images.labels

    def held_out(self, model: Any) -> HeldOut:
        """Which test images a model gets wrong: 1 for each of them, 0 for the others."""
        guesses = np.asarray(model.predict(self.images.test.pixels).idxmax(axis=1))
        truth = np.array(self.images.class_names)[self.images.test.labels]
        return HeldOut((guesses != truth).astype(np.float64))

    def records(self, model: Any) -> dict[str, dict[str, Any]]:
        """Confusion matrix and surest mistakes of a model on the test images."""
        return classifier_records(self.images, model)

    def _network(self, chosen: Params, generator: torch.Generator) -> CNNetwork:
        network = self._empty(chosen)
        network.initialise(generator, self._mean, self._deviation)
        return network

    def _empty(self, chosen: Params) -> CNNetwork:
        height, width, channels = self.images.shape
        return CNNetwork(
            CNNArchitecture(
                side=min(height, width),
                channels=channels,
                classes=len(self.images.class_names),
                layers=chosen["layers"],
                filters=self._tunables.widths(chosen),
                kernel=chosen["kernel"],
                dropout=chosen["dropout"],
            )
        )

    def _example(self, chosen: Params) -> Tensor:
        return self._validation[0][:1].cpu()

    def _fit_problem(
        self, network: CNNetwork, chosen: Params, generator: torch.Generator
    ) -> FitProblem:
        (pixels, labels), strength = self._train, chosen["augmentation"]

        def batch_loss(indices: Tensor) -> Tensor:
            logits = network(augment(pixels, indices, strength, generator), generator)
            return nn.functional.cross_entropy(
                logits, labels[indices], label_smoothing=LABEL_SMOOTHING
            )

        settings = FitSettings(
            learning_rate=chosen["learning_rate"],
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            max_samples=MAX_IMAGES,
            weight_decay=chosen["weight_decay"],
            # Towards the end of the cycle the error falls again: nothing is to end before.
            patience=self.max_epochs,
            cycle_epochs=self.max_epochs,
        )
        return FitProblem(
            batch_loss,
            lambda: _error(self._guesses(network, self._validation), self._validation[1]),
            len(labels),
            settings,
        )

    def _curves(self, result: FitResult) -> dict[str, tuple[float, ...]]:
        return {
            "train_loss": tuple(result.train_losses),
            "validation_error": tuple(result.validation_errors),
        }

    def _measured(self, network: CNNetwork, chosen: Params, result: FitResult) -> Evaluation:
        names = list(self.images.class_names)
        confusion: dict[str, Any] = {
            "rows": "true class",
            "columns": "predicted class",
            "classes": names,
        }
        metrics: dict[str, float] = {}
        for part, images in (("validation", self._validation), ("test", self._test)):
            guesses, labels = self._guesses(network, images), images[1]
            metrics[f"{part}_accuracy"] = 1 - _error(guesses, labels)
            metrics[f"{part}_f1"] = macro_f1(labels.cpu().numpy(), guesses.cpu().numpy(), names)
            confusion[part] = class_confusion(labels.cpu().numpy(), guesses.cpu().numpy(), names)
        model = Classifier(network.cpu(), self.images.class_names, self.images.shape)
        artifacts = {"confusion.json": confusion}
        return Evaluation(result.best_error, metrics, model=model, artifacts=artifacts)

    def _guesses(self, network: CNNetwork, images: tuple[Tensor, Tensor]) -> Tensor:
        """The likeliest class of each image, shape (n_images,)."""
        return classify(network, images[0]).argmax(dim=1)

    def _on_device(self, images: LabelledImages) -> tuple[Tensor, Tensor]:
        """Pixels as bytes, a quarter of what floats would take, and labels."""
        pixels, labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
        return pixels.to(self.device), labels.to(self.device)


def _error(guesses: Tensor, labels: Tensor) -> float:
    """Share of images whose class is guessed wrongly."""
    return int((guesses != labels).sum()) / len(labels)
