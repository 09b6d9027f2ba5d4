from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.cohort.release_files import is_table, is_volume
from brats_ml.cohort.source_address import (
    DvcAddress,
    LocalAddress,
    S3Address,
    parse_address,
    with_absolute_path,
)
from brats_ml.redaction import redacted


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/data/BraTS 2020", LocalAddress("/data/BraTS 2020")),
        ("../cohort.tar.gz", LocalAddress("../cohort.tar.gz")),
        ("odd:name", LocalAddress("odd:name")),
        ("s3://bucket", S3Address("bucket", "")),
        ("s3://bucket/a/b/", S3Address("bucket", "a/b")),
        ("dvc:../repo", DvcAddress("../repo", "", "HEAD")),
        ("dvc:../repo@v1", DvcAddress("../repo", "", "v1")),
        ("dvc:/r#data/raw", DvcAddress("/r", "data/raw", "HEAD")),
        ("dvc:/r#data@feature/x", DvcAddress("/r", "data", "feature/x")),
        ("dvc:git@host:team/repo.git", DvcAddress("git@host:team/repo.git", "", "HEAD")),
        ("dvc:git@host:repo.git", DvcAddress("git@host:repo.git", "", "HEAD")),
        ("dvc:ssh://git@host/repo.git#@v1", DvcAddress("ssh://git@host/repo.git", "", "v1")),
        ("dvc:https://host/team/repo@v2", DvcAddress("https://host/team/repo", "", "v2")),
    ],
)
def test_each_form_is_parsed(text: str, address: object) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", " /data", "https://host/x.zip", "file:///data", "s3:/bucket", "s3://", "s3://a/b", "s3://bucket/../x", "dvc:",
     "dvc:#data", "dvc:--upload-pack=x", "dvc:/r#a/../../b", "dvc:/r#a@--x"],
)  # fmt: skip
def test_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a source is|the form is|must not contain"):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    ["dvc:https://user:SECRET@host/x.git", "dvc:https://user:SE@CRET@host/x.git#data@v1", "dvc:ssh://git:SECRET@host",
     "s3://key:SECRET@bucket", "dvc:https://SECRET@host/x#data", "dvc:https://host/x?private_token=SECRET"],
)  # fmt: skip
def test_a_password_in_a_source_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"must not contain a password or a token, .* helper of git") as caught:
        parse_address(text)

    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in redacted(f"git said '{text}': no")


@pytest.mark.parametrize(
    ("text", "absolute"),
    [
        ("phantom", "phantom"),
        ("cohort.zip", "/base/cohort.zip"),
        ("/data", "/data"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("dvc:repo#data", "dvc:/base/repo#data@HEAD"),
        ("dvc:git@host:repo.git", "dvc:git@host:repo.git"),
    ],
)
def test_a_relative_source_becomes_absolute(text: str, absolute: str) -> None:
    assert with_absolute_path(text, Path("/base")) == absolute


@pytest.mark.parametrize(
    ("path", "volume", "table"),
    [
        ("a/b_t1.nii", True, False),
        ("b_t1.nii.gz", True, False),
        ("b_t1.NII.GZ", True, False),
        (".nii.gz", False, False),
        ("._b_t1.nii.gz", False, False),
        ("__MACOSX/a/b_t1.nii.gz", False, False),
        ("deep/er/name_mapping.csv", False, True),
        ("BraTS_Survival_Info.CSV", False, True),
        ("brats2020_name_mapping_validation_data.csv", False, True),
        ("survival/other.csv", False, False),
    ],
)
def test_volumes_and_tables_are_recognised_by_their_names(path: str, volume: bool, table: bool) -> None:
    assert (is_volume(path), is_table(path)) == (volume, table)


@given(st.text())
def test_no_text_is_both_a_volume_and_a_table(path: str) -> None:
    assert not (is_volume(path) and is_table(path))
