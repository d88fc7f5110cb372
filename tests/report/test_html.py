from pathlib import Path

from coursekit.report.html import page
from coursekit.report.sections import table

PNG = b"\x89PNG\r\n\x1a\n"


def test_pictures_are_inside_and_nothing_is_fetched(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "one.png").write_bytes(PNG)
    text = page("A <title>", "![a curve](pictures/one.png)", tmp_path)
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in text
    assert 'alt="a curve"' in text
    assert "A &lt;title&gt;" in text
    assert "http" not in text


def test_what_lies_elsewhere_stays_outside(tmp_path):
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "report").mkdir()
    for source in ("../secret.png", "/etc/hostname", "https://example.org/a.png", str(tmp_path / "secret.png")):
        text = page("t", f"![x]({source})", tmp_path / "report")
        assert 'src=""' in text
        assert "base64" not in text


def test_html_of_an_intern_is_shown_not_obeyed(tmp_path: Path):
    text = page("t", "> <script>alert(1)</script> <img src=x onerror=y>\n\n[x](javascript:alert(1))", tmp_path)
    assert "<script>" not in text
    assert "<img" not in text
    assert 'href="javascript' not in text
    assert "&lt;script&gt;" in text


def test_a_table_with_bars_and_line_ends_in_its_cells(tmp_path):
    text = page("t", table(("a", "b"), [("x | y", "two\nlines"), (1, None)]), tmp_path)
    assert text.count("<tr>") == 3
    assert "<td>x | y</td>" in text
