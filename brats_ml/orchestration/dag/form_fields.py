"""Fields that the forms of several DAGs share."""

from airflow.sdk import Param


def revision_field(description: str = "Branch, tag or commit of the code and parameters to run.") -> Param:
    """Return the field `revision`."""
    return Param("HEAD", type="string", pattern="^[^-].*$", title="Revision", description=description)


def source_field() -> Param:
    """Return the field `source`."""
    return Param(
        None,
        type=["null", "string"],
        title="Source of the cohort",
        description="`phantom`, a folder or an archive of BraTS cases and, optionally, their tables, "
        "`s3://bucket/prefix`, or `dvc:repository#path@revision`; empty: as in params.yaml.",
    )
