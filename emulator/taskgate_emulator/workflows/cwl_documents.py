"""CWL documents in the zip of a workflow, loaded and validated by cwl-utils.

A process is identified by the URI of its file and, in a packed document, its id: `file#id`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any
from urllib.parse import urldefrag, urljoin

from cwl_utils.parser import load_document_by_yaml
from ruamel.yaml.error import MarkedYAMLError
from schema_salad.exceptions import ValidationException
from schema_salad.fetcher import Fetcher
from schema_salad.runtime import LoadingOptions
from schema_salad.utils import yaml_no_ts

from taskgate_emulator.workflows.definition import Definition, DefinitionError

__all__ = ["Documents", "fragment"]

_ROOT = "file:///"


class Documents:
    """The processes of a definition.

    Args:
        definition: that has the files.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._processes: dict[str, Any] = {}

    def main(self) -> Any:
        """Return the process `main` of the main file, or its only workflow or process.

        Raises:
            DefinitionError: the file is invalid or has no such process.
        """
        document = self._parsed(self._definition.main)
        uri = _ROOT + self._definition.main
        if "$graph" not in document:
            return self.process(uri)
        nodes = {fragment(f"{node['id']}"): node for node in document["$graph"]}
        workflows = [name for name, node in nodes.items() if node.get("class") == "Workflow"]
        if "main" in nodes:
            return self.process(f"{uri}#main")
        if len(workflows) != 1:
            raise DefinitionError(f"{self._definition.main} has no process named main")
        return self.process(f"{uri}#{workflows[0]}")

    def process(self, uri: str) -> Any:
        """Return the process with a URI.

        Raises:
            DefinitionError: it is missing or invalid.
        """
        if uri not in self._processes:
            self._processes[uri] = self._loaded(uri)
        return self._processes[uri]

    def _loaded(self, uri: str) -> Any:
        base, name = urldefrag(uri)
        path = base.removeprefix(_ROOT)
        # Loading changes the document, so each process has its own.
        document = self._parsed(path)
        if "$graph" in document and not any(
            fragment(f"{node['id']}") == name for node in document["$graph"]
        ):
            raise DefinitionError(f"{path} has no process {name}")
        options = LoadingOptions(
            fetcher=_ZipFetcher(self._definition.files), fileuri=base, no_link_check=True
        )
        try:
            return load_document_by_yaml(document, base, options, name or None)
        except ValidationException as error:
            folder = posixpath.relpath("/", posixpath.abspath("."))  # how errors name the root
            message = f"{error}".replace(f"{folder}/", "")
            raise DefinitionError(message) from error

    def _parsed(self, path: str) -> Any:
        if path not in self._definition.files:
            raise DefinitionError(f"The definition has no file {path}")
        try:
            document = yaml_no_ts().load(self._definition.files[path])
        except MarkedYAMLError as error:
            raise DefinitionError(f"{path} is not YAML: {error}") from error
        if not isinstance(document, Mapping):
            raise DefinitionError(f"{path} is not CWL")
        graph = document.get("$graph", [])
        if not isinstance(graph, list) or not all(
            isinstance(node, Mapping) and "id" in node for node in graph
        ):
            raise DefinitionError(f"{path}: $graph is not a list of processes with ids")
        return document


def fragment(uri: str) -> str:
    """Return what follows the `#` of a URI, or all of it if there is none."""
    return uri.rpartition("#")[2]


class _ZipFetcher(Fetcher):
    """Fetches `$import` and `$include` from the zip; a definition has no other source."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:  # noqa: ARG002 the interface's
        path = urldefrag(url).url.removeprefix(_ROOT)
        if path not in self._files:
            raise ValidationException(f"The definition has no file {path}")
        return self._files[path]

    def check_exists(self, url: str) -> bool:
        return urldefrag(url).url.removeprefix(_ROOT) in self._files

    def urljoin(self, base_url: str, url: str) -> str:
        return urljoin(base_url, url)
