from brats_ml.imaging.quality.duplicates import mark_among, mark_within
from brats_ml.imaging.quality.profile import Row


def row(case_id: str, modality: str, digest: str | None, levels: int = 99) -> Row:
    name = f"{case_id}_{modality}.nii"
    return {"case_id": case_id, "name": name, "voxel_digest": digest, "levels": levels, "copy_of": None}


def case(case_id: str, digests: str, **levels: int) -> tuple[str, list[Row]]:
    rows = [row(case_id, f"m{number}", digest, **levels) for number, digest in enumerate(digests)]
    mark_within(rows, minimum_levels=8)
    return case_id, rows


def copies(*cases: tuple[str, list[Row]]) -> dict[str, str]:
    return {row["name"]: row["copy_of"] for _, rows in cases for row in rows if row["copy_of"]}


def test_different_cases_have_no_copies() -> None:
    one, other = case("a", "1234"), case("b", "5678")

    assert mark_among([one, other], minimum_levels=8) == []
    assert copies(one, other) == {}


def test_one_file_as_two_modalities_marks_the_second_as_the_copy() -> None:
    assert copies(case("a", "1231")) == {"a_m3.nii": "a_m0.nii"}


def test_of_two_identical_cases_the_later_one_is_the_copy() -> None:
    one, other = case("a", "1234"), case("b", "1234")

    assert mark_among([one, other], minimum_levels=8) == [("b", "a")]
    assert copies(one, other) == {f"b_m{number}.nii": f"a_m{number}.nii of case a" for number in range(4)}


def test_one_shared_image_is_marked_in_both_cases_and_does_not_unite_them() -> None:
    one, other = case("a", "1234"), case("b", "5672")

    assert mark_among([one, other], minimum_levels=8) == []
    assert copies(one, other) == {"a_m1.nii": "b_m3.nii of case b", "b_m3.nii": "a_m1.nii of case a"}


def test_constant_and_unreadable_images_are_never_copies() -> None:
    one, other = case("a", "1111", levels=1), ("b", [row("b", "m0", None)])

    assert mark_among([one, other], minimum_levels=8) == []
    assert copies(one, other) == {}
