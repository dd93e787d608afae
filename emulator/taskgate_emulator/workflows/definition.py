"""The definition of a workflow: the files of its zip, and the calls that a run of it makes.

The language follows from the suffix of the main file: `.wdl`, `.nf` or `.cwl`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, Protocol, cast

__all__ = ["MAX_CALLS", "Definition", "DefinitionError", "PlannedCall", "open_definition"]

_ENGINES = {".wdl": "WDL", ".nf": "NEXTFLOW", ".cwl": "CWL"}
_MAX_BYTES = 64 * 2**20
"""The maximum unpacked size; zips come from clients and are read into memory."""

MAX_CALLS = 100_000
"""The maximum number of tasks of a run; AWS publishes none, but the emulator's memory has one."""
_MODULES = {"CWL": "cwl", "NEXTFLOW": "nextflow", "WDL": "wdl", "WDL_LENIENT": "wdl"}


class _Language(Protocol):
    """The module of a workflow language."""

    def plan(self, definition: Definition, parameters: Mapping[str, Any]) -> list[PlannedCall]: ...

    def template(self, definition: Definition) -> dict[str, Any]: ...


class DefinitionError(Exception):
    """The definition cannot be run; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """The files of a workflow."""

    engine: str
    """`WDL`, `WDL_LENIENT`, `NEXTFLOW` or `CWL`."""
    main: str
    """The path of the main file."""
    files: Mapping[str, str]
    """Path to text; binary files are omitted."""

    @property
    def text(self) -> str:
        """The text of the main file."""
        return self.files[self.main]

    def plan_calls(self, parameters: Mapping[str, Any]) -> list[PlannedCall]:
        """Return the calls that a run makes, each after those that it depends on.

        Args:
            parameters: of the run.

        Raises:
            DefinitionError: the definition or the parameters do not allow a run.
        """
        with self._boundary():
            return self._language().plan(self, parameters)

    def parameter_template(self) -> dict[str, Any]:
        """Return the parameter template that follows from the definition.

        Raises:
            DefinitionError: the definition cannot be read.
        """
        with self._boundary():
            return self._language().template(self)

    @contextmanager
    def _boundary(self) -> Iterator[None]:
        """Turn any error of a reader, or of the library that it uses, into a DefinitionError."""
        try:
            yield
        except DefinitionError:
            raise
        except RecursionError as error:
            raise DefinitionError(f"{self.main} is nested too deeply") from error
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            raise DefinitionError(f"{self.main} cannot be read: {cause}") from error

    def _language(self) -> _Language:
        # The modules load WDL and YAML libraries, which most starts of the emulator do not need.
        module = _MODULES[self.engine]
        return cast(_Language, import_module(f"taskgate_emulator.workflows.{module}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """A call of a task in the plan of a run."""

    name: str
    cpus: int = 1
    memory: int = 1
    """GiB."""
    gpus: int = 0
    image: str | None = None
    after: Sequence[int] = ()
    """The positions, in the plan, of the calls that must be COMPLETED first."""
    estimates: Sequence[str] = ()
    """What is assumed, since only running the workflow shows it."""
    content: str = ""
    """The task's source and inputs, which determine its result."""

    def digest(self) -> str:
        """Return the key of the call's result in a run cache."""
        parts = (self.name, self.cpus, self.memory, self.gpus, self.image, self.content)
        return sha256(repr(parts).encode()).hexdigest()[:32]


def open_definition(content: bytes, engine: str | None, main: str | None) -> Definition:
    """Open a zip.

    Args:
        content: the zip.
        engine: the language, if known.
        main: the path of the main file, if known.

    Raises:
        DefinitionError: it is not a zip, or the main file or language is ambiguous.
    """
    files = _files(content)
    path = main or _find_main(files, engine)
    if path not in files:
        raise DefinitionError(f"The definition has no file {path}")
    language = engine or _ENGINES.get(PurePosixPath(path).suffix)
    if language is None:
        raise DefinitionError(f"The language of {path} is unknown; set engine")
    return Definition(engine=language, main=path, files=files)


def _files(content: bytes) -> dict[str, str]:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > _MAX_BYTES:
                raise DefinitionError("The definition unpacks to too many bytes")
            read = {entry.filename.removeprefix("./"): archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DefinitionError("The definition is not a zip that can be read") from error
    texts = {}
    for path, data in read.items():
        try:
            texts[path] = data.decode()
        except UnicodeDecodeError:
            continue  # a binary file, such as an image
    return texts


def _find_main(files: Mapping[str, str], engine: str | None) -> str:
    """Return the only definition file nearest to the root of the zip, or else the one named main.

    https://docs.aws.amazon.com/omics/latest/dev/workflow-defn-packaging.html
    """
    suffixes = {suffix for suffix, name in _ENGINES.items() if engine is None or name in engine}
    known = [path for path in map(PurePosixPath, files) if path.suffix in suffixes]
    matching = [path for path in known if not _is_hidden(path)]
    depth = min((len(path.parts) for path in matching), default=0)
    nearest = [path for path in matching if len(path.parts) == depth]
    if len({path.suffix for path in matching}) == 1:
        for candidates in (nearest, [path for path in nearest if path.stem == "main"]):
            if len(candidates) == 1:
                return str(candidates[0])
    raise DefinitionError("The main file of the definition is ambiguous; give its path as main")


def _is_hidden(path: PurePosixPath) -> bool:
    """Return whether a file is one of those that macOS adds to zips, or hidden."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)
