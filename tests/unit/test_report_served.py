"""The page in parts, for hosts that forbid inline scripts: the same page, nothing inline, the same data."""

from __future__ import annotations

import base64
import re
import zlib

import report_cases as cases

from traceanalyzer.reporters import html, json_report, render


def test_nothing_is_inline() -> None:
    page = html.serve(cases.training()).page
    for attributes, text in re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL):
        is_data = 'type="application/json"' in attributes  # of a figure: nothing that runs
        assert is_data or (text == "" and "src=" in attributes)
    assert "<style" not in page
    assert "script-src 'self'; style-src 'self'" in page
    assert "unsafe" not in page.partition("</head>")[0].replace("style-src-attr 'unsafe-inline'", "")


def test_it_is_the_same_page() -> None:
    def main(page: str) -> str:
        return page[page.index("<main>") : page.index("</main>")]

    assert main(html.serve(cases.training()).page) == main(render(cases.training(), "html"))


def test_the_data_is_that_of_the_self_contained_page() -> None:
    served, page = html.serve(cases.training()), render(cases.training(), "html")
    drawn = re.search(r'id="timeline-data">([^<]+)<', page)
    assert drawn is not None
    assert served.timeline == base64.b64decode(drawn.group(1))
    assert zlib.decompress(served.report_json).decode() == json_report.render(cases.training())


def test_what_cannot_be_drawn_is_not_asked_for() -> None:
    served = html.serve(cases.nothing())
    assert served.timeline is None
    assert "timeline-data" not in served.page.partition("</main>")[2]
