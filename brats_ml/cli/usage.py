"""One sentence for each way to type a command wrong."""

from typing import Any

import typer
from pydantic import BaseModel, ValidationError
from typer.core import TyperGroup

from brats_ml.config.sentences import explain
from brats_ml.near_names import did_you_mean


class UnknownCommand(typer.TyperException):
    """There is no such command."""

    exit_code = 2


class Commands(TyperGroup):
    """The commands of `brats`; a wrong name gets the nearest right one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first argument names."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            near = did_you_mean(args[0], self.commands)
            raise UnknownCommand(f"there is no command {args[0]}{near or '; `brats --help` lists all commands'}")
        return super().resolve_command(ctx, args)


def usage_sentence(error: typer.TyperException) -> str:
    """Return what was typed wrong, and what to type instead."""
    context: Any = getattr(error, "ctx", None)
    if context is None:
        return _begun_small(error.message)
    command, parameter = context.command_path, getattr(error, "param", None)
    if hasattr(error, "possibilities"):
        return _unknown_option(context.command, command, str(getattr(error, "option_name", "")))
    if parameter is not None:
        return f"`{command}` {_wrong_value(error, parameter)}"
    return f"`{command}`: {_begun_small(error.message)}; `{command} --help` lists its options"


def _unknown_option(command: Any, name: str, option: str) -> str:
    elsewhere = [one for child in getattr(command, "commands", {}).values() for one in _options(child)]
    if option in elsewhere:
        return f"{option} comes after the command, as in `{name} COMMAND {option} ...`"
    return f"`{name}` has no option {option}{did_you_mean(option, _options(command))}"


def _options(command: Any) -> list[str]:
    named = [name for parameter in command.params for name in parameter.opts if name.startswith("-")]
    return [*named, "--help"]


def _wrong_value(error: typer.TyperException, parameter: Any) -> str:
    name: str = parameter.opts[0]
    option = name if name.startswith("-") else parameter.metavar or name.upper()
    if isinstance(error.__cause__, ValidationError):
        _, reason = explain(error.__cause__, BaseModel, None)
        return f"cannot use {option}: it {reason}"
    return f"needs {option}: {_begun_small(error.message or parameter.help)}"


def _begun_small(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
