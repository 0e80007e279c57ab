"""FedAvg of clients that train in int8: what is sent and returned are mantissas, and the server averages floats.

Source: the code of IntFL-TMC (github yuanjinliang1/IntFL-TMC) and "Towards Energy-efficient Federated Learning via
INT8-based Training on Mobile DSPs" (WWW 2024), whose abstract alone was to be had.
"""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid

from fedlab.messages.integer_arrays import EXPONENTS, dequantised_arrays, quantised_arrays
from fedlab.messages.npy import views_of
from fedlab.messages.pack import to_record
from fedlab.messages.updates import MODELS_ONLY, Update
from strategies.fedavg import FedAvg

if TYPE_CHECKING:
    from fedlab.common.arrays import Arrays


class Int8FedAvg(FedAvg):
    """FedAvg whose orders and replies are int8 mantissas with exponents; a weight's exponent holds for its round."""

    takes = MODELS_ONLY
    _model: "Arrays"
    _quantised: "Arrays"
    _sent_floats: "Arrays | None" = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask this round's cohort to train the global model, quantised."""
        self._model = views_of(arrays)
        self._quantised, self._sent_floats = quantised_arrays(self._model), None
        messages = super().configure_train(server_round, to_record(self._quantised), config, grid)
        self._sent = self._model
        return messages

    def _read(self, update: Update) -> Update:
        """Return a client's mantissas as a model of floats; its own exponents are not read: they cannot change."""
        returned = dequantised_arrays(update.arrays, self._quantised[EXPONENTS])
        return replace(update, arrays=self._as_model(returned))

    @abstractmethod
    def _as_model(self, returned: "Arrays") -> "Arrays":
        """Return the model that is averaged for what a client returned."""


class QFedAvg(Int8FedAvg):
    """Q-FedAvg: average what clients return. Changes below a level of int8 are erased when it is sent again."""

    def _as_model(self, returned: "Arrays") -> "Arrays":
        return returned


class QFedUpdate(Int8FedAvg):
    """Q-FedUpdate: the server's model is of floats, and moves by the mean of the clients' differences to what was sent.

    So changes below a level of int8 add up over rounds.
    """

    def _as_model(self, returned: "Arrays") -> "Arrays":
        sent = self._dequantised()
        return {name: self._model[name] + (array - sent[name]) for name, array in returned.items()}

    def _dequantised(self) -> "Arrays":
        """Return what was sent this round as floats, which all replies are compared with."""
        if self._sent_floats is None:
            self._sent_floats = dequantised_arrays(self._quantised, self._quantised[EXPONENTS])
        return self._sent_floats
