"""Laws of `seren import`."""

from click.testing import CliRunner
from msgspec import json

from streams.cli.imports import import_group

TILL = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    "536365,20685,DOORMAT RED RETROSPOT,2.0,2010-12-01 08:26:00,7.95,17850.0,Wales\n"
    "536365,POST,POSTAGE,1.0,2010-12-01 08:26:00,18.0,17850.0,Wales\n"
)


def test_import_with_json_prints_one_object(tmp_path):
    (tmp_path / "till.csv").write_text(TILL)
    arguments = ["online-retail", str(tmp_path / "till.csv"), "--out", str(tmp_path / "log"), "--json"]
    result = CliRunner().invoke(import_group, arguments)
    assert result.exit_code == 0
    summary = json.decode(result.stdout)
    assert summary["about"]["events_by_type"] == {"purchase": 1, "visit": 1}
    assert summary["dropped"] == [{"file": "till.csv", "reason": "not a product", "rows": 1, "first_lines": [3]}]


def test_import_for_people_says_what_was_written_and_left_out(tmp_path):
    (tmp_path / "till.csv").write_text(TILL)
    arguments = ["online-retail", str(tmp_path / "till.csv"), "--out", str(tmp_path / "log")]
    result = CliRunner().invoke(import_group, arguments)
    assert result.exit_code == 0
    for words in ("Online Retail", "CC0-1.0", "purchase", "not a product"):
        assert words in result.stdout


def test_import_of_a_missing_file_exits_2_and_names_it(tmp_path):
    arguments = ["online-retail", str(tmp_path / "nothing.csv"), "--out", str(tmp_path / "log")]
    result = CliRunner().invoke(import_group, arguments)
    assert result.exit_code == 2
    assert "nothing.csv: cannot be read: No such file or directory" in result.stderr
    assert not result.stdout


def test_import_of_a_folder_without_its_tables_exits_2(tmp_path):
    result = CliRunner().invoke(import_group, ["complete-journey", str(tmp_path), "--out", str(tmp_path / "log")])
    assert result.exit_code == 2
    assert "has no table products.csv" in result.stderr
