"""The naive loop: the adapters library's model, plain autograd, one client after the other.

Run as a process: it prints a line when it is ready; for each line of input it trains and prints the seconds.
"""

from pathlib import Path

import numpy as np
import torch
from library_model import library_model
from loops import arguments_of_a_loop, serve

from fedlab.common.prepared_cache import cache_folder
from fedlab.config.file import load_experiment
from fedlab.models.peft.bottleneck import Bottleneck, initial_arrays
from fedlab.training.activation_store import ActivationStore
from fedlab.training.bundle import bundle_for, open_bundle, pretrained_of
from fedlab.training.local import LocalTraining, batch_rows


class Loop:
    """One model of a depth, trained on one client after another with textbook SGD."""

    def __init__(self, experiment_file: Path, settings: list[str], depth: int, *, autocast: bool = False) -> None:
        experiment = load_experiment(experiment_file, settings)
        scratch = cache_folder() / "benchmark"
        store = ActivationStore(folder=scratch, budget_bytes=0)
        self.bench = open_bundle(bundle_for(experiment, scratch), store)
        shape = self.bench.network.encoder.shape
        trained = Bottleneck(depth=depth, width=8)
        self.start = initial_arrays(
            trained,
            blocks=shape.blocks,
            hidden=shape.hidden,
            labels=len(self.bench.label_names),
            generator=np.random.default_rng(0),
        )
        self.model = library_model(
            pretrained_of(experiment).model,
            self.start,
            trained,
            kind=self.bench.network.kind,
            label_names=self.bench.label_names,
            pooling=self.bench.network.pooling,
        )
        self.model.train_adapter("fedlab")
        self.model.eval()  # no dropout, as everywhere in these measurements
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def train_client(self, partition_id: int) -> int:
        """Train on one client's examples for an epoch; return the number of batches."""
        settings, tokens = LocalTraining(), self.bench.tokens("train")
        rows = np.asarray(self.bench.partitions[partition_id])
        batches = batch_rows(len(rows), settings, np.random.default_rng(partition_id))
        optimizer = torch.optim.SGD(self.trained, lr=settings.learning_rate)
        for batch in batches:
            picked = rows[batch]
            ids = torch.from_numpy(tokens.input_ids[picked]).long()
            mask = torch.arange(ids.shape[1]) < torch.from_numpy(tokens.lengths[picked]).long()[:, None]
            output = self.model(ids, attention_mask=mask.long(), labels=torch.from_numpy(tokens.labels[picked]))
            optimizer.zero_grad()
            output.loss.backward()
            torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
            optimizer.step()
        return len(batches)


def main() -> None:
    """Serve measurements: for each line of input, print the seconds."""
    parser = arguments_of_a_loop()
    parser.add_argument("--depth", type=int, required=True)
    serve(parser.parse_args(), lambda given: Loop(given.experiment, given.settings, given.depth))


if __name__ == "__main__":
    main()
