"""Messages as a newer peer would send them: every enum field has a number that this build does not know.

The fields are found in the descriptors, so a field that is added tomorrow is covered without a change here.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

UNKNOWN = 99
"""A number that no enum of ours has."""

_TEXTS = (FieldDescriptor.CPPTYPE_STRING,)


def enum_paths(message: Descriptor, _above: tuple[Descriptor, ...] = ()) -> Iterator[tuple[FieldDescriptor, ...]]:
    """Yields the way to every enum field that a message or one within it has."""
    for field in message.fields:
        if field.enum_type:
            yield (field,)
        elif field.message_type and field.message_type not in (*_above, message) and _is_ours(field.message_type):
            for path in enum_paths(field.message_type, (*_above, message)):
                yield (field, *path)


def enum_fields(message: Descriptor) -> set[str]:
    """Returns the full names of these fields."""
    return {path[-1].full_name for path in enum_paths(message)}


def make_unknown(message: Message) -> set[str]:
    """Sets every enum field of a message, and of those within it, to 99; returns their full names."""
    changed = set()
    for field in message.DESCRIPTOR.fields:
        if field.enum_type:
            _set(message, field)
            changed.add(field.full_name)
    for field, value in message.ListFields():
        if field.message_type and _is_ours(field.message_type):
            for inner in value if field.is_repeated else [value]:
                changed |= make_unknown(inner)
    return changed


def filled(message: Any) -> Any:
    """Returns a message of a descriptor in which every field is set, also of the messages within it; enums to 99.

    Of a oneof the last field stays.
    """
    made: Any = GetMessageClass(message)()
    for field in message.fields:
        value = getattr(made, field.name)
        if field.message_type:
            inner = (
                filled(field.message_type) if _is_ours(field.message_type) else GetMessageClass(field.message_type)()
            )
            if field.is_repeated:
                value.append(inner)
            else:
                value.CopyFrom(inner)
        elif field.enum_type:
            _set(made, field)
        else:
            some: Any = "1" if field.cpp_type in _TEXTS else 1
            if field.is_repeated:
                value.append(some)
            else:
                setattr(made, field.name, some)
    return made


def with_unknown(message: Message, path: tuple[FieldDescriptor, ...]) -> str:
    """Sets one enum field to 99, and returns where it is: `proxies[0].protocol`."""
    steps = []
    inner: Any = message
    for step in path[:-1]:
        value = getattr(inner, step.name)
        inner = value.add() if step.is_repeated else value
        inner.SetInParent() if not step.is_repeated else None
        steps.append(f"{step.name}[0]" if step.is_repeated else step.name)
    _set(inner, path[-1])
    return ".".join([*steps, path[-1].name])


class Altered:
    """A servicer whose answers pass a function on their way out."""

    def __init__(self, servicer: Any, alter: Callable[[Message], None]) -> None:
        self._servicer = servicer
        self._alter = alter

    def __getattr__(self, name: str) -> Any:
        handler = getattr(self._servicer, name)

        async def unary(request: Message, context: Any) -> Message:
            answer: Message = await handler(request, context)
            self._alter(answer)
            return answer

        async def stream(request: Message, context: Any) -> Any:
            async for answer in handler(request, context):
                self._alter(answer)
                yield answer

        return stream if inspect.isasyncgenfunction(handler) else unary


def _set(message: Any, field: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).append(UNKNOWN)
    else:
        setattr(message, field.name, UNKNOWN)


def _is_ours(message: Descriptor) -> bool:
    return message.full_name.startswith(("clicktrace.", "grpc."))
