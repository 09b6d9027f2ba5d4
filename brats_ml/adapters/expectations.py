"""The rules of the header table as a Great Expectations suite, and its verdict as a page of Data Docs."""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationSuiteValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import Expectation
from great_expectations.render.renderer import ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaPageView

from brats_ml.files import replacing
from brats_ml.imaging.quality.profile import KEYS
from brats_ml.imaging.quality.rules import Rule
from brats_ml.untrusted_text import CONTENT_POLICY

RESULT_FORMAT = {"result_format": "COMPLETE", "unexpected_index_column_names": list(KEYS)}

# Equal headers give equal bytes, so the page shows neither clock times nor random ids.
VOLATILE = re.compile(r"\d{8}T\d{6}\.\d{6}Z|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Great Expectations writes the values of a table into its page as they are, and fills in `$name` within them. It gets
# one of these words for each text, and the finished page gets the text, escaped.
WORD = "textword{:06d}x"
WORDS = re.compile(r"textword(\d{6})x")

# Hospitals are offline, so the page loads nothing; STYLE replaces Bootstrap and Font Awesome.
FETCHED = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<footer>.*?</footer>|url\('https?:[^)]*\)", re.DOTALL
)
HEAD = f'<head>\n<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">'
HANDLER = re.compile(r' onclick="[^"]*"')
STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; }
table { border-collapse: collapse; margin-bottom: 1rem; }
td, th { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top; }
.collapse, .navbar, .modal, [role=dialog], [data-target], label.btn { display: none; }
.collapse:target { display: block; }
.ge-success-icon::before, .text-success::before { content: "\\2714"; color: #1a7f37; }
.ge-failed-icon::before, .text-danger::before { content: "\\2718"; color: #cf222e; }
</style>
</head>"""


def judge(headers: pd.DataFrame, rules: Iterable[Rule], *, page: Path) -> set[tuple[str, str, str]]:
    """Check a header table by rules, and write the verdict as an HTML page that needs no network.

    Args:
        headers: One row a volume, with the columns of `imaging.quality.profile.COLUMNS`; unknown values are null.
        rules: At most one rule for each column.
        page: Path of the page.

    Returns:
        Column, case id and modality of every broken rule.
    """
    texts = _Texts()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("cohort").add_dataframe_asset("headers")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": headers.map(texts.word)})
    suite = context.suites.add(gx.ExpectationSuite("volumes", expectations=[expectation(rule) for rule in rules]))
    result = batch.validate(suite, result_format=RESULT_FORMAT)
    _write_page(page, result, texts)
    return {
        (outcome.expectation_config.kwargs["column"], texts.text(row["case_id"]), texts.text(row["modality"]))
        for outcome in result.results
        for row in outcome.result["unexpected_index_list"]
    }


class _Texts:
    """The texts of a table, each with a word that no template and no browser gives a meaning."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {"": ""}
        self._texts: dict[str, str] = {"": ""}

    def word(self, value: Any) -> Any:
        """Return the word for a text, and every other value as it is."""
        if not isinstance(value, str):
            return value
        word = self._words.setdefault(value, WORD.format(len(self._words)))
        self._texts[word] = value
        return word

    def text(self, word: str) -> str:
        """Return the text of a word."""
        return self._texts[word]

    def fill_in(self, html: str) -> str:
        """Return a page with the texts in place of their words, escaped."""
        return WORDS.sub(lambda word: escape(self._texts.get(word[0], word[0])), html)


def expectation(rule: Rule) -> Expectation:
    """Return a rule as an expectation; both skip unknown values."""
    if rule.limits is None:
        return gx.expectations.ExpectColumnValuesToBeInSet(
            column=rule.column, value_set=[True, ""], severity=rule.severity
        )
    low, high = rule.limits
    return gx.expectations.ExpectColumnValuesToBeBetween(
        column=rule.column, min_value=low, max_value=high, severity=rule.severity
    )


def _write_page(page: Path, result: ExpectationSuiteValidationResult, texts: _Texts) -> None:
    html = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
    offline = HANDLER.sub("", FETCHED.sub("", html)).replace("<head>", HEAD, 1)
    whole = texts.fill_in(VOLATILE.sub("-", offline.replace("</head>", STYLE, 1)))
    with replacing(page) as temporary:
        temporary.write_text(whole, encoding="utf-8", errors="backslashreplace")
