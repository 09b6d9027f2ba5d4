"""Plain sentences for what pydantic finds wrong, so that its own wording reaches nobody."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from brats_ml.near_names import did_you_mean, question

Location = tuple[int | str, ...]
# The last part of the location of an error in a key itself.
IN_KEY = "[key]"
REASONS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a section of keys and values",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_type": "must be a whole number",
    "invalid_key": "must be text: put the key in quotes",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "missing": "the key is missing",
    "model_attributes_type": "must be a section of keys and values",
    "model_type": "must be a section of keys and values",
    "string_pattern_mismatch": "must be a name of small letters, digits and underscores that starts with a letter",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "too_long": "must have at most {max_length} values",
    "too_short": "must have at least {min_length} value(s)",
    "tuple_type": "must be a list",
    "union_tag_not_found": "the key is missing",
}
# Where the context of an error has the values that are allowed.
CHOICES = {"literal_error": "expected", "union_tag_invalid": "expected_tags"}
LONGEST = 60


def explain(error: ValidationError, model: type[BaseModel], document: Any) -> tuple[str, str]:
    """Return the dotted key that is wrong, empty for the whole document, and a clause that says what is wrong with it.

    Of the errors about one value, such as those of each type that a list may have, the one deepest in the document
    counts.

    Args:
        error: The error of a validation.
        model: The model that refused the document.
        document: What was validated.
    """
    located = [(_path(document, details), details) for details in error.errors(include_url=False)]
    first, _ = located[0]
    about = [(path, details) for path, details in located if path[: len(first)] == first]
    deepest = max((path for path, _ in about), key=len)
    found = [details for path, details in about if path == deepest]
    reasons = list(dict.fromkeys(_reason(details) for details in found))
    reason = reasons[0] + "".join(f" or {other.removeprefix('must be ')}" for other in reasons[1:])
    return ".".join(map(str, deepest)), reason + _found(found[0]) + _near(found[0], model)


def _path(document: Any, details: ErrorDetails) -> Location:
    """Return the keys and positions of an error in the document, without pydantic's names of types in between."""
    path: list[int | str] = []
    value = document
    for part in details["loc"]:
        inside = part in value if isinstance(value, Mapping) else isinstance(value, list) and isinstance(part, int)
        if inside:
            path.append(part)
            value = value[part]
    if details["type"] == "missing":
        path.append(details["loc"][-1])
    if details["type"].startswith("union_tag"):
        path.append(details["ctx"]["discriminator"].strip("'"))
    return tuple(path)


def _reason(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden" or (kind == "literal_error" and _is_in_key(details)):
        return "unknown key"
    if kind in CHOICES:
        *others, last = _choices(details)
        return f"must be {', '.join(others)} or {last}" if others else f"must be {last}"
    return REASONS.get(kind, "is not valid").format(**context)


def _found(details: ErrorDetails) -> str:
    """Return the value that was found, unless the sentence names it already or it is a whole section."""
    value = details["ctx"]["tag"] if details["type"] == "union_tag_invalid" else details["input"]
    if isinstance(value, Mapping) or details["type"] in ("extra_forbidden", "missing") or _is_in_key(details):
        return ""
    return f", found {_shown(value)}"


def _near(details: ErrorDetails, model: type[BaseModel]) -> str:
    kind, location = details["type"], details["loc"]
    if kind == "extra_forbidden":
        return did_you_mean(location[-1], _known_keys(model, location[:-1]))
    if kind not in CHOICES:
        return ""
    typed = details["ctx"].get("tag", details["input"])
    # The sentence of a wrong value lists the choices itself.
    return (did_you_mean if _is_in_key(details) else question)(typed, _choices(details))


def _is_in_key(details: ErrorDetails) -> bool:
    return details["loc"][-1:] == (IN_KEY,)


def _choices(details: ErrorDetails) -> list[str]:
    """Return the values that pydantic lists as `'a', 'b' or 'c'`."""
    return re.split(", | or ", details["ctx"][CHOICES[details["type"]]].replace("'", ""))


def _shown(value: object) -> str:
    """Return a value as YAML has it, shortened."""
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _known_keys(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the keys of the section at a location of pydantic's, which names the type of a union after its key."""
    types: list[Any] = [model]
    for part in location:
        types = [found for kind in types for found in _below(kind, part)]
    return [
        str(field.alias or name)
        for kind in types
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name, field in kind.model_fields.items()
    ]


def _below(kind: Any, part: int | str) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        if part in fields:
            yield from _members(fields[str(part)])
        elif part == kind.__name__ or any(part in get_args(field) for field in fields.values() if _is_choice(field)):
            yield kind
    elif get_origin(kind) in (dict, list):
        yield from _members(get_args(kind)[-1])


def _is_choice(annotation: Any) -> bool:
    return get_origin(annotation) is Literal


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation allows."""
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (dict, list) or not get_args(annotation):
        yield annotation
    else:
        for member in get_args(annotation):
            yield from _members(member)
