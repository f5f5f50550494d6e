"""Writes the project's own manifests as people have them, and what is expected: `python -m tests.cases.make_manifests`.

Names and addresses are made up. Each file stands for a kind: an export of a tool, a habit of a program, a fault.
"""

# ruff: noqa: RUF001, E501, ISC004 -- names of all scripts; files as tables

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import openpyxl

FOLDER = Path(__file__).parent / "manifests"
TWO = {"mara.cooks": 2, "the_kayaker": 1}
OWNERS = ("mara.cooks", "the_kayaker", "mara.cooks")


def cover(number: int) -> str:
    """A signed link to a cover, that works byte for byte only."""
    return f"https://covers.example/c/{number}.jpg?x-expires=4102444800&x-signature=Zm9v%2B{number}%3D"


def page(number: int) -> str:
    """A link to the page of a video."""
    return f"https://www.tiktok.com/@{OWNERS[number - 1]}/video/73000000000000000{number}"


def table(
    header: list[str], row: Any, *, delimiter: str = ",", quoting: Any = csv.QUOTE_MINIMAL, end: str = "\n"
) -> str:
    """A CSV with a row for each of three covers."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(header)
    writer.writerows(row(number, OWNERS[number - 1]) for number in (1, 2, 3))
    return out.getvalue()


def simple(names: str, *, delimiter: str = ",", head: str = "") -> str:
    """A CSV of one cover for each name."""
    lines = [f"{name}{delimiter}{cover(number)}" for number, name in enumerate(names.split(" "), 1)]
    return head + delimiter.join(("creator", "cover_url")) + "\n" + "\n".join(lines) + "\n"


def once(names: str) -> dict[str, Any]:
    """What is expected of `simple`."""
    return {"creators": dict.fromkeys(names.split(" "), 1), "rejects": 0}


def workbook(sheets: dict[str, list[list[Any]]], *, merge: str = "") -> bytes:
    """A workbook as openpyxl writes it, the same on every day."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        if merge:
            sheet.merge_cells(merge)
    written, again = io.BytesIO(), io.BytesIO()
    book.save(written)
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(again, "w", zipfile.ZIP_STORED) as new:
        for part in old.namelist():
            if not part.startswith("docProps/"):  # they hold the time
                new.writestr(zipfile.ZipInfo(part), old.read(part))
    return again.getvalue()


def other_formats(two: dict[str, Any]) -> dict[str, tuple[str | bytes, dict[str, Any]]]:
    """Tables that are no CSV."""
    found: dict[str, tuple[str | bytes, dict[str, Any]]] = {}
    api = [{"id": str(n), "author": {"uniqueId": who, "nickname": "Shown"}, "video": {"cover": cover(n), "width": 576}} for n, who in enumerate(OWNERS, 1)]  # fmt: skip
    found["web-api.json"] = (json.dumps(api, indent=2), two | {
        "s3": True, "source": {"format": "json", "creator_column": "author.uniqueId", "url_column": "video.cover"}
    })  # fmt: skip
    app = [{"aweme_id": n, "author": {"unique_id": who}, "video": {"cover": {"uri": "x", "url_list": [cover(n), page(n)]}}} for n, who in enumerate(OWNERS, 1)]  # fmt: skip
    found["app-api.jsonl"] = ("\n".join(map(json.dumps, app)), two | {
        "source": {"format": "jsonl", "url_column": "video.cover.url_list"}
    })  # fmt: skip
    found["printed-by-jq.json"] = ("\n".join(json.dumps(each, indent=2) for each in api), two | {"source": {"format": "jsonl"}})  # fmt: skip
    line = '{{"creator": {}, "cover_url": "{}"}}'.format
    mixed = [line('"ann"', cover(1)), line("oops", ""), "", "null", line("6785180123456789012", cover(2)), line("NaN", cover(3))]  # fmt: skip
    found["broken-lines.jsonl"] = ("\n".join(mixed), {
        "creators": {"ann": 1, "6785180123456789012": 1}, "rejects": 3,
        "source": {"skipped": {"empty_lines": 1, "repeated_headers": 0, "lines_above_the_header": 0}}
    })  # fmt: skip
    found["cut-off.json"] = (json.dumps(api)[:-40], {"creators": {"mara.cooks": 1, "the_kayaker": 1}, "rejects": 1})
    found["around-the-rows.json"] = (json.dumps({"status": 0, "items": api}), {"error": "manifest_not_csv"})
    found["rows-in-json.xlsx"] = (json.dumps(api), two)
    sheets = {"About": [["by us"]], "Covers": [["January"], [], ["Creator", "Cover"], *([who, cover(n)] for n, who in enumerate(OWNERS, 1))]}  # fmt: skip
    found["second-sheet.xlsx"] = (workbook(sheets), two | {"source": {"format": "xlsx", "creator_column": "Creator"}})
    merged = {"Covers": [["Creator", "Cover"], ["ann", cover(1)], [None, cover(2)], ["bob", cover(3)], [6785180123456789012, cover(4)], [7, cover(5)]]}  # fmt: skip
    found["merged-cells.csv"] = (workbook(merged, merge="A2:A3"), {
        "creators": {"ann": 2, "bob": 1, "7": 1}, "rejects": 1, "source": {"format": "xlsx"}
    })  # fmt: skip
    return found


def cases() -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Every file with what is expected of it."""
    two = {"creators": TWO, "rejects": 0}
    found: dict[str, tuple[str | bytes, dict[str, Any]]] = {}

    # exports of tools
    wide = [f"filler/{at}" for at in range(50)]
    found["apify-wide.csv"] = (
        "\ufeff" + table(
            [*wide, "authorMeta/avatar", "authorMeta/name", "authorMeta/nickName", "text", "videoMeta/coverUrl", "webVideoUrl"],
            lambda n, who: [*["x"] * 50, f"https://avatars.example/{n}.jpg", who, "Shown name", f'so "good"\nline two, {n}', cover(n), page(n)],
            quoting=csv.QUOTE_ALL,
        ),
        two | {"source": {"encoding": "utf-8", "creator_column": "authorMeta/name", "url_column": "videoMeta/coverUrl"}},
    )  # fmt: skip
    found["web-api-flattened.csv"] = (
        table(["id", "author.nickname", "author.uniqueId", "video.cover", "video.originCover"],
              lambda n, who: [n, "Shown", who, cover(n), cover(n)]), two)  # fmt: skip
    found["app-api-url-list.csv"] = (
        table(["aweme_id", "author.unique_id", "video.cover.url_list.0", "video.cover.url_list.1", "share_url"],
              lambda n, who: [n, who, cover(n), "https://mirror.example/x.jpg", page(n)]), two)  # fmt: skip
    found["oembed.csv"] = (
        table(["author_name", "author_unique_id", "thumbnail_url", "author_url"],
              lambda n, who: ["Shown name", who, cover(n), f"https://www.tiktok.com/@{who}"]), two)  # fmt: skip
    found["numbered-covers.csv"] = (
        table(["username", "cover_2", "cover_1"], lambda n, who: [who, cover(9), cover(n)]),
        {"creators": {"mara.cooks": 1, "the_kayaker": 1}, "rejects": 0, "source": {"url_column": "cover_2"}})  # fmt: skip
    found["pages-in-the-cover-column.csv"] = (
        table(["creator", "cover", "thumbnail"], lambda n, who: [who, page(n), cover(n)]),
        two | {"source": {"url_column": "thumbnail"}})  # fmt: skip
    found["an-empty-column-first.csv"] = (
        table(["creator_name", "username", "cover_url", "thumbnail"], lambda n, who: ["", who, "", cover(n)]),
        two,
    )
    found["pages-and-nothing-else.csv"] = (
        table(["author", "url"], lambda n, who: [who, page(n)]),
        {"error": "manifest_columns"},
    )
    found["chinese-spreadsheet.csv"] = (table(["序号", "达人", "封面链接"], lambda n, who: [n, who, cover(n)]), two)
    found["unicode-text.txt"] = (
        table(["Creator", "Cover URL"], lambda n, who: [who, cover(n)], delimiter="\t", end="\r\n").encode("utf-16"),
        two | {"s3": True, "source": {"encoding": "utf-16", "delimiter": "\t"}})  # fmt: skip
    found["NO-SUFFIX"] = (table(["Creator", "Cover URL"], lambda n, who: [who, cover(n)]), two | {"s3": True})
    found["outfile.tsv"] = (
        f"creator\tcover_url\nmara.cooks\t{cover(1)}\n\\N\t{cover(2)}\nthe_kayaker\t\\N\n",
        {"creators": {"mara.cooks": 1}, "rejects": 2})  # fmt: skip

    # encodings
    for name, names in {
        "cp1250": "Łukasz Wiśniewska Grażyna Dąbrowski Jiří Dvořák",
        "cp1252": "Søren Åse Jürgen Françoise Nuñez Conceição",
        "cp1254": "Ayşe Yıldız Çağla Gökçe Işık Oğuz",
        "cp1251": "Анна Сергей Олександр Екатерина",
        "cp1253": "Γιώργος Ελένη Παπαδόπουλος",
        "gb18030": "王小明 李娜美食 张伟 旅行日记",
        "big5": "陳雅婷 林志豪 台灣美食",
        "cp932": "さくら 田中はなこ カフェ東京",
        "cp949": "김민지 서울맛집 이준호",
    }.items():  # fmt: skip
        found[f"only-names-{name}.csv"] = (simple(names, delimiter=";").encode(name), once(names))
    found["cyrillic-koi8.csv"] = (simple("Анна Сергей Олександр").encode("koi8-r"), {"error": "manifest_encoding"})
    damaged = simple("王小明 李娜 张伟 陈静 M?ller").encode().replace(b"M?ller", b"M\xfcller")
    found["utf-8-with-a-wrong-byte.csv"] = (damaged, once("王小明 李娜 张伟 陈静") | {"rejects": 1})

    # lines
    body = simple("ann bob", delimiter=";")
    found["sep-and-titles.csv"] = ("sep=;\r\n# exported by hand\n\nCovers of January;;\n" + body, once("ann bob") | {
        "source": {"delimiter": ";", "skipped": {"empty_lines": 0, "repeated_headers": 0, "lines_above_the_header": 3}}
    })  # fmt: skip
    found["joined-files.csv"] = (simple("ann bob") + "\n,\n" + simple("cai dan"), once("ann bob cai dan") | {
        "source": {"skipped": {"empty_lines": 2, "repeated_headers": 1, "lines_above_the_header": 0}}
    })  # fmt: skip
    found["old-mac-line-ends.csv"] = (simple("ann bob").replace("\n", "\r"), once("ann bob"))
    found["columns-shifted.csv"] = (
        f"creator,cover_url,note\nann,{cover(1)},fine\nbob, the second,{cover(2)},x\ncai,{cover(3)},a,b\n",
        {"creators": {"ann": 1}, "rejects": 2})  # fmt: skip
    found["no-header.csv"] = (f"ann,{cover(1)}\nbob,{cover(2)}\n", {"error": "manifest_columns"})
    found["nothing-usable.csv"] = ("creator,cover_url\nann,\nbob,n/a\n", {"error": "manifest_empty"})

    # values
    found["marks-around-values.csv"] = (
        "creator,cover_url\n"
        f"@ann,<{cover(1)}>\n\u200bann\u00a0,\ufeff{cover(2)}\u200b\n'ann',\" '{cover(3)}' \"\n"
        f'https://www.tiktok.com/@ann?lang=en,{cover(4)}\n"{{""uniqueId"": ""ann""}}",{cover(5)}\n',
        {"creators": {"ann": 5}, "rejects": 0})  # fmt: skip
    found["forms-of-one-name.csv"] = (
        f"creator,cover_url\ncafé,{cover(1)}\ncafe\u0301,{cover(2)}\n\uff23\uff21\uff26\uff25,{cover(3)}\nCAFE,{cover(4)}\n",
        {"creators": {"café": 2, "\uff23\uff21\uff26\uff25": 2}, "rejects": 0})  # fmt: skip
    lists = [json.dumps([cover(1), cover(9)]), f"['{cover(2)}', '{cover(9)}']", f"{cover(3)}, {cover(9)}", json.dumps({"uri": "x", "url_list": [cover(4)]})]  # fmt: skip
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["creator", "cover"], *(["ann", each] for each in lists)])
    found["lists-of-urls.csv"] = (out.getvalue(), {"creators": {"ann": 4}, "rejects": 0, "source": {"repairs": {"list_of_urls": 4}}})  # fmt: skip
    escaped = [cover(1).replace("&", "&amp;amp;"), cover(2).replace("&", "&#38;"), cover(3).replace("/", "\\/"), cover(4).removeprefix("https:")]  # fmt: skip
    found["escaped-in-other-ways.csv"] = (
        "creator,cover_url\n" + "".join(f"ann,{each}\n" for each in escaped),
        {"creators": {"ann": 4}, "rejects": 0,
         "source": {"repairs": {"backslash_escapes": 1, "html_escapes": 2, "no_scheme": 1}}})  # fmt: skip
    none = ["nan", "NULL", "None", "n/a", "\\N", "#N/A", "#REF!", "undefined", "", " "]
    found["no-links.csv"] = (
        f"creator,cover_url\nann,{cover(1)}\n" + "".join(f"bob,{each}\n" for each in none),
        {"creators": {"ann": 1}, "rejects": len(none)})  # fmt: skip
    found["rounded-in-another-locale.csv"] = (
        f"creator;cover_url\n6,78518E+18;{cover(1)}\n7.3e+18;{cover(2)}\nann;{cover(3)}\n",
        {"creators": {"ann": 1}, "rejects": 2})  # fmt: skip
    found |= other_formats(two)
    return {
        name: (raw if isinstance(raw, bytes) else raw.encode(), expected) for name, (raw, expected) in found.items()
    }


def main() -> None:
    """Write the files that are not there by other hands, and their part of `expected.json`."""
    FOLDER.mkdir(exist_ok=True)
    listed = FOLDER / "expected.json"
    expected = json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else {}
    for name, (raw, entry) in cases().items():
        (FOLDER / name).write_bytes(raw)
        expected[name] = entry
    lines = ",\n".join(
        f" {json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}" for name, entry in expected.items()
    )
    listed.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
