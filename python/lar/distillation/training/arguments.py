"""Our options as the arguments of transformers' Trainer."""

import math
from pathlib import Path

import torch
from transformers import TrainingArguments

from lar.distillation.options import AdaptOptions
from lar.distillation.training.reporting import integrations
from lar.errors import OptionError
from lar.utils.processes import count


def steps_of(options: AdaptOptions, rows: int) -> int:
    """The optimizer steps of `options.epochs` passes over packed rows.

    Each pass begins with a new step; its last one may be short.
    """
    of_each_process = math.ceil(rows / count())
    return math.ceil(options.epochs * math.ceil(of_each_process / options.gradient_accumulation))


def training_arguments(
    options: AdaptOptions, folder: Path, rows: int, device: torch.device
) -> TrainingArguments:
    """The Trainer's arguments for a run over `rows` packed rows, with its checkpoints in `folder`.

    Raises:
        OptionError: an option that the Trainer refuses.
    """
    steps = options.max_steps or steps_of(options, rows)
    try:
        arguments = TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=1,  # a row of the data is a packed batch already
            gradient_accumulation_steps=options.gradient_accumulation,
            learning_rate=options.learning_rate,
            lr_scheduler_type=options.scheduler,
            warmup_steps=math.ceil(steps * options.warmup_ratio),
            max_grad_norm=options.max_grad_norm,
            max_steps=steps,
            seed=options.seed,
            save_steps=options.save_steps,
            save_total_limit=2,
            logging_steps=options.logging_steps,
            report_to=integrations(options.report_to),
            use_cpu=device.type == "cpu",
            dataloader_pin_memory=device.type == "cuda",
            ddp_find_unused_parameters=False,  # each batch's loss depends on each parameter
            disable_tqdm=True,
            remove_unused_columns=False,
            label_names=["labels"],
        )
    except ValueError as error:
        raise OptionError(str(error).splitlines()[0]) from error
    _ = arguments.device
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs are for accelerate, not for DataParallel
    return arguments
