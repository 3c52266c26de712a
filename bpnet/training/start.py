"""What a training starts from: fresh weights, another model's, or a checkpoint."""

import logging
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from bpnet.errors import ModelError, SpecError
from bpnet.files import HDF5_SUFFIXES
from bpnet.model.files import find_model, load_model
from bpnet.model.graph import copy_network, without_wrapper
from bpnet.model.network import build_network
from bpnet.model.outputs import stages_of
from bpnet.model.pretrained import load_backbone_weights
from bpnet.model.weights import copy_weights_by_name, load_weights_by_name
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.train import BpNetTrainer
from bpnet.training.checkpoints import (
    Checkpoint,
    TrainingState,
    checkpoint_of,
    newest_checkpoint,
    restore_state,
    restore_weights,
)
from bpnet.training.devices import Devices
from bpnet.training.optimizer import build_optimizer, leaf_layers
from bpnet.training.precision import LossScale, in_precision

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where a training finds itself when the command is given.

    Attributes:
        model: Model file of the checkpoint that it goes on from; None: it begins.
        state: The checkpoint that the file belongs to; None where its state is not there.
        resumed: Whether the checkpoint is this training's own.
    """

    model: Path | None
    state: Checkpoint | None
    resumed: bool


def find_start(spec: BpNetTrainer, results_dir: Path) -> Start:
    """The newest checkpoint of the results folder, else the one to finetune, else nothing.

    Raises:
        SpecError: ``finetuning_config`` names no checkpoint.
        ModelError: It names one that does not exist.
    """
    newest = newest_checkpoint(results_dir)
    if newest is not None:
        return Start(newest.model, newest, resumed=True)
    finetuning = spec.finetuning_config
    if not finetuning.is_finetune_exp:
        if finetuning.checkpoint_path:
            logger.warning(
                "finetuning_config.checkpoint_path has no effect: is_finetune_exp is false"
            )
        return Start(None, None, resumed=False)
    if not finetuning.checkpoint_path:
        raise SpecError(
            "finetuning_config.is_finetune_exp is true but checkpoint_path is empty; "
            "name a model.epoch-N.keras"
        )
    path = find_model(Path(finetuning.checkpoint_path))
    return Start(path, checkpoint_of(path), resumed=False)


def start_state(
    spec: BpNetTrainer,
    start: Start,
    *,
    skeleton: Skeleton,
    steps_per_epoch: int,
    precision: str,
    devices: Devices,
    key: str | None,
) -> TrainingState:
    """Network, optimizer and counters as the training's first step needs them."""
    with devices.strategy.scope():
        model = build_or_load(spec, start.model, skeleton=skeleton, key=key)
        model = in_precision(model, precision)
        state = TrainingState(
            model,
            build_optimizer(spec.optimizer, model, stagewise=spec.use_stagewise_lr_multipliers),
            tf.Variable(0, dtype=tf.int64, trainable=False),
            averaged=copy_network(model) if spec.ema_decay else None,
            loss_scale=LossScale() if precision == "mixed_float16" else None,
        )
    if start.model is None:
        _take_first_weights(state.model, spec, key=key)
        if state.averaged is not None:
            state.averaged.set_weights(state.model.get_weights())
        return state
    restore_weights(state, start.model, key=key)
    if start.resumed:
        assert start.state is not None
        restore_state(state, start.state, only_if_fits=False)
        logger.info("Going on from %s, step %d", start.model, int(state.step.numpy()))
        _keep_place(state, start, steps_per_epoch)
        return state
    epoch = spec.finetuning_config.ckpt_epoch_num
    if start.state is None or not restore_state(state, start.state, only_if_fits=True):
        why = "no state stands beside it" if start.state is None else "its state does not fit"
        logger.warning(
            "%s: %s: its weights are taken, the optimizer starts afresh", start.model, why
        )
        state.step.assign(epoch * steps_per_epoch)
    state.elapsed = 0.0
    state.origin_step = int(state.step.numpy())
    state.origin_epoch = epoch
    logger.info("Finetuning %s from step %d, epoch %d", start.model, state.origin_step, epoch)
    return state


def _take_first_weights(model: keras.Model, spec: BpNetTrainer, *, key: str | None) -> None:
    """Weights of other models that the spec names, for a training that begins.

    Raises:
        ModelError: One of them cannot be used.
    """
    if spec.pretrained_weights and spec.model.weights_path:
        logger.warning("model.weights_path has no effect: pretrained_weights comes before it")
    if spec.load_graph:
        return
    backbone = spec.model.backbone_attributes
    if backbone.weights:
        load_backbone_weights(model, backbone, spec.dataloader.normalization_params)
    weights = spec.pretrained_weights or spec.model.weights_path
    if weights:
        take_weights(model, Path(weights), key=key)


def _keep_place(state: TrainingState, start: Start, steps_per_epoch: int) -> None:
    """Keep the epoch, not the step, where another batch size or data set makes other epochs."""
    assert start.state is not None
    before = int(start.state.facts["steps_per_epoch"])
    if before == steps_per_epoch:
        return
    done = int(state.step.numpy()) - state.origin_step
    step = state.origin_step + done * steps_per_epoch // before
    logger.warning(
        "an epoch had %d steps and now has %d: step %d becomes step %d",
        before,
        steps_per_epoch,
        int(state.step.numpy()),
        step,
    )
    state.step.assign(step)


def build_or_load(
    spec: BpNetTrainer, resumed: Path | None, *, skeleton: Skeleton, key: str | None
) -> keras.Model:
    """The network that the spec describes or, with ``load_graph``, that a model file holds.

    Args:
        spec: The training spec.
        resumed: Model file of the checkpoint to go on from, if any: it holds the loaded graph.
        skeleton: What the network's maps must fit.
        key: Of an encrypted model file.

    Raises:
        SpecError: ``load_graph`` is set and no model file is named.
        ModelError: The model file cannot be used.
    """
    if not spec.load_graph:
        return build_network(spec.model, seed=spec.random_seed)
    if not resumed and not spec.pretrained_weights:
        raise SpecError("load_graph is true but pretrained_weights names no model file")
    path = resumed or Path(spec.pretrained_weights or "")
    return _load_graph(path, skeleton=skeleton, key=key, warn=resumed is None)


def take_weights(model: keras.Model, path: Path, *, key: str | None) -> None:
    """Copy the weights of the layers that a model file and ``model`` have in common, by name.

    Raises:
        ModelError: The file cannot be read, or no layer of it fits.
    """
    found = find_model(path)
    if found.suffix in HDF5_SUFFIXES:
        report = load_weights_by_name(model, found)
    else:
        source, _ = load_model(found, key=key)
        report = copy_weights_by_name(source, model)
    logger.info("%s: taken over: %s", found, ", ".join(report.loaded))
    if report.missing:
        logger.warning(
            "%s has nothing for %d layers, which start afresh: %s",
            found,
            len(report.missing),
            ", ".join(report.missing),
        )


def _load_graph(path: Path, *, skeleton: Skeleton, key: str | None, warn: bool) -> keras.Model:
    """The network of a model file, without regularisers, as TAO retrains pruned networks."""
    model, _ = load_model(path, key=key)
    model = without_wrapper(model)
    check_channels(model, path, skeleton)
    if drop_regularizers(model) and warn:
        logger.warning(
            "load_graph: the regularisers of %s are dropped, so that pruned layers "
            "are not pulled to zero again",
            path,
        )
    return model


def check_channels(model: keras.Model, path: Path, skeleton: Skeleton) -> None:
    """See that a network's maps are those of ``skeleton``.

    Raises:
        ModelError: The network from the file ``path`` draws other ones.
    """
    channels = [output.shape[-1] for output in model.outputs]
    stages = stages_of(model)
    expected = [skeleton.heatmap_channels] * len(stages.heatmaps)
    expected += [skeleton.paf_channels] * len(stages.pafs)
    if channels != expected or not channels:
        raise ModelError(
            f"{path}: its outputs have {channels} channels, but the skeleton {skeleton.name} "
            f"needs {expected}: heatmaps of every stage, then PAFs"
        )


def drop_regularizers(model: keras.Model) -> int:
    """Take the regularisers off every layer; returns of how many weights."""
    dropped = 0
    for layer in leaf_layers(model):
        for weight in ("kernel", "bias"):
            name = f"{weight}_regularizer"
            if getattr(layer, name, None) is not None:
                setattr(layer, name, None)
                getattr(layer, weight).regularizer = None
                dropped += 1
    return dropped
