"""The fields of the DAGs' forms, as Airflow draws them."""

from typing import Any

from airflow.sdk import Param

# By draft 7 of JSON Schema, `$ref` makes all keys next to it void. So Airflow draws a field by its type and choices and
# accepts every value: it would refuse one in the words of the schema, and the task `open` refuses it in ours.
ANY_VALUE = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$ref": "#/definitions/any",
    "definitions": {"any": {}},
}


def field(default: Any, kind: str, *, title: str, help_md: str, required: bool = False, **drawn: Any) -> Param:
    """Return a field of a form.

    Args:
        default: Its value before the user changes it.
        kind: The type of JSON by which Airflow draws it.
        title: Its name on the page.
        help_md: What Airflow shows below it, in Markdown; it would show `description` without any rendering. Italics
            mark names, since the frames of code cover the lines above and below.
        required: Whether Airflow's page demands a value.
        drawn: More keys that change how Airflow draws it, such as `examples`.
    """
    types = kind if required else [kind, "null"]
    return Param(default, type=types, title=title, description_md=help_md, **drawn, **ANY_VALUE)


def revision_field(help_md: str = "Branch, tag or commit of the code and parameters to run.") -> Param:
    """Return the field `revision`."""
    return field("HEAD", "string", title="Revision", help_md=help_md, required=True)


def source_field() -> Param:
    """Return the field `source`."""
    return field(
        None,
        "string",
        title="Source of the cohort",
        help_md="*phantom*, a folder or an archive of cases and, optionally, their tables, "
        "*s3://bucket/prefix*, or *dvc:repository#path@revision*. Empty: as in params.yaml.",
    )
