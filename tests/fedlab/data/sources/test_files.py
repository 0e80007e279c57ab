import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedlab.config.schema import TaskTable
from fedlab.data.sources.files import load_local, split_files, split_name
from fedlab.errors import UserError


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.csv", "train"),
        ("wnut17train.conll", "train"),
        ("TRAIN_FILE.TXT", "train"),
        ("train-00000-of-00002.parquet", "train"),
        ("emerging.dev.conll", "validation"),
        ("valid.jsonl", "validation"),
        ("val.csv", "validation"),
        ("validation_matched", "validation"),
        ("emerging.test.annotated", "test"),
        ("TEST_FILE_FULL.TXT", "test"),
        ("latest.csv", None),
        ("values.csv", None),
        ("unsupervised", None),
    ],
)
def test_names_tell_the_split(name, split):
    assert split_name(name) == split


def _folder(folder, *names):
    for name in names:
        (folder / name).write_text("text,label\nhello,x\n", encoding="utf-8")
    return folder


def test_a_folder_is_read_by_the_names_of_its_files(tmp_path):
    _folder(tmp_path, "train.csv", "dev.csv", "test.csv", "README.md", ".hidden.csv")
    splits = load_local(tmp_path, TaskTable(data="."))
    assert {split: part[0] for split, part in splits.items()} == {
        split: {"text": "hello", "label": "x"} for split in ("train", "validation", "test")
    }


def test_a_lone_file_is_train_whatever_its_name(tmp_path):
    _folder(tmp_path, "test.csv", "readme.txt")
    assert split_files(tmp_path, TaskTable(data=".")) == {"train": [tmp_path / "test.csv"]}
    assert split_files(tmp_path / "test.csv", TaskTable(data="test.csv")) == {"train": [tmp_path / "test.csv"]}


def test_the_parts_of_a_split_are_joined(tmp_path):
    _folder(tmp_path, "train-0.csv", "train-1.csv", "test.csv")
    assert len(load_local(tmp_path, TaskTable(data="."))["train"]) == 2


def test_parts_with_other_columns_are_reported(tmp_path):
    _folder(tmp_path, "train-0.csv")
    (tmp_path / "train-1.csv").write_text("text,label\nhello,x\n")
    (tmp_path / "train-2.json").write_text('{"text": 3}\n')
    with pytest.raises(UserError, match="the columns differ between the files of one split"):
        load_local(tmp_path, TaskTable(data="."))


def test_files_are_named_by_the_user_where_their_names_do_not_tell(tmp_path):
    _folder(tmp_path, "a.csv", "b.csv")
    assert split_files(tmp_path, TaskTable(data=".", files={"train": "b.csv"})) == {"train": [tmp_path / "b.csv"]}
    with pytest.raises(UserError, match=r"no file is named for the split 'train' \(found a.csv, b.csv\)"):
        split_files(tmp_path, TaskTable(data="."))
    with pytest.raises(UserError, match=r"missing data file: task.files.test = 'c.csv'"):
        split_files(tmp_path, TaskTable(data=".", files={"train": "a.csv", "test": "c.csv"}))


def test_a_folder_without_data_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"contains no data file \(it is empty\)"):
        load_local(tmp_path, TaskTable(data="."))


def test_a_name_that_does_not_tell_the_format_is_reported(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(
        UserError, match=r"a\.txt: the file name does not show the format: set task.format to one of csv"
    ):
        load_local(tmp_path / "a.txt", TaskTable(data="a.txt"))


def test_parquet_files_and_saved_data_sets_come_back_as_they_were(tmp_path):
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["no", "yes"]))
    dataset = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    dataset.to_parquet(tmp_path / "a.parquet")
    dataset.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=dataset, dev=dataset).save_to_disk(tmp_path / "many")
    for name in ("a.parquet", "one", "many"):
        train = load_local(tmp_path / name, TaskTable(data=name))["train"]
        assert train["label"][:] == [1, 0]
        assert train.features == features


def test_torn_parquet_and_saved_data_are_reported(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match=r"a\.parquet: not a Parquet file"):
        load_local(tmp_path / "a.parquet", TaskTable(data="a.parquet"))
    with pytest.raises(UserError, match="not a folder written by save_to_disk"):
        load_local(tmp_path, TaskTable(data=".", format="saved"))


def test_a_column_of_mixed_types_is_reported(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": [1]}\n')
    with pytest.raises(UserError, match=r"a\.jsonl: column 'text' has values of different types") as caught:
        load_local(tmp_path / "a.jsonl", TaskTable(data="a.jsonl"))
    assert "\n" not in str(caught.value)


def test_a_parquet_file_with_a_column_named_twice_is_refused(tmp_path):
    table = pa.table([pa.array(["a"]), pa.array([1]), pa.array([2])], names=["text", "label", "label"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: two columns are named 'label'"):
        load_local(tmp_path / "a.parquet", TaskTable(data="a.parquet"))


def test_tab_separated_files_are_known_by_their_suffix_and_others_by_the_delimiter(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\na, b\tx\n")
    (tmp_path / "a.csv").write_text("text;label\na, b;x\n")
    for task in (TaskTable(data="a.tsv"), TaskTable(data="a.csv", delimiter=";")):
        assert load_local(tmp_path / task.data, task)["train"][:] == {"text": ["a, b"], "label": ["x"]}


def test_the_columns_of_a_conll_file_can_be_named(tmp_path):
    (tmp_path / "a.conll").write_text("1 EU NNP B-ORG\n2 said VBD O\n3 so RB O\n")
    task = TaskTable(data="a.conll", column_names=["index", "token", "pos", "tag"])
    assert load_local(tmp_path / "a.conll", task)["train"]["tag"][:] == [["B-ORG", "O", "O"]]


def test_upper_case_suffixes_are_known(tmp_path):
    _folder(tmp_path, "TRAIN.CSV", "TEST.CSV")
    assert set(load_local(tmp_path, TaskTable(data="."))) == {"train", "test"}
