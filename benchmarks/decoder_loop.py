"""The obvious loop: transformers' model with PEFT's LoRA, plain autograd, one client after the other.

Run as a process (`loops.serve`). A client loads the LoRA of the round from a folder in PEFT's form. Each batch runs the
whole model and all its logits. Texts, batches and the optimiser's settings are those of the experiment's first round.
"""

from pathlib import Path

import numpy as np
import torch
from loops import arguments_of_a_loop, serve
from peft import PeftModel

from fedlab.common.prepared_cache import cache_folder
from fedlab.common.seeds import generator
from fedlab.config.file import load_experiment
from fedlab.data.tokens import IGNORED_LABEL
from fedlab.training.activation_store import ActivationStore
from fedlab.training.bundle import bundle_for, open_bundle, pretrained_of
from fedlab.training.local import LocalTraining, batch_rows, learning_rates


class DecoderLoop:
    """One transformers model, to which each client adds the LoRA of `start`, and from which it takes it off again."""

    def __init__(self, experiment_file: Path, settings: list[str], start: Path) -> None:
        experiment = load_experiment(experiment_file, settings)
        scratch = cache_folder() / "benchmark"
        self.bench = open_bundle(bundle_for(experiment, scratch), ActivationStore(folder=scratch, budget_bytes=0))
        self.settings = LocalTraining(**experiment.client.options)
        self.model = pretrained_of(experiment).model.float()
        self.model.set_attn_implementation("sdpa")  # what transformers uses where it is not asked for another
        self.start = start

    def train_client(self, partition_id: int) -> float:
        """Train the LoRA on one client's examples; return the mean loss of its batches."""
        model, loss = self.trained(partition_id)
        self.model = model.unload()
        return loss

    def trained(self, partition_id: int) -> tuple[PeftModel, float]:
        """Return the model that a client has trained, and the mean loss of its batches."""
        settings, rows = self.settings, np.asarray(self.bench.partitions[partition_id])
        batches = batch_rows(len(rows), settings, generator(self.bench.seed, "batches", 1, partition_id))
        model = PeftModel.from_pretrained(self.model, self.start, is_trainable=True)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        losses = []
        for step, batch in enumerate(batches):
            ids, mask, labels = self._inputs(rows[batch])
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
            optimizer.param_groups[0]["lr"] = float(learning_rates(settings, step, torch.tensor([len(batches)])))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            optimizer.step()
            losses.append(loss.item())
        return model, sum(losses) / len(losses)

    def _inputs(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ids, mask and labels as transformers wants them: the label of a token is the token itself."""
        tokens = self.bench.tokens("train")
        lengths = torch.from_numpy(tokens.lengths[rows]).long()
        longest = int(lengths.max())
        ids = torch.from_numpy(tokens.input_ids[rows, :longest]).long()
        following = torch.from_numpy(np.asarray(tokens.labels[rows])).long()[:, :longest]
        labels = torch.full_like(ids, IGNORED_LABEL)
        labels[:, 1:] = following[:, :-1]
        return ids, (torch.arange(longest) < lengths[:, None]).long(), labels


def main() -> None:
    """Serve measurements: for each line of input, print the seconds."""
    parser = arguments_of_a_loop()
    parser.add_argument("--start", type=Path, required=True, help="the folder of the LoRA that clients begin with")
    serve(parser.parse_args(), lambda given: DecoderLoop(given.experiment, given.settings, given.start))


if __name__ == "__main__":
    main()
