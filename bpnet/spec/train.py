"""What a training spec says. Class names are the file's ``__class_name__`` tags."""

from dataclasses import dataclass

from bpnet.spec.dataloader import BpNetDataloader
from bpnet.spec.network import BpNetLiteModel, BpNetModel, BpNetPafFirstModel
from bpnet.spec.optimizer import (
    AdamWOptimizer,
    BpNetLoss,
    MuonOptimizer,
    WeightedMomentumOptimizer,
)
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
        "Steps between TensorBoard images; 0: one set at every validation.", default=0, minimum=0
    )
    validation_every_n_epoch: int = setting(
        "Epochs between validations: the loss on val_records_path, and the average precision on "
        "the dataset spec's test_data.",
        default=5,
        minimum=1,
    )
    early_stopping_patience: int = setting(
        "Validations without a better one after which the training ends; 0: never.",
        default=0,
        minimum=0,
    )
    max_ckpt_to_keep: int = setting(
        "Checkpoints kept; older ones are deleted.", default=100, minimum=1
    )
    random_seed: int = setting(
        "Seed of weights, order and augmentation.", default=42, minimum=0, maximum=2**32 - 1
    )
    deterministic: bool = setting(
        "Only operations that give the same bits each time; slower on GPUs.", default=False
    )
    use_xla: bool = setting(
        "Compile the network's forward and backward pass with XLA: faster on some GPUs, slower on "
        "CPUs; no effect on several devices.",
        default=False,
    )
    gradient_accumulation_steps: int = setting(
        "Batches whose gradients make one step, where memory is short of a larger batch; batch "
        "norms still see one batch at a time.",
        default=1,
        minimum=1,
    )
    clip_gradient_norm: float = setting(
        "Greatest length of a step's gradient, all weights together; 0: any.",
        default=0.0,
        minimum=0.0,
    )
    ema_decay: float = setting(
        "Decay of the weights' moving average, such as 0.999, which is then what is validated and "
        "saved; it looks back over at most a ninth of the steps so far. 0: no average.",
        default=0.0,
        minimum=0.0,
        maximum=0.99999,
    )
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
    model: BpNetLiteModel | BpNetModel | BpNetPafFirstModel = setting(
        "The network.", factory=BpNetLiteModel
    )
    optimizer: WeightedMomentumOptimizer | AdamWOptimizer | MuonOptimizer = setting(
        "The optimizer.", factory=WeightedMomentumOptimizer
    )
    loss: BpNetLoss = setting("The loss.", factory=BpNetLoss)
