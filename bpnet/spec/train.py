"""What a training spec says. Class names are the file's ``__class_name__`` tags."""

from dataclasses import dataclass

from bpnet.spec.dataloader import BpNetDataloader
from bpnet.spec.network import BpNetLiteModel, BpNetModel
from bpnet.spec.optimizer import AdamWOptimizer, BpNetLoss, WeightedMomentumOptimizer
from bpnet.spec.settings import setting


@dataclass(frozen=True)
class FinetuningConfig:
    """Going on from another run's checkpoint."""

    is_finetune_exp: bool = setting("Start from checkpoint_path.", default=False)
    checkpoint_path: str | None = setting("Checkpoint to start from.", default=None)
    ckpt_epoch_num: int = setting("Epochs that checkpoint has had.", default=0, minimum=0)


@dataclass(frozen=True)
class BpNetTrainer:
    """``bpnet_train_*.yaml``."""

    checkpoint_dir: str | None = setting(
        "Where results go, unless -r says otherwise.", default=None
    )
    log_every_n_secs: float = setting(
        "Seconds between log lines where there is no terminal for a progress bar.",
        default=30,
        minimum=0,
    )
    checkpoint_n_epoch: int = setting("Epochs between checkpoints.", default=5, minimum=1)
    num_epoch: int = setting("Epochs.", default=100, minimum=1)
    summary_every_n_steps: int = setting(
        "Steps between TensorBoard scalars.", default=20, minimum=1
    )
    infrequent_summary_every_n_steps: int = setting(
        "TAO's rarer summaries.", default=0, no_effect="TAO never used it either"
    )
    validation_every_n_epoch: int = setting(
        "Epochs between validations on the dataset spec's test_data.", default=5, minimum=1
    )
    max_ckpt_to_keep: int = setting(
        "Checkpoints kept; older ones are deleted.", default=100, minimum=1
    )
    random_seed: int = setting("Seed of weights, order and augmentation.", default=42)
    pretrained_weights: str | None = setting(
        "Model whose weights are copied by layer name.", default=None
    )
    load_graph: bool = setting(
        "Take the network, not only its weights, from pretrained_weights (pruned models).",
        default=False,
    )
    finetuning_config: FinetuningConfig = setting(
        "Going on from another run.", factory=FinetuningConfig
    )
    use_stagewise_lr_multipliers: bool = setting(
        "Refinement stages learn at 4 times the rate, biases at twice theirs.", default=True
    )
    evaluator: str | None = setting(
        "TAO's evaluator.", default=None, no_effect="TAO never used it either"
    )
    inference_spec: str | None = setting(
        "Inference spec of the validations; null: images padded to image_dims.", default=None
    )
    key: str | None = setting(
        "Key of encrypted models; -k and --key_file are safer.", default=None, secret=True
    )
    final_model_name: str = setting("Name of the final model file.", default="bpnet_model")
    hooks: list[str] | None = setting("TAO's hooks.", default=None, no_effect="there are none")
    dataloader: BpNetDataloader = setting("Batches.")
    model: BpNetLiteModel | BpNetModel = setting("The network.", factory=BpNetLiteModel)
    optimizer: WeightedMomentumOptimizer | AdamWOptimizer = setting(
        "The optimizer.", factory=WeightedMomentumOptimizer
    )
    loss: BpNetLoss = setting("The loss.", factory=BpNetLoss)
