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


@pytest.mark.parametrize("name, shown", [("https://evil.example/x", r"https\://evil.example/x"), ("www.evil.example", r"www\.evil.example"),
                                         ("a@b.example", r"a\@b.example"), ("cod\x1b[2J\u202e", r"cod\\x1b\[2J\\u202e"), ("caf\udce9", r"caf\\udce9")])
def test_names_are_no_links_and_no_control_characters(name, shown):
    assert _render_markdown("{{ name }}", name=name) == shown


def test_header_of_a_model_card_has_no_markup():
    from fishlearn.data.preprocessing import Preprocessing
    from fishlearn.deploy.model_card import _model_card
    card = _model_card("<img src=x onerror=alert(1)>[x](javascript:alert(1))", ["cod"], Preprocessing(64), dict(arch="<b>[a](b)"), None)
    header = card.split("---")[1]
    assert not set("<>[]") & set(header) and "javascript:" not in header and "<img" not in card
