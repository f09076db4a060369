import pytest

from r1data.backends.files import slice_name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("data/수학.jsonl", "수학"),
        ("数学.jsonl", "数学"),
        ("Задачи.csv", "задачи"),
        ("हिन्दी.parquet", "हिन्दी"),
        ("simplescaling/s1K-1.1", "simplescaling-s1k-1-1"),
        ("gym:chain_sum", "gym-chain_sum"),
        ("A.JSONL", "a"),
        ("🙂.jsonl", "source"),
    ],
)
def test_slice_names_keep_the_letters_of_every_script(source: str, name: str) -> None:
    assert slice_name(source) == name
