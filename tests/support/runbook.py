"""The commands of a document with what it shows them to say: read, run, compared, written anew."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_BLOCK = re.compile(
    r"^```sh\n(?P<script>.*?)^```\n(?:\n^```(?P<kind>json|text)\n(?P<shown>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
_METHOD = re.compile(r"(clicktrace\.[a-z.0-9]+\.[A-Z]\w+)/([A-Z]\w+)\s*$")
_MOST = 2


@dataclass(frozen=True, slots=True)
class Example:
    """One block of commands, and the output that stands below it."""

    section: str
    script: str
    kind: str
    """How the output is shown: "json" or "text"; empty if none is."""
    shown: str
    start: int
    """Where the output stands in the document."""
    end: int

    @property
    def response(self) -> Any:
        """An empty message of the type that the last call of the block returns; None if that is no call of ours."""
        match = _METHOD.search(self.script.strip())
        if match is None:
            return None
        service = descriptor_pool.Default().FindServiceByName(match[1])
        return message_factory.GetMessageClass(service.methods_by_name[match[2]].output_type)()


def examples(document: str) -> Iterator[Example]:
    """Yields the examples of a document in their order."""
    titles = [(match.start(), match[1]) for match in _SECTION.finditer(document)]
    for match in _BLOCK.finditer(document):
        section = [title for start, title in titles if start < match.start()][-1]
        kind, shown = match["kind"] or "", match["shown"] or ""
        start, end = match.span("shown") if kind else (match.end(), match.end())
        yield Example(section, match["script"], kind, shown, start, end)


def faults(example: Example, said: str) -> Sequence[str]:
    """Returns how an output differs from what is shown in more than its values."""
    if example.kind == "text":
        shown, here = _words(example.shown), _words(said)
        return [] if shown == here else [f"shows {shown}", f"but says {here}"]
    if example.kind != "json":
        return []
    try:
        shown_json, said_json = json.loads(example.shown), json.loads(said)
        if (response := example.response) is not None:
            # Strict: a field or a value that the contract does not know is an error.
            json_format.ParseDict(shown_json, response)
    except (ValueError, json_format.ParseError) as error:
        return [str(error)]
    return [f"{path} is shown and did not come" for path in sorted(_containers(shown_json) - _containers(said_json))]


def rewritten(document: str, outputs: Mapping[int, str]) -> str:
    """Returns a document with the outputs of its examples, by their number, put into it."""
    for number, example in reversed(list(enumerate(examples(document)))):
        if example.kind and number in outputs:
            document = document[: example.start] + _shortened(example, outputs[number]) + document[example.end :]
    return document


def _words(text: str) -> Sequence[str]:
    """Returns the first word of each line, with what differs in each run made the same."""
    first = [line.split()[0] for line in text.splitlines() if line.strip()]
    return [re.sub(r"[0-9a-f]*\d[0-9a-f]*", "#", word) for word in first]


def _containers(value: Any, path: str = "") -> set[str]:
    """Returns the paths of all objects and lists that hold something; scalars that are zero are left out by gRPC."""
    if isinstance(value, dict):
        return {path}.union(*(_containers(inner, f"{path}.{name}") for name, inner in value.items()))
    if isinstance(value, list):
        return {f"{path}[]"}.union(*(_containers(inner, f"{path}[]") for inner in value))
    return set()


def _shortened(example: Example, said: str) -> str:
    if example.kind == "text":
        return "".join(f"{line.rstrip()}\n" for line in said.strip("\n").splitlines())
    return json.dumps(_cut(json.loads(said)), indent=2, ensure_ascii=False) + "\n"


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _cut(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cut(inner) for inner in value[:_MOST]]
    return value
