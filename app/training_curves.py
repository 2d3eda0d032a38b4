"""What TensorBoard shows of a training, for those who have it installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from live_features.errors import UserFacingError

Curve = Callable[[int, Mapping[str, float]], None]
"""Takes an epoch and the figures that belong to it, by name."""


@contextmanager
def curves(folder: Path | None) -> Iterator[Curve]:
    """A curve that is drawn into ``folder``, or nowhere.

    Raises:
        UserFacingError: TensorBoard is not installed, or the folder cannot be made.
    """
    if folder is None:
        yield lambda epoch, figures: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415
    except ImportError as error:
        raise UserFacingError(
            "TensorBoard is not installed: run 'uv sync --extra tensorboard', or leave out "
            "--tensorboard"
        ) from error
    try:
        writer = SummaryWriter(str(folder))
    except OSError as error:
        raise UserFacingError(
            f"{folder} cannot be written ({error.strerror}): name another folder"
        ) from error
    with writer:

        def draw(epoch: int, figures: Mapping[str, float]) -> None:
            for name, value in figures.items():
                writer.add_scalar(name, value, epoch)

        yield draw
