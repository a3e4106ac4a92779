import pytest

from dst_jax.data.readers import read_sequences
from dst_jax.errors import InputError


@pytest.mark.parametrize("source", ["vot:x", "otb", "otb:", "", ":x"])
def test_an_unknown_layout_is_refused_with_the_known_ones(source):
    with pytest.raises(InputError, match="write otb:DIR, got10k:DIR or coco:DIR"):
        read_sequences(source)


@pytest.mark.parametrize("layout", ["otb", "got10k", "coco"])
def test_a_layout_is_read_by_its_reader(tmp_path, layout):
    with pytest.raises(InputError, match=str(tmp_path / "gone")):
        read_sequences(f"{layout}:{tmp_path / 'gone'}")


def test_the_source_is_kept_as_written(tmp_path):
    folder = tmp_path / "Toy"
    folder.mkdir()
    (folder / "groundtruth_rect.txt").write_text("1,1,2,2\n")
    (toy,) = read_sequences(f"otb:{tmp_path}", frames_required=False)
    assert toy.source == f"otb:{tmp_path}"
