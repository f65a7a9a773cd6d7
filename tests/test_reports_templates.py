"Templates show values as text, never as markup."
import pytest
from jinja2 import UndefinedError
from markdown_it import MarkdownIt
from markupsafe import Markup

from fishlearn.reports.templates import _escape_markdown, _render_html, _render_markdown

NAMES = ["<script>alert(1)</script>", "*cod*", "_cod_", "__init__", "`cod`", "[cod](http://x)", "![cod](x.png)",
         "# cod", "- cod", "+ cod", "1. cod", "12) cod", "---", "===", "> cod", "a | b", "~~cod~~", "cod & chips",
         "&lt;", "\\*cod\\*", "<!-- cod", "-0.5", "2.5", "$x$", "http://x.org/a_b"]


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_name_as_text(name):
    shown = MarkdownIt("commonmark").enable("table").enable("strikethrough").render(str(_escape_markdown(name)))
    expected = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown == f"<p>{expected}</p>\n"


@pytest.mark.parametrize("name", NAMES)
def test_markdown_keeps_the_cells_of_a_table(name):
    text = _render_markdown("| a | b |\n|---|---|\n| {{ name }} | 1 |\n", name=name)
    assert MarkdownIt("commonmark").enable("table").render(text).count("<td>") == 2


def test_line_breaks_become_blanks():
    assert _escape_markdown("cod\n\n# ling") == "cod \\# ling"


def test_html_shows_a_name_as_text():
    assert _render_html("{{ x }}", x='<a href="x">') == "&lt;a href=&#34;x&#34;&gt;"


@pytest.mark.parametrize("render", (_render_html, _render_markdown))
def test_macros_and_markup_are_escaped_once(render):
    assert render("{% macro m(x) %}{{ x }}{% endmacro %}{{ m('<') }}{{ y }}", y=Markup("<br>")) == "&lt;<br>"


@pytest.mark.parametrize("render", (_render_html, _render_markdown))
def test_a_missing_value_is_an_error(render):
    with pytest.raises(UndefinedError): render("{{ accuracy }}")
