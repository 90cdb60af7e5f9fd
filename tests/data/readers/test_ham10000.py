"""HAM10000 and what is built on it: the reference's test set and the ISIC 2018 one."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from palpate.core.errors import InputError
from palpate.data.manifest import MANIFEST
from palpate.data.readers import ham10000

LESIONS = {"HAM_1": ("nv", 2), "HAM_2": ("akiec", 1), "HAM_3": ("vasc", 3)}


def test_reads_the_publishers_layout(tmp_path: Path, publish: SimpleNamespace) -> None:
    manifest = ham10000.read(publish.ham(tmp_path, LESIONS))
    assert dict(manifest.drop("metadata").schema) == MANIFEST
    assert {"sex", "age", "localization"} <= set(manifest["metadata"].struct.fields)
    assert manifest["image_id"].to_list() == [f"ISIC_{n:07d}" for n in range(24306, 24312)]
    assert manifest["group_id"].to_list() == ["HAM_1"] * 2 + ["HAM_2"] + ["HAM_3"] * 3
    assert manifest["label"].to_list() == [5, 5, 0, 6, 6, 6]
    assert manifest["published"].to_list()[:3] == ["nv", "nv", "akiec"]
    assert manifest["split"].is_null().all()
    assert all(Path(path).is_file() and Path(path).is_absolute() for path in manifest["path"])


def test_reads_the_table_as_dataverse_serves_it(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder = publish.ham(tmp_path, LESIONS)
    expected = ham10000.read(folder)
    csv = folder / "HAM10000_metadata.csv"
    (folder / "HAM10000_metadata.tab").write_text(csv.read_text().replace(",", "\t"))
    csv.unlink()
    assert ham10000.read(folder).equals(expected)


def test_a_missing_column_an_unknown_diagnosis_and_an_absent_image_are_named(
    tmp_path: Path, publish: SimpleNamespace
) -> None:
    folder = publish.ham(tmp_path, LESIONS)
    csv = folder / "HAM10000_metadata.csv"
    text = csv.read_text()
    csv.write_text(text.replace("lesion_id", "lesion"))
    with pytest.raises(InputError, match="'lesion_id' is missing"):
        ham10000.read(folder)
    csv.write_text(text.replace(",vasc,", ",scc,"))
    with pytest.raises(InputError, match=r"'dx' has 3 labels outside akiec, .*: line 5 \('scc'\)"):
        ham10000.read(folder)
    csv.write_text(text)
    (folder / "HAM10000_images_part_1" / "ISIC_0024306.jpg").unlink()
    with pytest.raises(InputError, match=r"names 6 images, of which 1 are absent below .*: line 2 \('ISIC_0024306'\)"):
        ham10000.read(folder)


def test_reference_test_set_is_stratified_over_lesions_with_one_image(tmp_path: Path, publish: SimpleNamespace) -> None:
    lesions = {f"HAM_a{i}": ("nv", 1) for i in range(30)} | {f"HAM_b{i}": ("mel", 1) for i in range(10)}
    manifest = ham10000.read_reference(publish.ham(tmp_path, lesions | {"HAM_c": ("nv", 9), "HAM_d": ("mel", 4)}))
    test = manifest.filter(split="test")
    assert len(test) == 6  # 15 % of 40
    assert sorted(test["published"].value_counts().rows()) == [
        ("mel", 2),
        ("nv", 4),
    ]  # from 1.5 and 4.5: ties to the rarer
    assert not set(test["group_id"]) & {"HAM_c", "HAM_d"}
    assert len(manifest.filter(split="train")) == 47


ONE_HOT = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


def test_isic_2018_is_the_test_set_of_ham10000(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder, challenge = publish.ham(tmp_path, LESIONS), tmp_path / "isic2018"
    lines = ["ISIC_0034524,0.0,1.0,0.0,0.0,0.0,0.0,0.0", "ISIC_0034525,1.0,0.0,0.0,0.0,0.0,0.0,0.0"]
    publish.table(challenge / ham10000.CHALLENGE_TABLE, ONE_HOT, lines, challenge / "ISIC2018_Task3_Test_Input", ".jpg")
    manifest = ham10000.read_external(folder, challenge)
    assert manifest["split"].to_list() == ["train"] * 6 + ["test"] * 2
    assert manifest["published"].to_list()[6:] == ["nv", "mel"]
    assert manifest["label"].to_list()[6:] == [5, 4]


def test_isic_2018_with_the_columns_of_ham10000(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder, challenge = publish.ham(tmp_path, LESIONS), tmp_path / "isic2018"
    lines = ["HAMTEST_1,ISIC_0034524,nv,histo,50,male,back"]
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization"
    publish.table(challenge / ham10000.CHALLENGE_TABLE, header, lines, challenge / "images", ".jpg", column=1)
    manifest = ham10000.read_external(folder, challenge)
    assert manifest.filter(split="test").select("image_id", "group_id", "label").rows() == [
        ("ISIC_0034524", "HAMTEST_1", 5)
    ]


@pytest.mark.parametrize("values", ["0,1,1,0,0,0,0", "0,0,0,0,0,0,0", "0,x,0,0,0,0,0", "1,.5,0,0,0,0,0"])
def test_isic_2018_rows_must_be_one_hot(tmp_path: Path, publish: SimpleNamespace, values: str) -> None:
    folder, challenge = publish.ham(tmp_path, LESIONS), tmp_path / "isic2018"
    publish.table(challenge / ham10000.CHALLENGE_TABLE, ONE_HOT, [f"ISIC_1,{values}"], challenge, ".jpg")
    with pytest.raises(InputError, match=r"1 rows do not have one 1 .*: line 2; download it again"):
        ham10000.read_external(folder, challenge)


def test_isic_2018_with_neither_set_of_columns_names_the_one_hot_ones(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder, challenge = publish.ham(tmp_path, LESIONS), tmp_path / "isic2018"
    publish.table(challenge / ham10000.CHALLENGE_TABLE, "picture,MEL", ["ISIC_1,1"], challenge, ".jpg")
    with pytest.raises(InputError, match="'image', 'AKIEC'"):
        ham10000.read_external(folder, challenge)


def test_real_ham10000_has_the_published_counts(real_data: Path) -> None:
    manifest = ham10000.read(real_data / "ham10000")
    assert (len(manifest), manifest["group_id"].n_unique()) == (10015, 7470)
    counts = dict(manifest["published"].value_counts().iter_rows())
    assert counts == {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115}
    reference = ham10000.read_reference(real_data / "ham10000")
    assert len(reference.filter(split="test")) == 828
